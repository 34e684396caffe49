"""Thinking of the history: signed or not at all, unchanged, without a hole, never as text (E20 to E27)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.draft import SignedThinking
from modelmux.claude.prepare import no_memory
from modelmux.claude.request import ClaudeRequest
from modelmux.claude.thinking_blocks import (
    all_thinking,
    call_ids,
    has_thinking,
    thinking_by_tool_call,
    without_thinking,
)
from modelmux.wire.anthropic import (
    Block,
    InputMessage,
    MessagesRequest,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from modelmux.wire.openai.chat_request import decode_request
from support.translation import OPUS, PREFILL, body_of, translate_request

NEVER = builtin().card("claude-3-5-haiku")
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "sig"}
EMPTY = {"type": "thinking", "thinking": "", "signature": "sig"}
REDACTED = {"type": "redacted_thinking", "data": "x"}
USER = {"role": "user", "content": "q"}


def blocks(messages: list[dict[str, Any]], card: Any = OPUS, recall: Any = None) -> list[list[dict[str, Any]]]:
    """The blocks of each assistant turn that is sent."""
    request = decode_request(json.dumps({"model": "m", "messages": messages}).encode())
    translated = translate_request(request, card, recall=recall or (lambda _: None))
    return [m["content"] for m in body_of(translated)["messages"] if m["role"] == "assistant"]


def kinds(messages: list[dict[str, Any]], recall: Any) -> list[list[str]]:
    """The same, short: a thought as its signature, a call as its id, a text as itself."""
    return [
        [b.get("signature") or b.get("data") or b.get("id") or b["text"] for b in turn]
        for turn in blocks(messages, recall=recall)
    ]


RETURNED: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("thinking_blocks", {"thinking_blocks": [SIGNED, REDACTED, EMPTY]}, [SIGNED, REDACTED, EMPTY]),
    ("without the unsigned", {"thinking_blocks": [{"type": "thinking", "thinking": "a"}, SIGNED,
                                                  {"type": "thinking", "thinking": "b", "signature": ""}]}, [SIGNED]),
    ("nonsense", {"thinking_blocks": [{}, {"type": "text", "text": "x"}, {"type": "thinking", "signature": 5},
                                      {"type": "redacted_thinking", "data": {}}, {"type": "redacted_thinking"}]}, []),
    ("a text that is none", {"thinking_blocks": [{"type": "thinking", "thinking": None, "signature": "sig"}]}, [EMPTY]),
    ("reasoning_details", {"reasoning_details": [
        {"type": "reasoning.text", "text": "hm", "signature": "sig"}, {"type": "reasoning.encrypted", "data": "x"},
        {"type": "reasoning.summary", "summary": "s"}, {"type": "reasoning.text", "text": "unsigned"}]},
     [SIGNED, REDACTED]),
    ("details of Claude's, or nobody's", {"reasoning_details": [
        {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "x", "format": "unknown"}]}, [SIGNED, REDACTED]),
    ("details of another provider", {"reasoning_details": [
        {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "google-gemini-v1"},
        {"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"}]}, []),
    ("content parts", {"content": [{"type": "thinking", "thinking": "hm", "signature": "sig"},
                                   {"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "a"}]},
     [SIGNED, REDACTED]),
    ("other providers' parts", {"content": [{"type": "thinking", "thinking": [{"type": "text"}]},
                                            {"type": "text", "text": "a"}]}, []),
    ("the first form that has any wins", {"thinking_blocks": [EMPTY], "reasoning_details": [
        {"type": "reasoning.encrypted", "data": "y"}], "content": [{"type": "redacted_thinking", "data": "z"},
                                                                   {"type": "text", "text": "a"}]}, [EMPTY]),
    ("a form with none is passed over", {"thinking_blocks": [{"type": "thinking", "thinking": "unsigned"}],
                                         "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
     [REDACTED]),
    ("plain reasoning is not sent back", {"reasoning_content": "hm", "reasoning": "hm"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), [r[1:] for r in RETURNED], ids=[r[0] for r in RETURNED])
def test_what_a_client_returns_goes_back_signed_and_unchanged(
    fields: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    messages = [USER, {"role": "assistant", "content": "a", **fields}, USER]
    assert blocks(messages) == [[*expected, {"type": "text", "text": "a"}]]
    assert blocks(messages, NEVER) == [[{"type": "text", "text": "a"}]]


def answer(*ids: str, **fields: Any) -> dict[str, Any]:
    calls = [{"id": id, "type": "function", "function": {"name": "f"}} for id in ids]
    return {"role": "assistant", "tool_calls": calls, **fields}


def loop(*answers: dict[str, Any]) -> list[dict[str, Any]]:
    """A tool loop: each answer with the results of its calls."""
    messages = [USER]
    for each in answers:
        messages += [each, *({"role": "tool", "tool_call_id": c["id"], "content": "r"} for c in each["tool_calls"])]
    return messages


def knowing(**known: tuple[str, ...]) -> Any:
    """A memory that knows the signatures of some calls."""

    def recall(id: str) -> tuple[SignedThinking, ...] | None:
        return tuple(ThinkingBlock("", s) for s in known[id]) if id in known else None

    return recall


REMEMBERED: list[tuple[str, list[dict[str, Any]], Any, list[list[str]]]] = [
    ("one call", loop(answer("a")), knowing(a=("s1", "s2")), [["s1", "s2", "a"]]),
    ("before the text", loop(answer("a", content="t")), knowing(a=("s",)), [["s", "t", "a"]]),
    ("between calls of one answer", loop(answer("a", "b", "c")), knowing(a=("s1",), b=("s2",), c=()),
     [["s1", "a", "s2", "b", "c"]]),
    ("a later call of an answer is not known", loop(answer("a", "b")), knowing(a=("s1",)), [["s1", "a", "b"]]),
    ("several answers", loop(answer("a"), answer("b")), knowing(a=("s1",), b=("s2",)), [["s1", "a"], ["s2", "b"]]),
    ("a call that is not known makes a gap: what is older stays away", loop(answer("a"), answer("b"), answer("c")),
     knowing(a=("s1",), c=("s3",)), [["a"], ["b"], ["s3", "c"]]),
    ("a call that is known to have none makes none", loop(answer("a"), answer("b"), answer("c")),
     knowing(a=("s1",), b=(), c=("s3",)), [["s1", "a"], ["b"], ["s3", "c"]]),
    ("what the client returns wins", loop(answer("a", thinking_blocks=[SIGNED]), answer("b")),
     knowing(a=("s1",), b=("s2",)), [["sig", "a"], ["s2", "b"]]),
    ("an answer without calls is no gap",
     [*loop(answer("a")), {"role": "assistant", "content": "t"}, *loop(answer("b"))],
     knowing(a=("s1",), b=("s2",)), [["s1", "a"], ["t"], ["s2", "b"]]),
    ("an answer cut in two by the client", [USER, {"role": "assistant", "content": "t"}, *loop(answer("a", "b"))[1:]],
     knowing(a=("s1",), b=("s2",)), [["s1", "t", "a", "s2", "b"]]),
    ("one cut into its calls", [USER, answer("a"), answer("b"), *loop(answer("a", "b"))[2:]],
     knowing(a=("s1",), b=("s2",)), [["s1", "a", "s2", "b"]]),
    ("one cut in two whose thinking came back with the text",
     [USER, {"role": "assistant", "content": "t", "thinking_blocks": [SIGNED]}, *loop(answer("a"))[1:]],
     knowing(a=("sig",)), [["sig", "t", "a"]]),
    ("one cut in two of which a part is empty", [USER, {"role": "assistant", "content": ""}, *loop(answer("a"))[1:]],
     knowing(a=("s1",)), [["s1", "a"]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "recall", "expected"), [r[1:] for r in REMEMBERED], ids=[r[0] for r in REMEMBERED]
)
def test_what_was_remembered_stands_before_its_call(
    messages: list[dict[str, Any]], recall: Any, expected: list[list[str]]
) -> None:
    assert kinds(messages, recall) == expected


def test_without_a_memory_nothing_is_known() -> None:
    assert no_memory("a") is None


def test_a_model_that_never_thinks_is_not_asked_about() -> None:
    def recall(_: str) -> None:
        raise AssertionError

    assert [b["id"] for b in blocks(loop(answer("a")), NEVER, recall)[0]] == ["a"]


def test_the_calls_of_a_reply_with_the_thinking_before_each() -> None:
    found = thinking_by_tool_call(
        [
            Block("thinking", thinking="1", signature="s1"),
            Block("text", text="t"),
            Block("redacted_thinking", data="d"),
            Block("tool_use", id="a"),
            Block("tool_use", id="b"),
            Block("thinking", thinking="unsigned"),
            Block("thinking", thinking=None, signature="s2"),
            Block("server_tool_use", id="z"),
            Block("tool_use"),
            Block("tool_use", id="c"),
            Block("thinking", thinking="3", signature="s3"),
        ]
    )
    assert found == [
        ("a", (ThinkingBlock("1", "s1"), RedactedThinkingBlock("d"))),
        ("b", ()),
        ("c", (ThinkingBlock("", "s2"),)),
    ]


def test_returned_thinking_that_memory_knows_goes_back_between_its_calls() -> None:
    returned = [{"type": "thinking", "thinking": "", "signature": s} for s in ("s1", "s2")]
    messages = loop(answer("a", "b", thinking_blocks=returned))
    assert kinds(messages, knowing(a=("s1",), b=("s2",))) == [["s1", "a", "s2", "b"]]
    assert kinds(messages, knowing(a=("s1",))) == [["s1", "s2", "a", "b"]]  # places unknown: all at the start


def test_without_thoughts_everything_else_stays() -> None:
    messages = [USER, {"role": "assistant", "content": "x", "thinking_blocks": [SIGNED]}, USER, *loop(answer("a"))[1:]]
    request = decode_request(json.dumps({"model": "m", "messages": messages, "stop": "x"}).encode())
    body = translate_request(request, OPUS, recall=knowing(a=("s",))).body
    del body.messages[1].content[1]  # a turn of nothing but thinking
    bare = without_thinking(body)
    assert has_thinking(body)
    assert not has_thinking(bare)
    assert [m.role for m in bare.messages] == ["user", "user", "assistant", "user"]
    assert len(body.messages) == 5, "the original is not changed"
    bare.messages, messages_before = body.messages, bare.messages
    assert bare == body
    assert all(m.content for m in messages_before)


def test_thoughts_go_before_a_prefill_too() -> None:
    begun = {"role": "assistant", "content": "a", "thinking_blocks": [SIGNED]}
    assert blocks([USER, begun], PREFILL) == [[SIGNED, {"type": "text", "text": "a"}]]


@pytest.mark.parametrize(
    "fields",
    [{"thinking_blocks": [{**SIGNED, "type": "text"}]},
     {"reasoning_details": [{"type": "reasoning.summary", "text": "hm", "signature": "sig"}]}],
)  # fmt: skip
def test_what_is_signed_but_no_thinking_is_dropped(fields: dict[str, Any]) -> None:
    assert blocks([USER, {"role": "assistant", "content": "a", **fields}, USER]) == [[{"type": "text", "text": "a"}]]


def test_only_thinking_is_remembered() -> None:
    said = [Block("text", thinking="hm", signature="sig"), Block("tool_use", id="c", name="f")]
    assert thinking_by_tool_call(said) == [("c", ())]


def test_only_the_refused_thoughts_are_left_out() -> None:
    answer = {"role": "assistant", "content": "a", "thinking_blocks": [SIGNED, REDACTED]}
    request = decode_request(json.dumps({"model": "m", "messages": [USER, answer, USER]}).encode())
    body = translate_request(request, OPUS).body
    left = without_thinking(body, lambda thought: isinstance(thought, RedactedThinkingBlock))
    assert all_thinking(left) == [ThinkingBlock("hm", "sig")]


def test_calls_of_a_history_are_the_clients_own_and_the_newest_first() -> None:
    """Risk: another node is asked for ids that no node remembers, or for the same one many times."""

    def use(id: str) -> ToolUseBlock:
        return ToolUseBlock(id, "f", {})

    messages = [
        InputMessage("user", [TextBlock("q")]),
        InputMessage("assistant", [TextBlock("t"), use("a"), use("b_1")]),
        InputMessage("user", [TextBlock("q")]),
        InputMessage("assistant", [use("c"), use("legacy"), use("a")]),
    ]
    body = MessagesRequest("v", 9, messages)
    assert call_ids(ClaudeRequest(body, client_ids={"b_1": "b", "legacy": "function:f"})) == ["c", "a", "b"]
    assert call_ids(ClaudeRequest(MessagesRequest("v", 9, messages[:1]))) == []

"""Prompt-cache breakpoints: at most four, the client's own first, and never anything else changed (E55)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.claude import caching
from modelmux.claude.caching import set_on_last
from modelmux.claude.draft import Draft
from modelmux.claude.options import Options
from modelmux.claude.prepare import no_memory
from modelmux.claude.request import CacheOptions, ClaudeRequest
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.anthropic import EPHEMERAL
from support.translation import PREFILL, SONNET, notices, sent

AUTO = Options()
FIVE = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TOOL = {"type": "function", "function": {"name": "f"}}


def marked(body: dict[str, Any]) -> list[str]:
    """Where breakpoints stand, as paths, in the order the API reads them."""
    found: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            if "cache_control" in value:
                found.append(path)
            for key, inner in value.items():
                walk(inner, f"{path}.{key}")
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                walk(inner, f"{path}.{index}")

    for name in ("tools", "system", "messages"):
        walk(body.get(name), name)
    return found


def text(value: str = "a", **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


LIFETIMES: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({}, None),
    ({"cache_control": None}, None),
    ({"cache_control": {}}, FIVE),
    ({"cache_control": {"type": "ephemeral"}}, FIVE),
    ({"cache_control": {"type": "ephemeral", "ttl": "5m"}}, FIVE),
    ({"cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"}}, HOUR),
    ({"prompt_cache_breakpoint": {}}, FIVE),
    ({"prompt_cache_breakpoint": {"mode": "on"}}, FIVE),
    ({"prompt_cache_breakpoint": {"mode": "off"}}, None),
    ({"prompt_cache_breakpoint": {"ttl": "30m"}}, HOUR),
    ({"prompt_cache_breakpoint": {"ttl": "12h"}}, HOUR),
    ({"prompt_cache_breakpoint": {"ttl": "12h"}, "cache_control": {}}, FIVE),
]


@pytest.mark.parametrize(("fields", "expected"), LIFETIMES)
def test_a_breakpoint_of_either_dialect(fields: dict[str, Any], expected: dict[str, Any] | None) -> None:
    body = sent({"messages": [{"role": "user", "content": [text(**fields)]}]})
    assert body["messages"][0]["content"][0].get("cache_control") == expected


CACHED: dict[str, Any] = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
                          "tools": [TOOL]}  # fmt: skip
OPTIONS: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    # OpenAI's options, what every breakpoint of ours is then
    ({}, FIVE),
    ({"mode": "implicit"}, FIVE),
    ({"ttl": "30m"}, HOUR),
    ({"mode": "implicit", "ttl": "12h"}, HOUR),
    ({"mode": "explicit"}, None),
    ({"mode": "explicit", "ttl": "30m"}, None),
]


@pytest.mark.parametrize(("asked", "expected"), OPTIONS)
def test_openais_options_rule_the_breakpoints_of_ours(asked: dict[str, Any], expected: dict[str, Any] | None) -> None:
    body = sent({**CACHED, "prompt_cache_options": asked}, SONNET, AUTO)
    assert body["system"][0].get("cache_control") == expected
    assert body["messages"][-1]["content"][-1].get("cache_control") == expected
    assert not notices({**CACHED, "prompt_cache_options": asked}, SONNET, AUTO)


def test_openais_options_rule_the_clients_own_breakpoints_too() -> None:
    messages = [{"role": "user", "content": [text(prompt_cache_breakpoint={"mode": "explicit"}), text("b")]}]
    for mode in ("implicit", "explicit"):
        body = sent({"messages": messages, "prompt_cache_options": {"mode": mode, "ttl": "30m"}}, SONNET, AUTO)
        assert [block.get("cache_control") for block in body["messages"][0]["content"]] == [HOUR, None]


def test_an_option_of_caching_nobody_has_is_named() -> None:
    asked = {"prompt_cache_options": {"prewarm": True, "mode": None, "ttl": None}}
    assert notices(asked) == [("ignored", "prompt_cache_options.prewarm")]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"prompt_cache_options": {"mode": "manual"}}, "prompt_cache_options.mode"),
    ({"prompt_cache_options": {"ttl": "2d"}}, "prompt_cache_options.ttl"),
    ({"messages": [{"role": "user", "content": [text(cache_control={"ttl": "9d"})]}]},
     "messages.0.content.0.cache_control.ttl"),
    ({"messages": [{"role": "user", "content": [text(prompt_cache_breakpoint={"ttl": ["1h"]})]}]},
     "messages.0.content.0.prompt_cache_breakpoint.ttl"),
    ({"messages": [{"role": "user", "content": "a", "cache_control": {"ttl": ""}}]}, "messages.0.cache_control.ttl"),
    ({"cache_control": {"ttl": "9d"}}, "cache_control.ttl"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), WRONG)
def test_a_lifetime_nobody_offers_is_refused_by_place(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent(fields)
    assert caught.value.param == param


CALL = {"id": "c", "type": "function", "function": {"name": "f"}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
MARKER = {"cache_control": {"type": "ephemeral"}}
HOLDERS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a tool", {"tools": [TOOL | MARKER, {**TOOL, "function": {"name": "g"}}]}, ["tools.0"]),
    ("a function", {"tools": [{**TOOL, "function": {"name": "g", **MARKER}}]}, ["tools.0"]),
    ("a system message", {"messages": [{"role": "system", "content": [text(), text()], **MARKER},
                                       {"role": "user", "content": "a"}]}, ["system.1"]),
    ("a system part", {"messages": [{"role": "system", "content": [text(**MARKER), text()]},
                                    {"role": "user", "content": "a"}]}, ["system.0"]),
    ("a user message", {"messages": [{"role": "user", "content": [text(), text()], **MARKER}]},
     ["messages.0.content.1"]),
    ("a late system message", {"messages": [{"role": "user", "content": "a"},
                                            {"role": "system", "content": "b", **MARKER}]}, ["messages.0.content.1"]),
    ("an assistant message with calls", {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "tool_calls": [CALL], **MARKER},
        {"role": "tool", "tool_call_id": "c", "content": "r"}]}, ["messages.1.content.1"]),
    ("an empty assistant message", {"messages": [{"role": "user", "content": "a"},
                                                 {"role": "assistant", "content": "", **MARKER}]},
     ["messages.0.content.0"]),
    ("an assistant message of thinking", {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "thinking_blocks": [THOUGHT], **MARKER},
        {"role": "user", "content": "b"}]}, ["messages.0.content.0"]),
    ("blank text of an assistant message with calls", {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": [text(" ", **MARKER)], "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "r"}]}, ["messages.0.content.0"]),
    ("a blank answer to a tool's result", {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "r"}, {"role": "assistant", "content": [text("", **MARKER)]},
        {"role": "user", "content": "b"}]}, ["messages.2.content.0"]),
    ("a blank system part", {"messages": [{"role": "system", "content": [text("s"), text("", **MARKER)]},
                                          {"role": "user", "content": "a"}]}, ["system.0"]),
    ("a blank system message between others", {"messages": [
        {"role": "system", "content": "s"}, {"role": "system", "content": "", **MARKER},
        {"role": "system", "content": "t"}, {"role": "user", "content": "a"}]}, ["system.0"]),
    ("a blank system message before others", {"messages": [
        {"role": "system", "content": None, **MARKER}, {"role": "developer", "content": "t"},
        {"role": "user", "content": "a"}]}, ["system.0"]),
    ("a blank system prompt", {"messages": [{"role": "system", "content": [text("", **MARKER)]},
                                            {"role": "user", "content": [text(), text()]}]}, ["messages.0.content.0"]),
    ("a blank system prompt after tools", {"tools": [TOOL], "messages": [
        {"role": "system", "content": " ", **MARKER}, {"role": "user", "content": "a"}]}, ["tools.0"]),
    ("a blank late system message", {"messages": [
        {"role": "user", "content": "a"}, {"role": "system", "content": "", **MARKER},
        {"role": "user", "content": "b"}]}, ["messages.0.content.0"]),
    ("a blank part of a tool's result", {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": [text("", **MARKER)]}]}, ["messages.2.content.0"]),
    ("a blank part of a function's result", {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": [text("", **MARKER)]}]}, ["messages.2.content.0"]),
    ("the whole prompt, ending in thinking", {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "thinking_blocks": [THOUGHT]}], **MARKER},
     ["messages.0.content.0"]),
    ("a tool's result, not what follows it", {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [CALL]},
        {"role": "user", "content": "b"}, {"role": "tool", "tool_call_id": "c", "content": "r", **MARKER}]},
     ["messages.2.content.0"]),
    ("a part of a tool's result", {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": [text(**MARKER)]}]}, ["messages.2.content.0.content.0"]),
    ("a result without a call", {"messages": [{"role": "tool", "tool_call_id": "c", "content": "r", **MARKER}]},
     ["messages.0.content.1"]),
    ("the whole prompt", {"messages": [{"role": "user", "content": [text(), text()]}], **MARKER},
     ["messages.0.content.1"]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "paths"), [h[1:] for h in HOLDERS], ids=[h[0] for h in HOLDERS])
def test_a_clients_breakpoint_stands_where_it_belongs_and_keeps_ours_away(
    fields: dict[str, Any], paths: list[str]
) -> None:
    body = sent(fields, PREFILL, AUTO)
    assert marked(body) == paths
    assert not any(field == "cache_control" for _, field in notices(fields, PREFILL))


def test_of_more_than_four_the_earliest_are_dropped() -> None:
    parts = [text(str(i), **MARKER) for i in range(6)]
    fields = {"tools": [TOOL | MARKER], "messages": [{"role": "user", "content": parts}]}
    assert marked(sent(fields)) == [f"messages.0.content.{i}" for i in (2, 3, 4, 5)]
    assert notices(fields) == [("dropped", "cache_control")]
    messages = [
        USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": parts},
    ]
    assert marked(sent({"messages": messages})) == [f"messages.2.content.0.content.{i}" for i in (2, 3, 4, 5)]
    fields["messages"] = [{"role": "user", "content": parts[:3]}]
    assert marked(sent(fields)) == ["tools.0", *(f"messages.0.content.{i}" for i in range(3))]


LIVES: list[tuple[str, list[str | None], list[str | None]]] = [
    ("long before short", ["1h", "1h", None], ["1h", "1h", None]),
    ("short before long", [None, "1h"], ["1h", "1h"]),
    ("mixed", [None, "1h", "5m", "1h"], ["1h", "1h", "1h", "1h"]),
    ("short at the end", [None, "1h", None], ["1h", "1h", None]),
    ("the long one is dropped", ["1h", None, None, None, None], [None, None, None, None]),
]


@pytest.mark.parametrize(("given", "expected"), [v[1:] for v in LIVES], ids=[v[0] for v in LIVES])
def test_a_shorter_lifetime_never_stands_before_a_longer_one(
    given: list[str | None], expected: list[str | None]
) -> None:
    """Upstream refuses that, whoever of client, framework and proxy set which."""
    parts = [text(str(i), cache_control={"type": "ephemeral", "ttl": ttl}) for i, ttl in enumerate(given)]
    fields = {"messages": [{"role": "user", "content": parts}]}
    found = [b["cache_control"].get("ttl") for b in sent(fields)["messages"][0]["content"] if "cache_control" in b]
    assert found == expected
    changed = given[-4:] != expected and [t or "5m" for t in given[-4:]] != [t or "5m" for t in expected]
    assert (("changed", "cache_control") in notices(fields)) is changed


USER, SYSTEM = {"role": "user", "content": "a"}, {"role": "system", "content": "s"}
ANSWER = {"role": "assistant", "content": "b"}
PLANS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("one question", {"messages": [SYSTEM, USER]}, []),
    ("tools", {"tools": [TOOL], "messages": [USER]}, ["tools.0", "messages.0.content.0"]),
    ("tools and system", {"tools": [TOOL], "messages": [SYSTEM, USER]}, ["system.0", "messages.0.content.0"]),
    ("an earlier answer", {"messages": [SYSTEM, USER, ANSWER, USER]},
     ["system.0", "messages.0.content.0", "messages.2.content.0"]),
    ("many", {"messages": [USER, ANSWER, USER, ANSWER, USER, ANSWER, USER]},
     ["messages.4.content.0", "messages.6.content.0"]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "paths"), [p[1:] for p in PLANS], ids=[p[0] for p in PLANS])
def test_ours_stand_where_the_prompt_will_be_sent_again(fields: dict[str, Any], paths: list[str]) -> None:
    assert marked(sent(fields, SONNET, AUTO)) == paths
    assert marked(sent(fields, SONNET, Options(caching=False))) == []
    plain = json.dumps(sent(fields, SONNET, AUTO)).replace(', "cache_control": {"type": "ephemeral"}', "")
    assert json.loads(plain) == sent(fields, SONNET, Options(caching=False))


def test_what_cannot_hold_a_breakpoint_is_passed_over() -> None:
    first, last = anthropic.TextBlock("a"), anthropic.ThinkingBlock("t", "s")
    blocks: list[Any] = [first, last]
    assert set_on_last(blocks, EPHEMERAL) is True
    assert blocks == [anthropic.TextBlock("a", EPHEMERAL), last]
    assert first.cache_control is None, "the block itself is shared"
    assert set_on_last([last], EPHEMERAL) is False
    assert set_on_last([], EPHEMERAL) is False
    assert set_on_last(blocks, None) is False
    assert blocks[0].cache_control == EPHEMERAL


def test_every_marker_has_its_type_and_lifetime() -> None:
    hour = {"type": "ephemeral", "ttl": "1h"}
    parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    body = sent({"messages": [{"role": "user", "content": parts}], "cache_control": hour})
    assert [block["cache_control"] for block in body["messages"][0]["content"]] == [hour, hour]


def test_the_end_of_the_prompt_is_the_last_block_that_can_hold_a_breakpoint() -> None:
    body = anthropic.MessagesRequest(anthropic.VERTEX_VERSION, 100, [
        anthropic.InputMessage("user", [anthropic.TextBlock("a")]),
        anthropic.InputMessage("assistant", [anthropic.ThinkingBlock("t", "s")]),
    ])  # fmt: skip
    request = ClaudeRequest(body, cache=CacheOptions(prompt_breakpoint=EPHEMERAL))
    draft = Draft(request, SONNET, AUTO, no_memory)
    caching.apply(draft)
    assert draft.body.messages[0].content == [anthropic.TextBlock("a", EPHEMERAL)]
    assert draft.body.messages[1] is body.messages[1], "unchanged parts are shared"
    assert body.messages[0].content == [anthropic.TextBlock("a")]


@pytest.mark.parametrize(("own", "kept"), [(None, "1h"), (EPHEMERAL, None)])
def test_a_breakpoint_without_a_block_goes_to_the_next_one_that_has_none(
    own: anthropic.CacheControl | None, kept: str | None
) -> None:
    """A breakpoint on an empty system prompt: it moves to the nearest block, whose own breakpoint precedes it."""
    block = anthropic.TextBlock("a", own)
    body = anthropic.MessagesRequest(anthropic.VERTEX_VERSION, 100, [anthropic.InputMessage("user", [block])])
    orphan = anthropic.CacheControl("ephemeral", "1h")
    draft = Draft(ClaudeRequest(body, cache=CacheOptions(orphan_breakpoint=orphan)), SONNET, AUTO, no_memory)
    caching.apply(draft)
    (sent_block,) = draft.body.messages[0].content
    assert isinstance(sent_block, anthropic.TextBlock)
    assert sent_block.cache_control is not None
    assert sent_block.cache_control.ttl == kept

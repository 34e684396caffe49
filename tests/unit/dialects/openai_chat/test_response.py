"""Whole replies: every block lands where OpenAI clients look for it, and nothing else leaks in (E13, E26 to E28)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.openai_chat.response import translate_response
from modelmux.wire import anthropic

PLAIN = ReplyPlan("m")
LISTING = {"properties": {"x": {"type": "array"}}, "required": ["x"]}


def reply(*blocks: dict[str, Any], shape: ReplyPlan = PLAIN, **fields: Any) -> dict[str, Any]:
    raw = json.dumps({"content": list(blocks), "stop_reason": "end_turn", **fields}).encode()
    completion = translate_response(anthropic.decode_message(raw), shape, id="chatcmpl-1", created=7)
    plain: dict[str, Any] = msgspec.to_builtins(completion)
    return plain


def message(*blocks: dict[str, Any], shape: ReplyPlan = PLAIN, **fields: Any) -> dict[str, Any]:
    """The message of the answer, without what is always there and empty here."""
    found: dict[str, Any] = reply(*blocks, shape=shape, **fields)["choices"][0]["message"]
    assert found.pop("role") == "assistant"
    if found["refusal"] is None:
        del found["refusal"]
    return found


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def tool(id: str = "a", name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, **fields}


def called(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def cite(url: str) -> dict[str, Any]:
    return {"type": "web_search_result_location", "url": url, "title": "T"}


def cited(url: str, start: int, end: int) -> dict[str, Any]:
    found = {"start_index": start, "end_index": end, "url": url, "title": "T"}
    return {"type": "url_citation", "url_citation": found}


SIGNED = {"type": "thinking", "thinking": "hm", "signature": "sig"}
REDACTED = {"type": "redacted_thinking", "data": "x"}
SERVER = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result"}]}

CASES: list[tuple[str, list[dict[str, Any]], ReplyPlan, dict[str, Any]]] = [
    ("text", [text("a"), text("b")], PLAIN, {"content": "ab"}),
    ("nothing", [], PLAIN, {"content": ""}),
    ("empty text", [text("")], PLAIN, {"content": ""}),
    ("text and a call", [text("so"), tool(input={"x": 1})], PLAIN,
     {"content": "so", "tool_calls": [called("a", "f", '{"x": 1}')]}),
    ("calls alone have null content", [tool("a"), tool("b", input={})], PLAIN,
     {"content": None, "tool_calls": [called("a", "f", "{}"), called("b", "f", "{}")]}),
    ("a call without a name or an id", [{"type": "tool_use"}], PLAIN,
     {"content": None, "tool_calls": [called("", "", "{}")]}),
    ("a renamed tool", [tool(name="ns_f_1")], ReplyPlan("m", tool_names={"ns_f_1": "ns/f"}),
     {"content": None, "tool_calls": [called("a", "ns/f", "{}")]}),
    ("a custom tool", [tool(name="sh", input={"input": "ls"}), tool("b", "sh_1", input={"input": "x"})],
     ReplyPlan("m", custom_tools=frozenset({"sh", "sh_1"}), tool_names={"sh_1": "s.h"}),
     {"content": None, "tool_calls": [
         {"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
         {"id": "b", "type": "custom", "custom": {"name": "s.h", "input": "x"}}]}),
    ("a custom tool with other input", [tool(name="sh", input={"input": 5}), tool("b", "sh", input=[])],
     ReplyPlan("m", custom_tools=frozenset({"sh"})),
     {"content": None, "tool_calls": [
         {"id": "a", "type": "custom", "custom": {"name": "sh", "input": '{"input": 5}'}},
         {"id": "b", "type": "custom", "custom": {"name": "sh", "input": "[]"}}]}),
    ("a legacy call", [tool(input={"x": 1}), tool("b", "g")], ReplyPlan("m", legacy_function=True),
     {"content": None, "function_call": {"name": "f", "arguments": '{"x": 1}'}}),
    ("no legacy call", [text("a")], ReplyPlan("m", legacy_function=True), {"content": "a"}),
    ("an answer by way of a tool", [text("so "), tool(name="answer", input={"x": 1}), tool("b")],
     ReplyPlan("m", answer_tool="answer"), {"content": 'so {"x": 1}', "tool_calls": [called("b", "f", "{}")]}),
    ("an answer by way of a tool in an envelope", [tool(name="answer", input={"parameter": {"x": "[]"}})],
     ReplyPlan("m", answer_tool="answer", answer_schema=LISTING), {"content": '{"x": []}'}),
    ("fences", [text("```json\n"), text('{"a":1}\n```', citations=[cite("https://a")])],
     ReplyPlan("m", strip_code_block=True), {"content": '{"a":1}'}),
    ("reasoning", [SIGNED, text("a"), {**SIGNED, "thinking": "more", "signature": "sig2"}, REDACTED], PLAIN,
     {"content": "a", "reasoning_content": "hmmore",
      "thinking_blocks": [SIGNED, {**SIGNED, "thinking": "more", "signature": "sig2"}, REDACTED]}),
    ("omitted reasoning keeps its signature", [{**SIGNED, "thinking": ""}], PLAIN,
     {"content": "", "thinking_blocks": [{**SIGNED, "thinking": ""}]}),
    ("unsigned reasoning is only shown", [{"type": "thinking", "thinking": "hm"}, {"type": "redacted_thinking"}], PLAIN,
     {"content": "", "reasoning_content": "hm"}),
    ("hidden reasoning", [SIGNED, REDACTED, text("a")], ReplyPlan("m", show_reasoning=False), {"content": "a"}),
    ("server tools and news stay out", [SERVER, FOUND, {"type": "news", "text": "x", "thinking": "y", "data": "z"},
                                        {"type": "redacted_thinking", "data": "", "thinking": "y"}, text("a")], PLAIN,
     {"content": "a"}),
    ("citations", [text("é🎉"), text("bc", citations=[cite("https://a"), cite("https://b"), cite("https://a")]),
                   text("", citations=[cite("https://c")]), text("d", citations=None),
                   text("e", citations=[cite("https://a")])], PLAIN,
     {"content": "é🎉bcde",
      "annotations": [cited("https://a", 2, 4), cited("https://b", 2, 4), cited("https://a", 5, 6)]}),
]  # fmt: skip


@pytest.mark.parametrize(("blocks", "shape", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_where_each_block_lands(blocks: list[dict[str, Any]], shape: ReplyPlan, expected: dict[str, Any]) -> None:
    assert message(*blocks, shape=shape) == expected


REFUSED = "The model refused to answer."
REFUSALS: list[tuple[list[dict[str, Any]], Any, dict[str, Any]]] = [
    ([], None, {"content": None, "refusal": REFUSED}),
    ([], {"type": "refusal", "explanation": "No."}, {"content": None, "refusal": "No."}),
    ([text("part")], {"type": "refusal", "category": "cyber", "explanation": None},
     {"content": "part", "refusal": REFUSED}),
]  # fmt: skip


@pytest.mark.parametrize(("blocks", "details", "expected"), REFUSALS)
def test_a_refusal_is_an_answer_with_a_refusal(blocks: list[dict[str, Any]], details: Any, expected: Any) -> None:
    whole = reply(*blocks, stop_reason="refusal", stop_details=details)
    assert whole["choices"][0]["finish_reason"] == "content_filter"
    found = whole["choices"][0]["message"]
    assert {name: found[name] for name in expected} == expected


def test_the_envelope_is_the_clients_and_the_usage_adds_up() -> None:
    whole = reply(text("a"), id="msg_1", model="claude-x", usage={"input_tokens": 1, "cache_read_input_tokens": 2})
    assert (whole["id"], whole["object"], whole["created"], whole["model"]) == ("chatcmpl-1", "chat.completion", 7, "m")
    assert whole["usage"]["prompt_tokens"] == 3
    assert reply()["usage"]["total_tokens"] == 0
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert reply(tool())["choices"][0]["finish_reason"] == "tool_calls"
    assert reply(tool(), shape=ReplyPlan("m", legacy_function=True))["choices"][0]["finish_reason"] == "function_call"
    assert reply(tool(name="j"), shape=ReplyPlan("m", answer_tool="j"))["choices"][0]["finish_reason"] == "stop"
    assert reply(tool(), stop_reason="max_tokens")["choices"][0]["finish_reason"] == "length"


def test_a_reply_without_content_is_empty() -> None:
    completion = translate_response(anthropic.Message(), PLAIN, id="i", created=0)
    assert completion.choices[0].message.content == ""


ARGUMENTS: list[tuple[bytes, str]] = [
    (b'{"b":1.0, "a":"\\u00e9"}', '{"b":1.0, "a":"\\u00e9"}'),
    (b'{"a":1e400,"a":2}', '{"a":1e400,"a":2}'),
    (b'{"a":"\xff"}', '{"a":"\ufffd"}'),
    (b"null", "null"),
    (b'"cut', '"cut'),
]


@pytest.mark.parametrize(("raw", "expected"), ARGUMENTS)
def test_arguments_are_the_upstreams_own_text(raw: bytes, expected: str) -> None:
    block = anthropic.Block("tool_use", id="a", name="f", input=msgspec.Raw(raw))
    completion = translate_response(anthropic.Message(content=[block]), PLAIN, id="i", created=0)
    calls = completion.choices[0].message.tool_calls
    assert isinstance(calls, list)
    assert msgspec.to_builtins(calls[0])["function"]["arguments"] == expected


@pytest.mark.parametrize("raw", [b'{"input": "cut', b"[" * 10_000 + b"]" * 10_000, b'{"input":"\xff"}'])
def test_a_custom_tools_text_that_cannot_be_read_is_passed_as_it_is(raw: bytes) -> None:
    shape = ReplyPlan("m", custom_tools=frozenset({"sh"}))
    block = anthropic.Block("tool_use", id="a", name="sh", input=msgspec.Raw(raw))
    calls = (
        translate_response(anthropic.Message(content=[block]), shape, id="i", created=0).choices[0].message.tool_calls
    )
    assert isinstance(calls, list)
    expected = "\ufffd" if b"\xff" in raw else raw.decode()
    assert msgspec.to_builtins(calls[0])["custom"] == {"name": "sh", "input": expected}


def test_a_custom_call_without_id_has_an_empty_one() -> None:
    shape = ReplyPlan("m", custom_tools=frozenset({"sh"}))
    assert message({"type": "tool_use", "name": "sh", "input": {}}, shape=shape)["tool_calls"][0]["id"] == ""

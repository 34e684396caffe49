"""Risk: a history that leaves nothing to doubt is refused, or loses a call, a result or a breakpoint without a word."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message, TextBlock, ThinkingBlock, ToolUseBlock, Usage

from modelmux.claude.notices import reject_notices
from modelmux.errors import InvalidRequest
from support.foreign import prepared, told, upstream, user
from support.work import assert_linear

Json = dict[str, Any]
EPHEMERAL = {"type": "ephemeral"}
TEXT = {"type": "text", "text": "hi"}
USE = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}
ANSWER = {"type": "tool_result", "tool_use_id": "c", "content": "r"}


def call(id: str | None = "c", name: str = "f") -> Json:
    function = {"name": name, "arguments": "{}"}
    return {"type": "function", "function": function, **({} if id is None else {"id": id})}


def called(*calls: Json, content: Any = None) -> Json:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(content: Any = "r", **fields: Any) -> Json:
    return {"role": "tool", "content": content, **fields}


def results(messages: list[Json]) -> list[tuple[str, Any]]:
    """Name of the tool and content of each result that is not an error."""
    turns = upstream({"messages": messages})["messages"]
    blocks = [block for turn in turns for block in turn["content"]]
    names = {block["id"]: block["name"] for block in blocks if block["type"] == "tool_use"}
    found = [block for block in blocks if block["type"] == "tool_result" and not block.get("is_error")]
    return [(names[block["tool_use_id"]], block.get("content")) for block in found]


TWO = called(call(None, "f"), call(None, "g"))
MATCHED: list[tuple[str, list[Json], list[tuple[str, Any]]]] = [
    ("neither has an id", [called(call(None)), result()], [("f", "r")]),
    ("results with names", [TWO, result("1", name="g"), result("2", name="f")], [("g", "1"), ("f", "2")]),
    ("empty ids and names",
     [called(call("", "f"), call("", "g")), result("1", tool_call_id="", name="g"),
      result("2", tool_call_id="", name="f")],
     [("g", "1"), ("f", "2")]),
    ("only the result has an id", [called(call(None)), result(tool_call_id="x")], [("f", "r")]),
    ("only the results have ids, and names",
     [TWO, result("1", tool_call_id="x", name="g"), result("2", tool_call_id="y", name="f")], [("g", "1"), ("f", "2")]),
    ("a function's result after tool calls", [called(call()), {"role": "function", "name": "f", "content": "r"}],
     [("f", "r")]),
    ("a function's result with an id",
     [called(call(), call("d")), {"role": "function", "name": "f", "tool_call_id": "d", "content": "r"}], [("f", "r")]),
    ("a tool's result after a function's call",
     [{"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}, result()],
     [("f", "r")]),
    ("a block without an id", [{"role": "assistant", "content": [USE]}, user({"type": "tool_result", "content": "r"})],
     [("f", "r")]),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "expected"), [m[1:] for m in MATCHED], ids=[m[0] for m in MATCHED])
def test_a_result_without_an_id_finds_its_call(messages: list[Json], expected: list[tuple[str, Any]]) -> None:
    assert results([user("a"), *messages]) == expected


@pytest.mark.parametrize(("message", "field"), [
    (result(), "messages.2.tool_call_id"),
    (user({"type": "tool_result", "content": "r"}), "messages.2.content.0.tool_use_id"),
    ({"type": "function_call_output", "output": "r"}, "messages.2.call_id"),
])  # fmt: skip
def test_a_result_that_may_be_that_of_two_calls_is_refused_by_its_own_name(message: Json, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepared({"messages": [user("a"), called(call("c"), call("d")), message]})
    assert (caught.value.param, field in caught.value.message) == (field, True)


RECORDS: list[Any] = [
    {"type": "file", "name": "a.txt", "size": 3}, {"type": "file", "file": {"name": "a.txt"}},
    {"type": "file", "url": "https://x.example/a.pdf"}, {"type": "document", "id": 1, "title": "t"},
    {"type": "document", "source": "wiki", "title": "t"}, {"type": "image", "id": 1}, {"type": "resource", "id": 1},
    {"type": "image", "url": "https://x.example/a.png", "width": 3}, {"type": "text", "value": "x"},
    {"type": "file", "data": "five apples"}, {"type": "file", "data": "ÄÖÜ!"},
    {"type": "search_result", "title": "t"}, {"type": "audio", "title": "t"}, {"type": "reasoning", "text": "abc"},
    {"type": "tool_use", "id": 1}, {"type": "tool_result", "value": 1}, {"type": "web_search_tool_result"},
    {"type": "resource_link"}, {"type": 5}, {"type": "refusal"}, {"type": "input_image"},
]  # fmt: skip


@pytest.mark.parametrize("record", RECORDS)
def test_records_that_a_tool_returns_are_sent_as_json(record: Json) -> None:
    for content in ([record], [TEXT, record], record, {"content": [record]}):
        for messages in (
            [called(call()), result(content, tool_call_id="c")],
            [called(call()), user({**ANSWER, "content": content})],
        ):
            ((_, sent),) = results([user("a"), *messages])
            assert json.loads(sent) == content


def test_thinking_in_a_tools_result_is_what_the_tool_returned() -> None:
    part = {"type": "thinking", "thinking": "hm"}
    messages = [user("a"), called(call()), result([part, TEXT], tool_call_id="c")]
    ((_, (thought, text)),) = results(messages)
    assert (json.loads(thought["text"])["thinking"], text) == ("hm", TEXT)
    assert told({"messages": messages, **TOOLS}) == ["changed=messages.2.content.0"]
    assert results([user("a"), called(call()), result([TEXT], tool_call_id="c")]) == [("f", "hi")]


@pytest.mark.parametrize("role", ["user", "system"])
def test_thinking_that_is_not_the_assistants_is_told(role: str) -> None:
    for part in ({"type": "thinking", "thinking": "hm"}, {"type": "reasoning", "text": "hm"}):
        fields = {"messages": [{"role": role, "content": [TEXT, part]}, user("a")]}
        assert "dropped=messages.0.content.1" in told(fields)


def test_calls_in_content_and_beside_it_are_merged() -> None:
    more = [USE, {**USE, "id": "d", "name": "g"}]
    answers = [result("1", tool_call_id="c"), result("2", tool_call_id="d")]
    for calls in ([call()], [call(), call("d", "g")], [], [call("d", "g")]):
        messages = [user("a"), called(*calls, content=more), *answers]
        assert sorted(results(messages)) == [("f", "1"), ("g", "2")]
    unnamed = [{key: value for key, value in USE.items() if key != "id"}]
    assert results([user("a"), called(call(), content=unnamed), answers[0]]) == [("f", "1")]
    assert results([user("a"), called(call(None), content=[USE]), answers[0]]) == [("f", "1")]


@pytest.mark.parametrize("role", ["user", "tool"])
def test_the_breakpoint_of_a_message_of_results_is_kept(role: str) -> None:
    message = {"role": role, "content": [ANSWER, {**ANSWER, "tool_use_id": "d"}], "cache_control": EPHEMERAL}
    fields = {"messages": [user("a"), called(call(), call("d")), message]}
    first, last = upstream(fields)["messages"][2]["content"]
    assert ("cache_control" in first, last["cache_control"]) == (False, EPHEMERAL)
    wrong = {**message, "cache_control": {"type": "ephemeral", "ttl": "SECRET"}}
    with pytest.raises(InvalidRequest) as caught:
        prepared({"messages": [user("a"), called(call(), call("d")), wrong]})
    assert caught.value.param == "messages.2.cache_control.ttl"
    own = {
        **message,
        "content": [ANSWER, {**ANSWER, "tool_use_id": "d", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    }
    last = upstream({"messages": [user("a"), called(call(), call("d")), own]})["messages"][2]["content"][1]
    assert last["cache_control"]["ttl"] == "1h"


@pytest.mark.parametrize("role", ["user", "tool"])
def test_what_else_a_message_of_results_holds_is_told(role: str) -> None:
    message = {"role": role, "content": [ANSWER], "zz": 1, "yy": None}
    assert told({"messages": [user("a"), called(call()), message], **TOOLS}) == ["ignored=messages.2.zz"]


def test_a_reply_of_anthropics_sdk_is_sent_back_without_a_notice() -> None:
    reply = Message(
        id="msg_1", type="message", role="assistant", model="claude", stop_reason="tool_use", stop_sequence=None,
        usage=Usage(input_tokens=1, output_tokens=1),
        content=[
            ThinkingBlock(type="thinking", thinking="hm", signature="c2ln"),
            TextBlock(type="text", text="hi", citations=None),
            ToolUseBlock(type="tool_use", id="c", name="f", input={}),
        ],
    )  # fmt: skip
    for message in (
        reply.model_dump(mode="json"),
        {"role": "assistant", "content": reply.model_dump(mode="json")["content"]},
    ):
        request = prepared({"messages": [user("a"), message, user(ANSWER)], **TOOLS})
        reject_notices(request.notices)
        assert results([user("a"), message, user(ANSWER)]) == [("f", "r")]


def test_results_in_reverse_order_cost_linear_work() -> None:
    def converse(count: int, *, blocks: bool) -> None:
        ids = [f"c{index}" for index in range(count)]
        if blocks:
            uses = {"role": "assistant", "content": [{**USE, "id": id} for id in ids]}
            messages = [uses, user(*({**ANSWER, "tool_use_id": id} for id in reversed(ids)))]
        else:
            calls = called(*map(call, ids), content=[{**USE, "id": id} for id in ids])
            messages = [calls, *(result(tool_call_id=id) for id in reversed(ids))]
        assert told({"messages": [user("a"), *messages], **TOOLS}) == []

    assert_linear(lambda count: converse(count, blocks=False), 300)
    assert_linear(lambda count: converse(count, blocks=True), 300)

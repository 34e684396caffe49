"""Risk: one tool with an unusual property key, or with a schema of another draft, spoils every request.

Reported as decocms/studio#6874, freee/freee-mcp#35, Dokploy/mcp#74 and others.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.wire.http import HttpCall
from modelmux.wire.sse import SSEDecoder
from support.asgi import request
from support.blocks import (
    USER,
    Json,
    assistant,
    block_start,
    block_stop,
    delta,
    message_end,
    message_start,
    reply_of,
    tool,
    tool_call,
    tool_result,
    tool_use,
)
from support.chat import assert_legal, chat
from support.fakes import FakeReply, FakeUpstream, stream_reply
from support.gateway import PATH, gateway
from support.odd_schemas import valid_by_jsonschema
from support.reports import body_of, report

pytestmark = pytest.mark.usefixtures("no_waiting")

KEYS = ["Account Number", "filter[id]", "数量", "単価", "", "x" * 65, "a/b"]
SCHEMA = {
    "type": "object",
    "properties": {
        **{key: {"type": "string"} for key in KEYS},
        "limit": {"type": "integer"},
        "rows": {"type": "array", "items": {"type": "object", "properties": {"Line Item": {"type": "string"}}}},
    },
    "required": ["Account Number", "limit"],
}
INPUT = {**{key: f"value of {key}" for key in KEYS}, "limit": 3, "rows": [{"Line Item": "Account Number"}]}
LEGAL = r"[a-zA-Z0-9_.-]{1,64}"


def names_of(call: HttpCall) -> list[str]:
    """The upstream names of ``KEYS``, in order."""
    return list(json.loads(call.body)["tools"][0]["input_schema"]["properties"])[: len(KEYS)]


def renamed(value: Json, names: list[str]) -> Json:
    table = dict(zip(KEYS, names, strict=True))
    return {table.get(key, key): part for key, part in value.items()}


def calls(*, stream: bool, size: int = 7) -> Any:
    """An upstream that calls the tool with the keys it was told, in pieces of ``size`` characters."""

    def reply(call: HttpCall) -> FakeReply:
        value = renamed(INPUT, names_of(call))
        if not stream:
            return reply_of(tool_use(value=value), stop_reason="tool_use")
        written = json.dumps(value, ensure_ascii=size % 2 == 0)
        pieces = [written[at : at + size] for at in range(0, len(written), size)]
        return stream_reply(
            message_start(), block_start(0, tool_use(value={})),
            *(delta(0, "input_json_delta", partial_json=piece) for piece in pieces),
            block_stop(0), *message_end("tool_use"),
        )  # fmt: skip

    return reply


@pytest.mark.parametrize(("stream", "size"), [(False, 0), (True, 1), (True, 2), (True, 7), (True, 10_000)])
async def test_chat_renames_keys_and_gives_back_the_clients_own(stream: bool, size: int) -> None:
    got = await chat(calls(stream=stream, size=size), stream=stream, tools=[tool(parameters=SCHEMA)])
    schema = got.sent["tools"][0]["input_schema"]
    names = names_of(got.upstream.calls[-1])
    assert len(set(schema["properties"])) == len(SCHEMA["properties"])
    assert schema["required"] == [names[0], "limit"]
    assert schema["properties"]["rows"] == SCHEMA["properties"]["rows"]
    assert schema["properties"][names[2]]["description"] == '"数量"'
    assert json.loads(got.message["tool_calls"][0]["function"]["arguments"]) == INPUT
    assert got.notices == ["changed=tools.0.function.parameters"]


async def test_the_history_has_the_same_keys_on_every_turn() -> None:
    history = [USER, assistant(tool_calls=[tool_call(arguments=json.dumps(INPUT))]), tool_result()]
    first = await chat(tools=[tool(parameters=SCHEMA)])
    second = await chat(messages=history, tools=[tool(parameters=SCHEMA), tool("other")])
    assert second.sent["tools"][0] == first.sent["tools"][0]
    names = names_of(first.upstream.calls[-1])
    assert list(second.turns[1]["content"][0]["input"].items()) == list(renamed(INPUT, names).items())


async def test_an_answer_that_is_given_by_a_tool_has_the_clients_keys() -> None:
    schema = {"type": "object", "properties": {"Any Thing": {}}}

    def answer(call: HttpCall) -> FakeReply:
        (given,) = json.loads(call.body)["tools"]
        (key,) = given["input_schema"]["properties"]
        return reply_of(tool_use(name=given["name"], value={key: 1}), stop_reason="tool_use")

    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    got = await chat(answer, response_format=form)
    assert json.loads(got.message["content"]) == {"Any Thing": 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_responses_give_back_the_clients_keys(stream: bool) -> None:
    upstream = FakeUpstream([calls(stream=stream, size=3)])
    function = {"type": "function", "name": "get_weather", "parameters": SCHEMA}
    history = [
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": json.dumps(INPUT)},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    ]
    body = {"model": "claude-sonnet-4-6", "input": history, "tools": [function], "stream": stream}
    response = await request(gateway(upstream), "POST", "/v1/responses", body)
    assert_legal(upstream.calls[-1])
    sent = json.loads(upstream.calls[-1].body)["messages"][1]["content"][0]["input"]
    assert sent == renamed(INPUT, names_of(upstream.calls[-1]))
    result = response.events_by_name()["response.completed"]["response"] if stream else response.json()
    assert json.loads(result["output"][0]["arguments"]) == INPUT


async def test_a_member_of_a_namespace_that_is_called_by_its_bare_name_has_the_clients_keys() -> None:
    def reply(call: HttpCall) -> FakeReply:
        return reply_of(tool_use(value=renamed(INPUT, names_of(call))), stop_reason="tool_use")

    member = {"type": "function", "name": "get_weather", "parameters": SCHEMA}
    tools = [{"type": "namespace", "name": "ns", "description": "N.", "tools": [member]}]
    body = {"model": "claude-sonnet-4-6", "input": "hi", "tools": tools}
    response = await request(gateway(FakeUpstream([reply])), "POST", "/v1/responses", body)
    assert json.loads(response.json()["output"][0]["arguments"]) == INPUT


VERTEX = "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-6"
NATIVE_TOOL = {"name": "get_weather", "description": "Weather.", "input_schema": SCHEMA}


def native_path(dialect: str, *, stream: bool) -> str:
    return "/v1/messages" if dialect == "messages" else f"{VERTEX}:{'streamRawPredict' if stream else 'rawPredict'}"


@pytest.mark.parametrize("model", ["upstream", "requested"])
@pytest.mark.parametrize(("stream", "size"), [(False, 0), (True, 1), (True, 6), (True, 7), (True, 10_000)])
@pytest.mark.parametrize("dialect", ["messages", "vertex"])
async def test_native_calls_have_the_clients_keys(dialect: str, stream: bool, size: int, model: str) -> None:
    upstream = FakeUpstream([calls(stream=stream, size=size)])
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [tool_use(value=INPUT)]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]},
    ]
    body = {"max_tokens": 99, "messages": turns, "tools": [NATIVE_TOOL], "stream": stream, "model": "claude-sonnet-4-6"}
    app = gateway(upstream, messages={"reply_model": model})
    response = await request(app, "POST", native_path(dialect, stream=stream), body)
    assert response.status == 200, response.body
    assert_legal(upstream.calls[-1])
    sent, names = json.loads(upstream.calls[-1].body), names_of(upstream.calls[-1])
    assert sent["messages"][1]["content"][0]["input"] == renamed(INPUT, names)
    assert response.headers["x-modelmux-notices"] == "changed=tools.0.input_schema"
    if not stream:
        assert response.json()["content"][0]["input"] == INPUT
        return
    events = [json.loads(event.data) for event in SSEDecoder().feed(response.body)]
    assert [event["type"] for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    pieces = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    assert json.loads("".join(pieces)) == INPUT


async def test_native_requests_of_legal_tools_pass_byte_for_byte() -> None:
    raw = json.dumps({"max_tokens": 9, "messages": [USER], "tools": [{"name": "f", "input_schema": {
        "type": "object", "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"a": {"properties": {"b c": {}}}}}}]}).encode()  # fmt: skip
    upstream = FakeUpstream([reply_of(tool_use(name="f", value={"b c": 1}))])
    response = await request(gateway(upstream), "POST", native_path("vertex", stream=False), raw)
    assert raw[1:] in upstream.calls[-1].body
    assert "x-modelmux-notices" not in response.headers


A1 = ["a1-tool-property-key-brackets", "a1-tool-property-key-not-ascii", "a1-tool-property-key-spaces-top-level-only"]
A2 = ["a2-tool-schema-boolean-exclusive-minimum", "a2-tool-schema-type-any"]


@pytest.mark.parametrize("name", [*A1, *A2])
async def test_reports_of_tools_that_spoil_every_request(name: str) -> None:
    loaded = report(name)
    upstream = FakeUpstream([reply_of({"type": "text", "text": "ok"})])
    response = await request(gateway(upstream), "POST", PATH, body_of(loaded))
    assert response.status == 200
    assert_legal(upstream.calls[-1])
    schema = json.loads(upstream.calls[-1].body)["tools"][0]["input_schema"]
    assert valid_by_jsonschema(schema)
    assert "tools.0.function.parameters" in response.headers["x-modelmux-notices"]
    if name == A2[0]:
        assert schema["properties"]["ttl"] == {"type": "integer", "exclusiveMinimum": 0, "maximum": 86400}
    if name == A2[1]:
        assert schema["properties"] == {"q": {"type": "string"}, "variables": {}, "n": {"type": "integer"}}
        assert schema["type"] == "object"
    if name == A1[2]:
        assert "Line Item" in schema["properties"]["rows"]["items"]["properties"]

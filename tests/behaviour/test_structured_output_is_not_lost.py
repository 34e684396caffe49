"""Risk: structured output is dropped silently, rejected upstream, or returned as a tool call."""

from __future__ import annotations

import json

import pytest

from modelmux.wire.http import HttpCall
from support.blocks import BARE, BUDGET, NEW, WEATHER, Json, json_schema, reply_of, thinking_block, tool, tool_use
from support.chat import chat
from support.fakes import FakeReply

ODD_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "description": "Who."},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "at": {"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]},
    },
    "required": ["name", "tags", "at"],
}


def strict_schema(schema: Json) -> Json:
    return {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}


async def test_e50_a_schema_is_converted_to_the_subset() -> None:
    """Unsupported keywords go into the descriptions, alternatives become anyOf, always in the same bytes."""
    got = await chat(response_format=strict_schema(ODD_SCHEMA))
    assert got.sent["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "Who.\n\n{minLength: 3}"},
                "tags": {"type": "array", "items": {"type": "string"}, "description": "{uniqueItems: true}"},
                "at": {"anyOf": [{"type": "string"}, {"type": "integer", "description": "{minimum: 0}"}]},
            },
            "required": ["name", "tags", "at"],
            "additionalProperties": False,
        },
    }
    assert got.notices == ["changed=response_format.json_schema.schema"]
    again = await chat(response_format=strict_schema(json.loads(json.dumps(ODD_SCHEMA))))
    assert again.upstream.calls[0].body == got.upstream.calls[0].body


async def test_e50_a_recursive_schema_uses_a_tool_call_or_is_rejected() -> None:
    """A schema that contains itself: by a forced tool call where the model allows that, else a 400 that says why."""
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["next"],
    }
    schema = {**node, "$defs": {"Node": node}}
    got = await chat(response_format=strict_schema(schema))
    assert got.sent["tool_choice"]["type"] == "tool"
    assert got.sent["tools"][0]["input_schema"] == schema
    assert got.notices == ["changed=response_format.json_schema.schema"]
    got = await chat(model=NEW, response_format=strict_schema(schema))
    assert (got.status, got.error["param"]) == (400, "response_format.json_schema.schema")
    assert "recursive" in got.error["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_e51_schema_tools_and_thinking_work_together(stream: bool) -> None:
    """All three at once: native structured output, thinking on, and the tools can still be called."""
    options: Json = {"response_format": strict_schema(WEATHER), "tools": [tool()], "reasoning_effort": "high"}
    reply = reply_of(thinking_block(), tool_use(), stop_reason="tool_use", stream=stream)
    got = await chat(reply, model=NEW, stream=stream, **options)
    assert got.sent["output_config"]["format"]["schema"] == {**WEATHER, "additionalProperties": False}
    assert got.sent["output_config"]["effort"] == "high"
    assert got.sent["thinking"]["type"] == "adaptive"
    assert [t["name"] for t in got.sent["tools"]] == ["get_weather"]
    assert "tool_choice" not in got.sent
    assert (got.finish, got.message["tool_calls"][0]["function"]["name"]) == ("tool_calls", "get_weather")


async def test_e52_a_reference_without_its_hash_is_repaired() -> None:
    """``/$defs/Item`` instead of ``#/$defs/Item``, as some generators write it."""
    schema = {
        "type": "object",
        "properties": {"item": {"$ref": "/$defs/Item"}},
        "required": ["item"],
        "$defs": {"Item": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    }
    got = await chat(response_format=strict_schema(schema))
    assert got.sent["output_config"]["format"]["schema"]["properties"]["item"] == {"$ref": "#/$defs/Item"}


async def test_e73_structured_output_never_forces_a_thinking_model() -> None:
    """Native structured output comes first and thinks. Without it the content comes by a forced call, and thinking is
    dropped with a notice where the two cannot be combined."""
    options: Json = {"response_format": json_schema(WEATHER), "reasoning_effort": "medium", "max_tokens": 8000}
    got = await chat(model=BUDGET, **options)
    assert got.sent["output_config"]["format"]["type"] == "json_schema"
    assert got.sent["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert "tools" not in got.sent
    got = await chat(model=BARE, **options)
    assert got.sent["tool_choice"]["type"] == "tool"
    assert "thinking" not in got.sent
    assert got.notices == ["changed=response_format.json_schema.schema", "dropped=reasoning"]


@pytest.mark.parametrize("stream", [False, True])
async def test_e74_structured_output_by_a_tool_call_is_content(stream: bool) -> None:
    """The call that carries the output is not for the client to run: the content is the JSON, finish ``stop``."""

    def calls_it(call: HttpCall) -> FakeReply:
        name = json.loads(call.body)["tool_choice"]["name"]
        return reply_of(tool_use(name=name, value={"city": "Köln"}), stop_reason="tool_use", stream=stream)

    got = await chat(calls_it, model=BARE, stream=stream, response_format=json_schema(WEATHER))
    assert json.loads(got.message["content"]) == {"city": "Köln"}
    assert got.finish == "stop"
    assert b"tool_calls" not in got.response.body


async def test_g28_structured_output_is_native_or_has_a_notice() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema}}
    native = await chat(model=NEW, response_format=form, tools=[tool()])
    assert native.sent["output_config"]["format"]["type"] == "json_schema"
    older = await chat(model="claude-opus-4-1", response_format=form)
    assert older.status == 200
    assert "output_config" not in older.sent
    assert older.notices or older.sent.get("tools")

"""Risk: a tool definition that OpenAI accepts is rejected by Claude, or reaches it with another meaning."""

from __future__ import annotations

import json

import pytest

from modelmux.wire.http import HttpCall
from support.blocks import BARE, BUDGET, NEW, SONNET, USER, WEATHER, Json, reply_of, tool, tool_result, tool_use
from support.chat import chat
from support.fakes import FakeReply

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.mark.parametrize(
    ("function", "schema"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"parameters": None}, {"type": "object", "properties": {}}),
        ({"parameters": {}}, {"type": "object", "properties": {}}),
        ({"parameters": {"type": "object"}}, {"type": "object"}),
    ],
    ids=["absent", "null", "empty", "type only"],
)
async def test_e35_a_tool_without_parameters_has_a_schema(function: Json, schema: Json) -> None:
    """No parameters, in any of four forms: the tool is sent with a schema of an object."""
    got = await chat(tools=[{"type": "function", "function": {"name": "now", **function}}])
    assert got.sent["tools"] == [{"name": "now", "input_schema": schema}]


@pytest.mark.parametrize("choice", [None, "auto", "none"])
async def test_e36_an_empty_list_of_tools_is_left_out(choice: str | None) -> None:
    """``tools: []`` is the same as none: neither the list nor a choice is sent."""
    got = await chat(tools=[], tool_choice=choice)
    assert got.status == 200
    assert not {"tools", "tool_choice"} & got.sent.keys()


async def test_e37_a_tool_schema_is_sent_unchanged() -> None:
    """Definitions, references, alternatives and closed objects inside a tool's schema: all there, in the same order."""
    schema = {
        "type": "object",
        "$defs": {"Unit": {"enum": ["C", "F"]}},
        "definitions": {"Old": {"type": "string"}},
        "properties": {
            "unit": {"$ref": "#/$defs/Unit"},
            "at": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "old": {"$ref": "#/definitions/Old"},
        },
        "additionalProperties": False,
        "required": ["unit"],
        "description": "Where.",
    }
    got = await chat(tools=[tool(parameters=schema)])
    assert json.dumps(got.sent["tools"][0]["input_schema"]) == json.dumps(schema)
    assert got.notices == []


NAMES = ["ns/foo.bar", "x" * 200, "a.b", "a/b", "a_b", "größe"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", NAMES, ids=["slash", "long", "dot", "other slash", "valid", "umlaut"])
async def test_e38_invalid_tool_names_are_mapped_both_ways(name: str, stream: bool) -> None:
    """Names with odd characters, too long, or equal once cleaned: each is legal and distinct upstream, the client's own
    in the response, the same in the history and in the choice."""

    def calls_it(call: HttpCall) -> FakeReply:
        upstream_name = json.loads(call.body)["tools"][NAMES.index(name)]["name"]
        return reply_of(tool_use(name=upstream_name), stop_reason="tool_use", stream=stream)

    tools = [tool(n) for n in NAMES]
    got = await chat(calls_it, stream=stream, tools=tools)
    sent = [t["name"] for t in got.sent["tools"]]
    assert len(set(sent)) == len(NAMES)
    assert sent[4] == "a_b"
    assert got.message["tool_calls"][0]["function"]["name"] == name
    choice = {"type": "function", "function": {"name": name}}
    again = await chat(messages=[USER, got.message, tool_result()], tools=tools, tool_choice=choice)
    upstream_name = sent[NAMES.index(name)]
    assert again.turns[1]["content"][0]["name"] == upstream_name
    assert again.sent["tool_choice"]["name"] == upstream_name


async def test_e64_duplicate_tool_names_are_rejected() -> None:
    """Vertex AI would only say that names must be unique: the gateway names both positions, before any call."""
    got = await chat(tools=[tool("a"), tool("b"), tool("a")])
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "tools.2.function.name", [])
    assert "tools.0.function" in got.error["message"]
    assert "tools.2.function" in got.error["message"]


VARIANTS = [
    {"properties": {"id": {"type": "integer"}, "deep": {"type": "boolean"}}, "required": ["id", "deep"]},
    {"properties": {"name": {"type": "string"}, "deep": {"type": "boolean"}}, "required": ["name", "deep"]},
]


@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET])
@pytest.mark.parametrize("key", ["oneOf", "anyOf", "allOf"])
async def test_e65_alternatives_at_the_root_of_a_schema_are_merged(key: str, model: str) -> None:
    """``oneOf`` and its like at the root, for which Claude rejects the request: one object with all properties, which
    requires what all variants require, and a notice."""
    got = await chat(model=model, tools=[tool(), tool("find", {"type": "object", key: VARIANTS})])
    required = ["id", "deep", "name"] if key == "allOf" else ["deep"]
    schema = got.sent["tools"][1]["input_schema"]
    assert schema["type"] == "object"
    assert schema["properties"] == {
        "id": {"type": "integer"},
        "deep": {"type": "boolean"},
        "name": {"type": "string"},
    }
    assert sorted(schema["required"]) == sorted(required)
    assert key not in schema
    assert got.notices == ["changed=tools.1.function.parameters"]


@pytest.mark.parametrize(
    ("parameters", "schema"),
    [
        ({"properties": {"a": {}}}, {"properties": {"a": {}}, "type": "object"}),
        ({"required": []}, {"required": [], "type": "object"}),
        ({"type": None, "properties": {}}, {"type": "object", "properties": {}}),
        ({"type": ["object", "null"]}, {"type": "object"}),
    ],
)
async def test_e66_a_schema_without_type_becomes_an_object(parameters: Json, schema: Json) -> None:
    """A schema whose type is missing, or is not just "object", which Claude rejects."""
    got = await chat(tools=[tool(parameters=parameters)])
    assert got.sent["tools"][0]["input_schema"] == schema


async def test_e67_strict_is_sent_next_to_the_schema() -> None:
    """``strict`` goes next to name and schema, never inside; where the model has no strict tools, a notice says so."""
    got = await chat(tools=[tool(strict=True)])
    closed = {**WEATHER, "additionalProperties": False}
    assert got.sent["tools"] == [{"name": "get_weather", "input_schema": closed, "strict": True}]
    assert got.notices == []
    got = await chat(model=BARE, tools=[tool(strict=True)])
    assert got.sent["tools"] == [{"name": "get_weather", "input_schema": WEATHER}]
    assert got.notices == ["ignored=tools.0.function.strict"]
    got = await chat(tools=[tool(strict=False)])
    assert got.sent["tools"] == [{"name": "get_weather", "input_schema": WEATHER}]


async def test_e68_an_open_object_is_not_closed() -> None:
    """``additionalProperties: {}`` allows anything: it is accepted, and still allows anything, at the root and
    below."""
    schema = {
        "type": "object",
        "properties": {"env": {"type": "object", "additionalProperties": {}}},
        "additionalProperties": {},
    }
    got = await chat(tools=[tool(parameters=schema)])
    assert got.sent["tools"][0]["input_schema"] == schema
    got = await chat(tools=[tool(parameters=schema, strict=True)])
    assert got.sent["tools"][0] == {"name": "get_weather", "input_schema": schema}
    assert got.notices == ["ignored=tools.0.function.strict"]


async def test_e80_eager_input_streaming_is_forwarded() -> None:
    """Wherever the client writes it: without it large arguments are held back upstream."""
    for tools in ([{**tool(), "eager_input_streaming": True}], [tool(eager_input_streaming=True)]):
        got = await chat(tools=tools)
        assert (got.sent["tools"][0].get("eager_input_streaming"), got.notices) == (True, [])
    got = await chat(tools=[{**tool(), "defer_loading": True}])
    assert got.notices == ["ignored=tools.0.defer_loading"]


async def test_e98_tools_are_sent_in_the_clients_order() -> None:
    """Byte for byte, each time the same: tools come first in the prompt, and the cache is keyed by its bytes."""
    names = ["zeta", "alpha", "Mid", "_b", "alpha2", "9x", "ab", "aa"]
    schemas = [{**WEATHER, "properties": {f"{name}_z": {}, name: {"type": "string"}}, "required": []} for name in names]
    tools = [tool(name, schema) for name, schema in zip(names, schemas, strict=True)]
    bodies = []
    for _ in range(3):
        got = await chat(tools=tools, settings={"vertex": {"prompt_caching": True}})
        assert [t["name"] for t in got.sent["tools"]] == names
        assert [json.dumps(t["input_schema"]) for t in got.sent["tools"]] == [json.dumps(s) for s in schemas]
        bodies.append(got.upstream.calls[0].body)
    assert len(set(bodies)) == 1
    allowed = [{"type": "function", "function": {"name": name}} for name in ("aa", "Mid", "zeta")]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": allowed}}
    got = await chat(tools=tools, tool_choice=choice)
    assert [t["name"] for t in got.sent["tools"]] == ["zeta", "Mid", "aa"]

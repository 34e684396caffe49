"""Tool definitions, tool choice, and the limits on schemas that the service has to compile."""

from __future__ import annotations

import time
from typing import Any

import pytest

from modelmux.emulator.errors import ApiError
from modelmux.emulator.validation.json_schema import SchemaComplexity, check_supported
from support.emulator_calls import ask, body_of, emulator, refusal, text, tool

APP = emulator()
OBJECT = {"type": "object", "additionalProperties": False}


def schema(**properties: Any) -> dict[str, Any]:
    return {**OBJECT, "properties": properties, "required": list(properties)}


def formatted(wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    return body_of(output_config={"format": {"type": "json_schema", "schema": wanted}}, **more)


def strict(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "input_schema": wanted, "strict": True}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": [tool("a"), tool("a")]}, "tools: Tool names must be unique."),
        ({"tool_choice": {"type": "auto"}}, "tool_choice: `tool_choice` may only be specified while providing `tools`"),
        (
            {"tools": [tool("a")], "tool_choice": {"type": "tool", "name": "b"}},
            "tool_choice: Tool 'b' not found in provided tools",
        ),
        (
            {"tools": [{"name": "a", "input_schema": {"type": "object", "anyOf": []}}]},
            "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
        ),
        ({"tools": [tool("a", defer_loading=True)]}, "tools.0.custom.defer_loading: Extra inputs are not permitted"),
        (
            {
                "tools": [
                    {
                        "type": "web_search_20250305",
                        "name": "web_search",
                        "allowed_domains": ["a.example"],
                        "blocked_domains": ["b.example"],
                    }
                ]
            },
            "tools.0.web_search_20250305: Only one of `allowed_domains` or `blocked_domains` may be specified",
        ),
    ],
)
async def test_a_wrong_tool_is_refused(fields: dict[str, Any], words: str) -> None:
    assert await refusal(APP, body_of(**fields)) == words


@pytest.mark.parametrize(
    "properties",
    [{"a": {"type": "text"}}, {"a": {"enum": "x"}}, {"a": {"type": "array", "items": 5}}, [], {"a": {"anyOf": []}}],
)
async def test_a_schema_that_is_none_is_refused(properties: Any) -> None:
    said = await refusal(
        APP, body_of(tools=[{"name": "a", "input_schema": {"type": "object", "properties": properties}}])
    )
    assert said.startswith(
        "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12"
    )


async def test_an_ordinary_tool_may_use_all_of_json_schema() -> None:
    wild = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "minLength": 2, "pattern": "(?=x)x"},
            "b": {"oneOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]},
            "c": {"$ref": "#/$defs/node"},
            "d": {"not": {"type": "string"}},
            "e": True,
        },
        "patternProperties": {"^x": {"type": "string"}},
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    }
    assert (await ask(APP, body_of(tools=[{"name": "a", "input_schema": wild}]))).status == 200


@pytest.mark.parametrize("as_tool", [False, True], ids=["output_config.format", "strict tool"])
@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"type": "object"}, "For 'object' type, 'additionalProperties' must be explicitly set to false"),
        (
            schema(a={"type": "object", "properties": {}}),
            "For 'object' type, 'additionalProperties' must be explicitly",
        ),
        (schema(a={"type": "integer", "minimum": 1}), "For 'integer' type, property 'minimum' is not supported"),
        (schema(a={"type": "number", "multipleOf": 2}), "For 'number' type, property 'multipleOf' is not supported"),
        (schema(a={"type": "string", "minLength": 1}), "For 'string' type, property 'minLength' is not supported"),
        (schema(a={"type": "string", "format": "phone"}), "For 'string' type, format 'phone' is not supported"),
        (schema(a={"type": "string", "pattern": "a(?=b)"}), "patterns with lookaround or backreferences"),
        (schema(a={"type": "string", "pattern": r"(a)\1"}), "patterns with lookaround or backreferences"),
        (
            schema(a={"type": "array", "items": {"type": "string"}, "maxItems": 3}),
            "property 'maxItems' is not supported",
        ),
        (
            schema(a={"type": "array", "items": {"type": "string"}, "minItems": 2}),
            "'minItems' values other than 0 or 1",
        ),
        (schema(a={"enum": [{"x": 1}]}), "Enum values must be strings, numbers, booleans or null"),
        (schema(a={"oneOf": [{"type": "string"}]}), "Property 'oneOf' is not supported"),
        (schema(a={}), "Schema must have a 'type'"),
        (schema(a={"$ref": "https://x.example/s"}), "External schema reference"),
        (schema(a={"$ref": "#/$defs/none"}), "cannot be resolved"),
        (
            {**schema(a={"$ref": "#/$defs/n"}), "$defs": {"n": schema(next={"$ref": "#/$defs/n"})}},
            "Circular reference detected: '#/$defs/n'",
        ),
        (schema(a={"type": "tuple"}), "Invalid type 'tuple'|JSON schema is invalid"),
    ],
)
async def test_what_cannot_be_compiled_is_refused(wanted: dict[str, Any], words: str, as_tool: bool) -> None:
    said = await refusal(APP, body_of(tools=[strict("a", wanted)]) if as_tool else formatted(wanted))
    path = "tools.0.custom.input_schema: " if as_tool else "output_config.format.schema: "
    assert said.startswith(path)
    assert any(part in said for part in words.split("|"))


async def test_what_can_be_compiled_is_taken() -> None:
    good = {
        **schema(
            a={"type": "string", "format": "date-time", "description": "x"},
            b={"type": ["string", "null"]},
            c={"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/item"}]},
            d={"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1},
            e={"enum": ["x", 1, None]},
            f={"const": True},
        ),
        "$defs": {"item": schema(name={"type": "string", "pattern": "^[a-z]+$"})},
    }
    for body in (formatted(good), body_of(tools=[strict("a", good)])):
        answer = await ask(APP, body)
        assert answer.status == 200, answer.body


async def test_there_are_limits_on_the_whole() -> None:
    many = [strict(f"t{n}", schema()) for n in range(21)]
    assert (await refusal(APP, body_of(tools=many))).startswith("Too many strict tools (21).")
    assert (await ask(APP, body_of(tools=many[:20]))).status == 200
    optional = {**OBJECT, "properties": {f"p{n}": {"type": "string"} for n in range(25)}}
    assert "Schemas contains too many optional parameters (25)" in await refusal(APP, formatted(optional))
    unions = schema(**{f"p{n}": {"type": ["string", "null"]} for n in range(17)})
    assert "too many parameters with union types (17" in await refusal(APP, formatted(unions))
    assert "too many optional parameters (26)" in await refusal(
        APP,
        formatted(
            {**OBJECT, "properties": {f"p{n}": {"type": "string"} for n in range(13)}},
            tools=[strict("a", {**OBJECT, "properties": {f"p{n}": {"type": "string"} for n in range(13)}})],
        ),
    )


async def test_a_very_deep_schema_is_too_complex() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(70):
        deep = schema(a=deep)
    assert await refusal(APP, formatted(deep)) == "Schema is too complex for compilation."


async def test_structured_output_excludes_citations_and_prefill() -> None:
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "x"},
        "citations": {"enabled": True},
    }
    assert "citations" in await refusal(
        APP, formatted(schema(), messages=[{"role": "user", "content": [document, text("x")]}])
    )
    prefilled = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}]
    assert "prefill" in await refusal(APP, formatted(schema(), messages=prefilled))


async def test_strict_tools_need_a_model_that_has_structured_output() -> None:
    said = await refusal(APP, body_of(tools=[strict("a", schema())]), model="claude-opus-4-1@20250805")
    assert said == "tools.0.custom.strict: Extra inputs are not permitted"


async def test_the_newest_computer_tool_is_not_on_the_newest_models() -> None:
    computer = {"type": "computer_20251124", "name": "computer", "display_width_px": 800, "display_height_px": 600}
    beta = "computer-use-2025-11-24"
    assert "computer_20251124" in await refusal(APP, body_of(tools=[computer]), model="claude-opus-5-5", betas=beta)
    assert (await ask(APP, body_of(tools=[computer]), model="claude-opus-5", betas=beta)).status == 200


def test_references_that_double_with_every_level_are_refused_in_no_time() -> None:
    levels = {f"D{n}": {"anyOf": [{"$ref": f"#/$defs/D{n + 1}"}, {"$ref": f"#/$defs/D{n + 1}"}]} for n in range(40)}
    schema = {"anyOf": [{"$ref": "#/$defs/D0"}], "$defs": {**levels, "D40": {"type": "string"}}}
    began = time.perf_counter()
    with pytest.raises(ApiError, match="too complex"):
        check_supported(schema, "output_config", SchemaComplexity())
    assert time.perf_counter() - began < 2

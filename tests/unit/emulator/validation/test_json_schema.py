"""Which JSON schemas a tool may have, and which the service can compile."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.emulator.errors import ApiError
from modelmux.emulator.validation import json_schema
from support.emulator_calls import ask, body_of, emulator, error_message

APP = emulator()
OBJECT = {"type": "object", "additionalProperties": False}


def schema(**properties: Any) -> dict[str, Any]:
    return {**OBJECT, "properties": properties, "required": list(properties)}


def formatted(wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    return body_of(output_config={"format": {"type": "json_schema", "schema": wanted}}, **more)


def strict(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "input_schema": wanted, "strict": True}


@pytest.mark.parametrize(
    "properties",
    [{"a": {"type": "text"}}, {"a": {"enum": "x"}}, {"a": {"type": "array", "items": 5}}, [], {"a": {"anyOf": []}}],
)
async def test_an_invalid_schema_is_rejected(properties: Any) -> None:
    message = await error_message(
        APP, body_of(tools=[{"name": "a", "input_schema": {"type": "object", "properties": properties}}])
    )
    assert message.startswith(
        "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12"
    )


async def test_a_tool_that_is_not_strict_may_use_all_of_json_schema() -> None:
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
async def test_an_unsupported_schema_is_rejected(wanted: dict[str, Any], words: str, as_tool: bool) -> None:
    message = await error_message(APP, body_of(tools=[strict("a", wanted)]) if as_tool else formatted(wanted))
    path = "tools.0.custom.input_schema: " if as_tool else "output_config.format.schema: "
    assert message.startswith(path)
    assert any(part in message for part in words.split("|"))


async def test_a_supported_schema_is_accepted() -> None:
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


async def test_a_very_deep_schema_is_too_complex() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(70):
        deep = schema(a=deep)
    assert await error_message(APP, formatted(deep)) == "Schema is too complex for compilation."


def test_references_that_double_with_every_level_take_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = {f"D{n}": {"anyOf": [{"$ref": f"#/$defs/D{n + 1}"}, {"$ref": f"#/$defs/D{n + 1}"}]} for n in range(40)}
    schema = {"anyOf": [{"$ref": "#/$defs/D0"}], "$defs": {**levels, "D40": {"type": "string"}}}
    visit, visits = json_schema._SupportCheck.visit, 0

    def counted(check: Any, *args: Any) -> None:
        nonlocal visits
        visits += 1
        visit(check, *args)

    monkeypatch.setattr(json_schema._SupportCheck, "visit", counted)
    with pytest.raises(ApiError, match="too complex"):
        json_schema.check_supported(schema, "output_config", json_schema.SchemaComplexity())
    assert visits <= 20_001

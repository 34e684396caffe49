"""A sample value conforms to its schema, whatever the schema."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.emulator.model.phrases import Phrases
from modelmux.emulator.model.schema_sample import SchemaSampler


def sample(schema: Any, words: str = "", *, include_optional: bool = True) -> Any:
    return SchemaSampler(schema, Phrases(words), include_optional=include_optional).value()


def props(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("schema", "words", "value"),
    [
        ({"const": [1, 2]}, "", [1, 2]),
        ({"enum": ["a", "b"]}, "", "a"),
        ({"enum": ["a", "b"]}, "I want B.", "b"),
        ({"type": "null"}, "", None),
        ({"type": ["null", "integer"]}, "7", 7),
        ({"type": "integer", "minimum": 10}, "", 10),
        ({"type": "integer", "maximum": 3}, "I said 99", 3),
        ({"type": "integer", "exclusiveMinimum": 5}, "", 6),
        ({"type": "number", "exclusiveMaximum": 1}, "", 0.5),
        ({"type": "integer", "multipleOf": 5}, "12", 10),
        ({"type": "number"}, "about 2.5 kg", 2.5),
        ({"type": "boolean"}, "", True),
        ({"type": "string", "format": "date"}, "on 2027-03-04", "2027-03-04"),
        ({"type": "string", "format": "uuid"}, "", "6f1d9a52-0c7e-4b8f-9a63-2d5e8c1b7f40"),
        ({"type": "string", "maxLength": 3}, 'say "abcdef"', "abc"),
        ({"type": "string", "minLength": 8}, 'say "ab"', "ab ab ab"),
        ({"type": "string", "pattern": "^[A-Z]{2}-\\d+$"}, "", "AB-123"),
        ({"type": "string", "default": "d"}, "", "d"),
        ({"type": "string", "examples": ["e"]}, "", "e"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, "4 5", [4, 5, 1]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": "x"}]}, "", [1, "x"]),
        ({"type": "array"}, "", ["sample"]),
        (props(cities={"type": "array", "items": {"type": "string"}}), "Paris and Rome", {"cities": ["Paris", "Rome"]}),
        (props(url={"type": "string"}), "see https://a.example/x.", {"url": "https://a.example/x."}),
        (props(expression={"type": "string"}), "What is (2 + 3) * 4?", {"expression": "(2 + 3) * 4"}),
        (props(query={"type": "string"}), "find me things", {"query": "find me things"}),
        (props(name={"type": "string"}), "call Grace Hopper", {"name": "Grace Hopper"}),
        ({"allOf": [props(a={"const": 1}), props(b={"const": 2})]}, "", {"a": 1, "b": 2}),
        ({"oneOf": [{"type": "null"}, {"const": 5}]}, "", 5),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"const": 9}}}, "", 9),
        ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"const": 9}}}, "", 9),
        ({"properties": {"a": {"const": 1}}}, "", {"a": 1}),
        ({}, "", "sample"),
        (True, "", "sample"),
    ],
)
def test_a_value_conforms(schema: Any, words: str, value: Any) -> None:
    assert sample(schema, words) == value


def test_optional_properties_only_if_mentioned_or_requested() -> None:
    schema = {
        **props(city={"type": "string"}),
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
    }
    schema["required"] = ["city"]
    assert sample(schema, "Paris", include_optional=False) == {"city": "Paris"}
    assert sample(schema, "Paris, in f", include_optional=False) == {"city": "Paris", "unit": "f"}
    assert sample(schema, "Paris, any unit", include_optional=False) == {"city": "Paris", "unit": "c"}
    assert sample(schema, "Paris") == {"city": "Paris", "unit": "c"}


def test_recursion_ends() -> None:
    node = {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        },
        "required": ["value", "next", "children"],
    }
    tree = sample({"$ref": "#/$defs/node", "$defs": {"node": node}})
    depth = 0
    while tree["next"] is not None:
        tree, depth = tree["next"], depth + 1
    assert 0 < depth < 10


def test_unresolvable_references_give_a_sample() -> None:
    assert sample({"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}) == "sample"
    assert sample({"$ref": "#/$defs/none"}) == "sample"
    assert sample({"$ref": "https://elsewhere.example"}) == "sample"

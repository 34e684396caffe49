"""JSON Schema -> the subset: what is not in it moves where it can be read, and nothing a client sends breaks it
(E50 to E52)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from modelmux.translate.schema import MAX_OPTIONAL, MAX_PARTS, MAX_UNIONS, Subset, to_subset


def closed(properties: dict[str, Any], required: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """An object of the subset."""
    required = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


STRING = {"type": "string"}
CONVERTED: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ("an object", {"type": "object", "properties": {"b": STRING, "a": {"type": "integer"}}, "required": ["a", "b"]},
     closed({"b": STRING, "a": {"type": "integer"}}, ["a", "b"]), ()),
    ("an object without properties", {"type": "object"}, closed({}), ()),
    ("closed already", {"type": "object", "properties": {}, "additionalProperties": False}, closed({}), ()),
    ("required that is no property", {"properties": {"a": STRING}, "required": ["a", "z", 5, ["a"]]},
     closed({"a": STRING}), ()),
    ("open beside properties", {"properties": {"a": STRING}, "required": ["a"], "additionalProperties": True},
     closed({"a": STRING}, description="{additionalProperties: true}"), ("additionalProperties",)),
    ("type by its keywords", {"properties": {"a": {"items": STRING}}, "required": ["a"]},
     closed({"a": {"type": "array", "items": STRING}}), ()),
    ("an array", {"type": "array", "items": STRING, "minItems": 1}, {"type": "array", "items": STRING, "minItems": 1},
     ()),
    ("an array of anything", {"type": "array"}, {"type": "array", "items": STRING}, ()),
    ("bounds", {"type": "array", "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 9}, "minItems": 2,
                "uniqueItems": True},
     {"type": "array",
      "items": {"type": "number", "description": "{minimum: 0, exclusiveMaximum: 9}"},
      "description": "{minItems: 2, uniqueItems: true}"},
     ("exclusiveMaximum", "minItems", "minimum", "uniqueItems")),
    ("notes after the description, in a fixed order",
     {"type": "string", "maxLength": 9, "description": "Who.", "pattern": "^é$", "minLength": 1},
     {"type": "string", "description": 'Who.\n\n{minLength: 1, maxLength: 9, pattern: "^é$"}'},
     ("maxLength", "minLength", "pattern")),
    ("a format of the subset", {"type": "string", "format": "date"}, {"type": "string", "format": "date"}, ()),
    ("another format", {"type": "string", "format": "color"},
     {"type": "string", "description": '{format: "color"}'}, ("format",)),
    ("a format that is none", {"type": "string", "format": {}}, {"type": "string", "description": "{format: {}}"},
     ("format",)),
    ("a format of a number", {"type": "integer", "format": "date"},
     {"type": "integer", "description": '{format: "date"}'}, ("format",)),
    ("an enum", {"type": "string", "enum": ["b", "a", None, 1.5]}, {"enum": ["b", "a", None, 1.5]}, ()),
    ("an enum of objects", {"type": "object", "enum": [{"a": 1}]}, closed({}, description='{enum: [{"a": 1}]}'),
     ("enum",)),
    ("an empty enum", {"type": "string", "enum": []}, {"type": "string", "description": "{enum: []}"}, ("enum",)),
    ("a constant", {"const": None}, {"const": None}, ()),
    ("a constant object", {"type": "object", "const": {}}, closed({}, description="{const: {}}"), ("const",)),
    ("several types", {"type": ["string", "null"]}, {"type": ["string", "null"]}, ()),
    ("one type in a list", {"type": ["string", "string", "odd", 5, {}]}, {"type": "string"}, ()),
    ("nullable", {"type": "string", "nullable": True}, {"type": ["string", "null"]}, ()),
    ("nullable null", {"type": "null", "nullable": True}, {"type": "null"}, ()),
    ("variants", {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}], "description": "D"},
     {"anyOf": [{"type": "string", "description": "{minLength: 1}"}, {"type": "null"}], "description": "D"},
     ("minLength",)),
    ("oneOf", {"oneOf": [STRING, {"type": "integer"}]}, {"anyOf": [STRING, {"type": "integer"}]}, ()),
    ("variants of a sibling type", {"type": "object", "properties": {"a": STRING}, "required": ["a"],
                                    "anyOf": [{"properties": {"b": STRING}, "required": ["b"]}]},
     {"anyOf": [closed({"b": STRING})]}, ()),
    ("no variants", {"type": "string", "anyOf": []}, STRING, ()),
    ("allOf", {"type": "object", "properties": {"a": STRING}, "required": ["a"], "allOf": [
        {"properties": {"b": STRING}, "required": ["b", "a"]}, {"title": "x", "description": "D", "type": "array"},
        {"allOf": [{"properties": {"c": STRING}}, True]}, {"allOf": 5}]},
     closed({"a": STRING, "b": STRING, "c": STRING}, ["a", "b"], description="D"), ()),
    ("empty allOf", {"type": "string", "allOf": []}, STRING, ()),
    ("allOf of a reference", {"allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}], "description": "mine",
                              "$defs": {"A": {"type": "string", "description": "its"}}},
     {"type": "string", "description": "mine", "$defs": {"A": {"type": "string", "description": "its"}}}, ()),
    ("definitions", {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "/definitions/B~1C"}},
                     "required": ["a", "b"], "$defs": {"A": {"type": "string", "minLength": 1}},
                     "definitions": {"B/C": {"type": "object"}}},
     closed({"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/definitions/B~1C"}},
            **{"$defs": {"A": {"type": "string", "description": "{minLength: 1}"}},
               "definitions": {"B/C": closed({})}}), ("minLength",)),
    ("definitions that are none", {"type": "string", "$defs": [], "definitions": {}}, STRING, ()),
    ("what has no meaning", {"type": "string", "title": "T", "$schema": "s", "default": 1, "strict": True}, STRING, ()),
    ("what nobody knows", {"type": "string", "x-order": 3}, STRING, ("x-order",)),
    ("a description that is none", {"type": "string", "description": 5}, STRING, ()),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "expected", "moved"), [c[1:] for c in CONVERTED], ids=[c[0] for c in CONVERTED])
def test_conversion(schema: dict[str, Any], expected: dict[str, Any], moved: tuple[str, ...]) -> None:
    before = json.dumps(schema)
    subset = to_subset(schema)
    assert (subset.schema, subset.moved, subset.unfit) == (expected, moved, "")
    assert json.dumps(subset.schema) == json.dumps(expected), "keys keep their order"
    assert json.dumps(schema) == before, "the client's own is not changed"


DEFS = {"A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/B"}}}, "B": {"$ref": "#/$defs/A"}}
UNFIT: list[tuple[str, dict[str, Any], str]] = [
    ("anything", {"type": "object", "properties": {"a": True}}, "a part of it allows any value"),
    ("anything in a list", {"type": "array", "items": [STRING]}, "a part of it allows any value"),
    ("no type", {}, "a part of it has no type"),
    ("a type that is none", {"type": {"a": 1}}, "a part of it has no type"),
    ("types that are none", {"type": ["odd", {}]}, "a part of it has no type"),
    ("a variant of anything", {"anyOf": [STRING, {}]}, "a part of it has no type"),
    ("arbitrary keys", {"type": "object", "additionalProperties": STRING}, "it has an object with arbitrary keys"),
    ("an address", {"$ref": "https://example.com/s"}, "it refers to something outside itself"),
    ("nothing", {"$ref": "#/$defs/nothing"}, "it refers to something outside itself"),
    ("the root", {"$ref": "#"}, "it refers to something outside itself"),
    ("a property", {"type": "object", "properties": {"a": STRING, "b": {"$ref": "#/properties/a"}}},
     "it refers to a part of itself that is not a definition"),
    ("itself", {"type": "object", "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}},
     "it is recursive"),
    ("itself by way of another", {"type": "object", "$defs": DEFS}, "it is recursive"),
    ("itself in allOf", {"$defs": {"A": {"allOf": [{"properties": {"x": {"allOf": [{"$ref": "#/$defs/A"}]}}}]}},
                         "allOf": [{"$ref": "#/$defs/A"}]}, "it is nested too deeply"),
    ("too many optional properties",
     {"type": "object", "properties": {str(i): STRING for i in range(MAX_OPTIONAL + 1)}},
     "it has 25 optional properties, of which 24 are allowed"),
    ("too many unions", {"type": "object", "properties": {str(i): {"type": ["string", "null"]} for i in range(17)},
                         "required": [str(i) for i in range(MAX_UNIONS + 1)]},
     "it has 17 properties of several types, of which 16 are allowed"),
    ("too many parts", {"type": "object", "properties": {str(i): STRING for i in range(MAX_PARTS)},
                        "required": [str(i) for i in range(MAX_PARTS)]}, "it has more than 5000 parts"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "why"), [u[1:] for u in UNFIT], ids=[u[0] for u in UNFIT])
def test_what_cannot_be_said_is_reported(schema: dict[str, Any], why: str) -> None:
    assert to_subset(schema).unfit == why


def test_what_is_counted() -> None:
    schema = {
        "type": "object",
        "properties": {"a": STRING, "b": {"anyOf": [STRING]}, "c": {"type": "object", "properties": {"d": STRING}}},
        "required": ["a"],
    }
    assert to_subset(schema) == Subset(
        closed({"a": STRING, "b": {"anyOf": [STRING]}, "c": closed({"d": STRING}, [])}, ["a"]), (), 3, 1
    )


def test_definitions_that_only_share_are_not_recursive() -> None:
    defs = {
        "A": {"$ref": "#/$defs/C"},
        "B": {"$ref": "#/$defs/C"},
        "C": STRING,
        "D": {"anyOf": [{"$ref": "#/$defs/A"}]},
    }
    assert to_subset({"type": "object", "$defs": defs}).unfit == ""


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = STRING
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def doubling(levels: int, direct: bool) -> dict[str, Any]:
    """A few lines that, written out, are 2**levels."""
    defs: dict[str, Any] = {str(levels): STRING}
    for level in range(levels):
        inner = {"allOf": [{"$ref": f"#/$defs/{level + 1}"}]}
        twice = {"allOf": inner["allOf"] * 2} if direct else {"properties": {"a": inner, "b": inner}}
        defs[str(level)] = twice
    return {"$defs": defs, "allOf": [{"$ref": "#/$defs/0"}]}


HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    ("deep", nested(100_000), "it is nested too deeply"),
    ("doubling in allOf", doubling(40, direct=True), ""),
    ("doubling in properties", doubling(40, direct=False), "it has more than 5000 parts"),
    ("a chain of definitions", {"type": "object", "$defs": {
        str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(4000)}}, "it refers to something outside itself"),
    ("a whole chain of definitions", {"type": "object", "$defs": {
        **{str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(3000)}, "3000": STRING}}, "it is nested too deeply"),
    ("allOf that names itself", {"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}, "allOf": [{"$ref": "#/$defs/A"}]},
     "a part of it has no type"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "why"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_a_hostile_schema_costs_no_time_and_breaks_nothing(schema: dict[str, Any], why: str) -> None:
    began = time.perf_counter()
    assert to_subset(schema).unfit == why
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "keyword", ["type", "properties", "required", "items", "anyOf", "oneOf", "allOf", "enum", "format", "minItems",
                "additionalProperties", "$ref", "$defs", "definitions", "description", "nullable"]
)  # fmt: skip
@pytest.mark.parametrize("value", [None, True, 5, 1.5, "x", [], [[]], [{}], [5, "a", None], {}, {"a": 5}, {"a": {}}])
def test_no_value_of_any_keyword_breaks_it(keyword: str, value: Any) -> None:
    for schema in ({keyword: value}, {"type": "object", "properties": {"a": STRING}, keyword: value},
                   {"allOf": [{keyword: value}, {"type": "object", keyword: value}]}):  # fmt: skip
        subset = to_subset(schema)
        json.dumps(subset.schema)
        assert isinstance(subset.unfit, str)

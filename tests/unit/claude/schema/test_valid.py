"""Risk: a schema that Claude refuses goes up, a valid one is changed, or what can be said in its words is lost."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given

from modelmux.claude.schema import draft2020
from modelmux.claude.schema.draft2020 import MAX_LEVELS, MAX_PATTERN, compiles, is_valid
from modelmux.claude.schema.root import to_object_root
from modelmux.claude.schema.valid import to_valid
from support.odd_schemas import SCHEMAS, valid_by_jsonschema

Json = dict[str, Any]
S, I = {"type": "string"}, {"type": "integer"}  # noqa: E741

#: What clients write, and what it means in the words of draft 2020-12.
FORMS: dict[str, tuple[Json, Json]] = {
    "an exclusive limit of draft 4": (
        {"minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": True},
        {"exclusiveMinimum": 0, "exclusiveMaximum": 9},
    ),
    "an inclusive limit of draft 4": ({"minimum": 0, "exclusiveMinimum": False}, {"minimum": 0}),
    "an exclusive limit of nothing": ({"exclusiveMinimum": True, "type": "integer"}, {"type": "integer"}),
    "types in capitals": ({"type": "STRING"}, {"type": "string"}),
    "types of languages": ({"type": ["int", "None"]}, {"type": ["integer", "null"]}),
    "several types in one": ({"type": "str | null"}, {"type": ["string", "null"]}),
    "the same type twice": ({"type": ["int", "integer"]}, {"type": "integer"}),
    "any type": ({"type": "any", "title": "t"}, {"title": "t"}),
    "any type among others": ({"type": ["string", "any"]}, {}),
    "a format as type": ({"type": "Date"}, {"type": "string", "format": "date"}),
    "a format as type beside a format": ({"type": "datetime", "format": "time"}, {"type": "string", "format": "time"}),
    "types that nobody knows": ({"type": "file"}, {}),
    "types of which one is unknown": ({"type": ["string", "file"]}, {}),
    "no types": ({"type": []}, {}),
    "a type that is none": ({"type": {"a": 1}}, {}),
    "nullable beside a type": ({"type": "STRING", "nullable": True, "enum": ["a"]},
                               {"type": ["string", "null"], "enum": ["a", None]}),
    "nullable beside null": ({"type": ["STRING", "null"], "nullable": True}, {"type": ["string", "null"]}),
    "nullable beside variants": ({"anyOf": ["string"], "nullable": True}, {"anyOf": [S, {"type": "null"}]}),
    "nullable beside neither": ({"nullable": True, "title": 5}, {"nullable": True}),
    "items in order": ({"items": [S, "int"], "additionalItems": False}, {"prefixItems": [S, I], "items": False}),
    "items in order beside the new form": ({"prefixItems": [S], "items": [I]}, {"prefixItems": [S]}),
    "no items": ({"items": []}, {}),
    "required at the property": (
        {"properties": {"a": {"type": "string", "required": True}, "b": {"required": False}, "c": {}}},
        {"properties": {"a": S, "b": {}, "c": {}}, "required": ["a"]},
    ),
    "required at both": (
        {"required": ["b", "b"], "properties": {"a": {"required": True}, "b": {}}},
        {"required": ["b", "a"], "properties": {"a": {}, "b": {}}},
    ),
    "optional at the property": ({"properties": {"b": {"required": False}}}, {"properties": {"b": {}}}),
    "one required name": ({"required": "a"}, {"required": ["a"]}),
    "required names with others": ({"required": ["a", 1, "a", None]}, {"required": ["a"]}),
    "required that is none": ({"required": {"a": 1}}, {}),
    "dependent names": ({"dependentRequired": {"a": "b", "c": ["d", "d"], "e": 1}},
                        {"dependentRequired": {"a": ["b"], "c": ["d"]}}),
    "dependent names that are none": ({"dependentRequired": 1}, {}),
    "dependencies": ({"dependencies": {"a": ["b", "b"], "c": {"type": "INTEGER"}, "d": ["x"]}},
                     {"dependencies": {"a": ["b"], "c": I, "d": ["x"]}}),
    "numbers as text": ({"minLength": "3", "maximum": "1.5", "minimum": "x", "multipleOf": "1e999"},
                        {"minLength": 3, "maximum": 1.5}),
    "counts that are none": ({"minLength": -1, "maxLength": 1.5, "minItems": True}, {}),
    "zero as divisor": ({"multipleOf": 0}, {}),
    "flags as text": ({"uniqueItems": "True", "deprecated": "no", "additionalProperties": "false"},
                      {"uniqueItems": True, "additionalProperties": False}),
    "flags that are none": ({"uniqueItems": 1, "additionalProperties": 1}, {}),
    "one value": ({"enum": "a", "examples": 1}, {"enum": ["a"], "examples": [1]}),
    "values by name": ({"enum": {"A": 1}}, {}),
    "lines of a description": ({"description": ["a", "b"], "title": [], "$comment": 1}, {"description": "a\nb"}),
    "types in the place of schemas": (
        {"properties": {"a": "string", "b": ["int", "null"], "c": None, "d": 5, "e": "file"}},
        {"properties": {"a": S, "b": {"type": ["integer", "null"]}, "c": {}, "d": {}, "e": {}}},
    ),
    "a type in the place of items": ({"items": "string", "not": "file"}, {"items": S}),
    "one variant": ({"anyOf": {"type": "STRING"}, "oneOf": [], "allOf": 1}, {"anyOf": [S]}),
    "properties that are none": ({"properties": ["a"], "$defs": None}, {}),
    "a pattern of another language": (
        {"pattern": r"^\p{L}+$", "description": "Name.", "title": None},
        {"description": "Name.\n\n{pattern: \"^\\\\p{L}+$\"}"},
    ),
    "a pattern that is none": ({"pattern": 5}, {}),
    "patterns of keys": ({"patternProperties": {"[": {}, "^a": "string"}}, {"patternProperties": {"^a": S}}),
    "names of schemas": ({"$id": "http://x#y", "$anchor": "1", "$ref": 5, "$vocabulary": {"a": 1}, "$schema": 4},
                         {"$id": "http://x"}),
    "a name that is none": ({"$id": 5}, {}),
    "an old recursion": ({"$recursiveAnchor": True, "$recursiveRef": "#"}, {"$recursiveRef": "#"}),
    "null for nothing": ({"enum": None, "minimum": None, "required": None, "title": None}, {}),
    "required as text at the property": (
        {"properties": {"a": {"type": "string", "required": "true"}, "b": {"required": "False"}}},
        {"properties": {"a": S, "b": {}}, "required": ["a"]},
    ),
    "required as text of no property": ({"required": "true", "title": "t"}, {"title": "t"}),
    "an anchor of older drafts": ({"$id": "#foo", "title": "t"}, {"$anchor": "foo", "title": "t"}),
    "an anchor beside a base": ({"$id": "http://x#foo"}, {"$id": "http://x", "$anchor": "foo"}),
    "a pointer as name": ({"title": "t", "$id": "#/a"}, {"title": "t"}),
    "schemas among types": ({"type": [{"type": "STRING"}, "null"]}, {"anyOf": [S, {"type": "null"}]}),
    "schemas among types beside variants": (
        {"type": [{"type": "string", "title": "t"}, "null"], "anyOf": [{}], "allOf": [{}]},
        {"anyOf": [{}], "allOf": [{}, {"anyOf": [{"type": "string", "title": "t"}, {"type": "null"}]}]},
    ),
    "a format beside variants": ({"type": "date", "anyOf": [{}]}, {"anyOf": [{}], "type": "string", "format": "date"}),
    "one schema as type": ({"type": [{"type": "INT"}]}, {"anyOf": [I]}),
    "arrays by their items": ({"type": "string[]"}, {"type": "array", "items": S}),
    "arrays of anything": ({"type": "any[]"}, {"type": "array"}),
    "arrays in angle brackets": ({"type": "Array<int | null>"},
                                 {"type": "array", "items": {"type": ["integer", "null"]}}),
    "arrays among types": ({"type": "list[str]|null"}, {"anyOf": [{"type": "array", "items": S}, {"type": "null"}]}),
    "arrays of nobody knows what": ({"type": ["file[]", "null"]}, {}),
    "arrays beyond reading": ({"type": "string" + "[]" * 20}, {}),
    "a condition that lost its pattern": ({"if": {"pattern": r"\p{L}"}, "then": I, "else": S, "title": "t"},
                                          {"title": "t"}),
    "a refusal that lost its pattern": ({"not": {"pattern": r"\p{L}"}, "title": "t"}, {"title": "t"}),
    "a refusal that lost its type": ({"not": {"type": "strin"}}, {}),
    "a refusal within a refusal": ({"not": {"not": {"type": "strin"}}}, {}),
    "a refusal that kept its meaning": ({"not": {"type": "INT"}}, {"not": I}),
    "a refusal of required names": ({"not": {"required": [1]}}, {}),
    "a refusal of dependencies": ({"not": {"dependencies": {"a": [1]}}}, {}),
    "a refusal by reference": (
        {"not": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "file"}}, "unevaluatedItems": False},
        {"$defs": {"a": {}}, "unevaluatedItems": False},
    ),
    "a number of items that lost their type": ({"contains": {"type": "file"}, "maxContains": 1}, {"contains": {}}),
    "a number of items that is none": ({"contains": S, "minContains": -1}, {}),
    "one of several that lost a type": ({"oneOf": [{"type": "file"}, S]}, {"anyOf": [{}, S]}),
    "one of several beside variants": ({"oneOf": [{"type": "file"}, S], "anyOf": [S]}, {"anyOf": [S]}),
    "no other keys than unknown ones": ({"patternProperties": {"[": {}}, "additionalProperties": False},
                                        {"patternProperties": {}}),
    "no other properties than unknown ones": ({"properties": 5, "unevaluatedProperties": False}, {}),
    "no other items than unknown ones": ({"items": 5, "unevaluatedItems": False}, {}),
    "no more than unknown parts": ({"anyOf": 5, "unevaluatedProperties": False}, {}),
    "numbers beyond floats": ({"minLength": -(10**400), "maxItems": -(10**400), "multipleOf": -(10**400)}, {}),
    "an exclusive limit beyond floats": ({"minimum": 10**400, "exclusiveMinimum": True},
                                         {"exclusiveMinimum": 10**400}),
    "nullable in a part that is valid": (
        {"properties": {"a": {"type": "string", "nullable": True}, "b": {"type": "any"}}},
        {"properties": {"a": {"type": "string", "nullable": True}, "b": {}}},
    ),
    "at every depth": (
        {"$defs": {"a": {"items": {"anyOf": [{"type": "INT"}, {"not": {"type": "INT"}}]}}}, "x": {"type": "INT"}},
        {"$defs": {"a": {"items": {"anyOf": [I, {"not": I}]}}}, "x": {"type": "INT"}},
    ),
}  # fmt: skip
VALID: list[Json] = [
    {},
    {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": True}, "dependencies": {"a": ["b"]}},
    {"type": ["string", "null"], "enum": [], "nullable": True, "id": 5, "minLength": 2.0, "const": None},
    {"$id": "http://x#", "$anchor": "a-1", "$vocabulary": {"u": True}, "patternProperties": {"^a": False}},
    {"dependentRequired": {"a": ["b"]}, "pattern": "^a+$", "multipleOf": 0.5, "examples": [], "readOnly": False},
]  # fmt: skip


@pytest.mark.parametrize(("given_", "expected"), FORMS.values(), ids=FORMS)
def test_a_form_is_said_in_the_words_of_the_draft(given_: Json, expected: Json) -> None:
    before = copy.deepcopy(given_)
    made = to_valid(given_)
    assert json.dumps(made.schema) == json.dumps(expected)
    assert made.change.startswith("The schema is not JSON Schema draft 2020-12. ")
    assert not is_valid(given_)
    assert not valid_by_jsonschema(given_)
    assert valid_by_jsonschema(made.schema)
    assert given_ == before


@pytest.mark.parametrize("schema", VALID)
def test_a_valid_schema_is_the_same_object(schema: Json) -> None:
    assert valid_by_jsonschema(schema)
    assert to_valid(schema) == (schema, "")
    assert to_valid(schema).schema is schema


@given(SCHEMAS)
def test_any_schema_comes_out_valid(schema: Json) -> None:
    before = copy.deepcopy(schema)
    made = to_valid(schema)
    assert valid_by_jsonschema(made.schema)
    assert is_valid(made.schema)
    assert is_valid(schema) == valid_by_jsonschema(schema) == (made.schema is schema)
    assert bool(made.change) == (made.schema is not schema)
    assert schema == before


@given(SCHEMAS)
@example({"allOf": [{"a": None}]})
def test_any_root_comes_out_valid(schema: Json) -> None:
    root = to_object_root(schema, "parameters")
    assert to_object_root(root.schema, "parameters").schema is root.schema
    assert valid_by_jsonschema(root.schema)
    assert root.schema["type"] == "object"


def test_what_is_changed_is_named_without_the_clients_own_words() -> None:
    made = to_valid({"properties": {"secret": {"type": "INT", "pattern": "["}}, "required": "secret"})
    assert made.change == "The schema is not JSON Schema draft 2020-12. Rewritten: type, required. Left out: pattern."


def deep(levels: int) -> Json:
    schema: Json = {"type": "string"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def test_a_schema_is_cut_below_the_last_level() -> None:
    assert to_valid(deep(MAX_LEVELS)).change == ""
    nested: Any = 1
    for _ in range(1200):
        nested = [nested]
    assert to_valid({"x-nested": nested}).change == ""
    made = to_valid(deep(MAX_LEVELS + 50))
    assert made.change == "The schema is not JSON Schema draft 2020-12. Left out: nesting."
    assert is_valid(made.schema)


def test_patterns_are_compiled_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiles("a" * MAX_PATTERN)
    assert not compiles("a" * (MAX_PATTERN + 1))
    for pattern in ("[[a]", r"\[[a&&b~~c||d]", "a||b"):  # Python warns of some
        assert compiles(pattern)
    for pattern in (r"\[[", "(a)(?(1)b||c)", "[a--]", "a**", "(?<n>a)", r"\p{L}"):
        assert not compiles(pattern)

    def overflow(_: str) -> None:
        raise OverflowError

    monkeypatch.setattr(draft2020.re, "compile", overflow)
    assert not compiles("of no other test")

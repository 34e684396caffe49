"""A value against a schema: never wrong, uncertain where something is not read, and bounded."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.claude.schema.conformance import SchemaChecker
from modelmux.claude.schema.work import MAX_LEVELS, MAX_WORK, TooMuchWork, Work

Cases = list[tuple[Any, list[Any], list[Any], list[Any]]]
STRING, INTEGER = {"type": "string"}, {"type": "integer"}
NODE = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}

#: Schema, values that fit, values that do not, values of which it cannot be told.
CASES: Cases = [
    (True, [1, None], [], []),
    (False, [], [1, None], []),
    ("not a schema", [], [], [1]),
    ({}, [1, "x", None, []], [], []),
    ({"title": 5, "x-unknown": {}, "format": "date"}, ["x"], [], []),
    (STRING, ["x"], [1, None, [], {}], []),
    (INTEGER, [1, 1.0, -3], [1.5, True, "1"], []),
    ({"type": "number"}, [1, 1.5], [False, "1"], []),
    ({"type": "boolean"}, [True], [0, 1], []),
    ({"type": "null"}, [None], [0, ""], []),
    ({"type": "array"}, [[]], [{}, ""], []),
    ({"type": "object"}, [{}], [[], ""], []),
    ({"type": ["string", "null"]}, ["x", None], [1], []),
    ({"type": "any"}, [], [], [1]),
    ({"type": ["any", "string"]}, ["x"], [], [1]),
    ({"type": [["string"]]}, [], [], ["x"]),
    ({"type": []}, [], ["x"], []),
    ({"type": "string", "nullable": True}, ["x", None], [1], []),
    ({"enum": [1, "a", [1, {"b": True}], None]}, [1, 1.0, "a", [1, {"b": True}], None], [True, 2, [1, {"b": 1}]], []),
    ({"enum": "a"}, [], [], ["a"]),
    ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [True]}, {}], []),
    ({"const": False}, [False], [0], []),
    # references
    ({"$ref": "#/$defs/S", "$defs": {"S": STRING}}, ["x"], [1], []),
    ({"$ref": "/$defs/S", "$defs": {"S": STRING}}, ["x"], [1], []),
    ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": STRING}, "minLength": 2}, ["xx"], [1, "x"], []),
    ({"$ref": "https://example.com/schema"}, [], [], [1]),
    ({"$ref": 5}, [], [], [1]),
    ({"anyOf": [NODE, {"type": "null"}], "$defs": {}}, [None], [5, {}], []),
    # combinations
    ({"allOf": [{"type": ["string", "integer"]}, {"type": ["integer", "null"]}]}, [1], ["x", None], []),
    ({"allOf": [{"pattern": "x"}, STRING]}, [], [1], ["x"]),
    ({"anyOf": [STRING, {"minimum": 3}]}, ["x", 3], [2], []),
    ({"anyOf": [{"pattern": "x"}, {"maxLength": 2}]}, ["x", 1], [], ["long"]),
    ({"anyOf": []}, [], [], [1]),
    ({"oneOf": [INTEGER, {"minimum": 3}]}, [1, 3.5], [4], []),
    ({"oneOf": [{"pattern": "x"}, {"maxLength": 2}]}, [], [5], ["x", "long"]),
    ({"oneOf": [STRING, STRING, {"pattern": "x"}]}, [1], ["x"], []),
    ({"oneOf": {}}, [], [], [1]),
    ({"not": STRING}, [1], ["x"], []),
    ({"not": {"pattern": "x"}}, [], [1], ["x"]),
    ({"if": STRING, "then": {"minLength": 2}, "else": {"minimum": 2}}, ["xx", 2], ["x", 1], []),
    ({"if": STRING}, ["", 1], [], []),
    ({"if": {"pattern": "x"}, "then": STRING}, [], [], ["x"]),
    # objects
    ({"properties": {"a": STRING, "b": INTEGER}}, [{"a": "x"}, {"c": 1}, {}, 5], [{"a": 1}, {"a": "x", "b": "x"}], []),
    ({"properties": "?"}, [{"a": 1}], [], []),
    ({"required": ["a", "b"]}, [{"a": 1, "b": 2}, "x"], [{"a": 1}], []),
    ({"required": True}, [{}], [], []),
    ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}, {}, 5], [{"b": 1}], []),
    ({"additionalProperties": STRING}, [{"a": "x"}], [{"a": 1}], []),
    ({"additionalProperties": True, "patternProperties": {"^x": STRING}}, [{}, 5], [], [{"a": 1}]),
    ({"additionalProperties": False, "patternProperties": {"^x": STRING}}, [{}], [], [{"a": 1}]),
    ({"propertyNames": {"maxLength": 2}}, [{"ab": 1}, 5], [{"abc": 1}], []),
    ({"minProperties": 1, "maxProperties": 2}, [{"a": 1}, "x"], [{}, {"a": 1, "b": 2, "c": 3}], []),
    ({"dependentRequired": {"a": ["b"]}}, [{}, {"b": 1}, {"a": 1, "b": 2}, 5], [{"a": 1}], []),
    ({"dependentSchemas": {"a": {"required": ["b"]}}}, [{}, {"a": 1, "b": 2}, 5], [{"a": 1}], []),
    ({"unevaluatedProperties": False}, [], [], [{}]),
    ({"unevaluatedProperties": False, "type": "object"}, [], [5], [{}]),
    # arrays
    ({"items": STRING}, [[], ["x"], 5], [[1], ["x", 1]], []),
    ({"prefixItems": [STRING], "items": INTEGER}, [[], ["x"], ["x", 1]], [[1], ["x", "x"]], []),
    ({"items": [STRING, INTEGER]}, [["x"], ["x", 1, None]], [[1], ["x", "x"]], []),
    ({"prefixItems": [STRING], "items": False}, [["x"]], [["x", 1]], []),
    ({"contains": STRING}, [["x", 1], 5], [[], [1]], []),
    ({"contains": STRING, "minContains": 2, "maxContains": 3}, [["x", "y"]], [["x"], ["x"] * 4], []),
    ({"contains": {"pattern": "x"}}, [[1]], [[]], [["x"]]),
    ({"contains": STRING, "minContains": "2"}, [], [], [["x"]]),
    ({"uniqueItems": True}, [[1, True, "1", [1], [True]], 5], [[1, 1.0], [{"a": [1]}, {"a": [1]}]], []),
    ({"uniqueItems": False}, [[1, 1]], [], []),
    ({"minItems": 1, "maxItems": 2}, [[1], "x"], [[], [1, 2, 3]], []),
    # strings and numbers
    ({"minLength": 2, "maxLength": 3}, ["ab", 5], ["a", "abcd"], []),
    ({"pattern": "^(a+)+$"}, [5], [], ["x"]),
    ({"minimum": 1, "maximum": 2}, [1, 2, 1.5, "x", True], [0, 2.5], []),
    ({"exclusiveMinimum": 1, "exclusiveMaximum": 2}, [1.5], [1, 2], []),
    ({"minimum": 1, "exclusiveMinimum": True}, ["x"], [0], [1, 2]),
    ({"multipleOf": 3}, [6, 0, "x"], [4], [1.5]),
    ({"multipleOf": 0.1}, [], [], [1]),
    ({"multipleOf": 0}, [], [], [1]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "fitting", "others", "uncertain"), CASES, ids=lambda value: str(value)[:60])
def test_a_value_fits_or_not_or_it_cannot_be_told(
    schema: Any, fitting: list[Any], others: list[Any], uncertain: list[Any]
) -> None:
    for values, want in ((fitting, True), (others, False), (uncertain, None)):
        for value in values:
            assert SchemaChecker(schema, Work()).check(value) is want, value


def test_a_schema_that_contains_itself_is_followed_as_far_as_the_value_goes() -> None:
    schema = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    assert SchemaChecker(schema, Work()).check({"next": {"next": {"next": None}}}) is True
    assert SchemaChecker(schema, Work()).check({"next": {"next": {"next": 5}}}) is False


def test_a_verdict_never_contradicts_the_reference() -> None:
    """By the standard's own validator, where the schema is one of the standard's."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator
    compared = 0
    for schema, *groups in CASES:
        if not validator(validator.META_SCHEMA).is_valid(schema) or any(word in str(schema) for word in _OTHER_RULES):
            continue
        for value in (value for group in groups for value in group):
            assert SchemaChecker(schema, Work()).check(value) in (None, validator(schema).is_valid(value)), value
            compared += 1
    assert compared > 150


#: OpenAPI's; references that the reference does not resolve.
_OTHER_RULES = ("nullable", "https:", "'/$defs")


LOOP: dict[str, Any] = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}
WIDE = {"allOf": [{"$ref": "#/$defs/A0"}], "$defs": {
    f"A{n}": {"allOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 4} for n in range(20)}}  # fmt: skip


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (LOOP, 1),
        (WIDE, 1),
        ({"uniqueItems": True}, list(range(MAX_WORK + 1))),
        ({"items": {"properties": {str(n): True for n in range(1000)}}}, [{}] * (MAX_WORK // 1000)),
        ({"items": {"required": list(map(str, range(1000)))}}, [5] * (MAX_WORK // 1000)),
        ({"items": {"dependentRequired": {str(n): ["a"] for n in range(1000)}}}, [{}] * (MAX_WORK // 1000)),
        ({"enum": [list(range(1000))]}, list(range(MAX_WORK))),
        ({"const": nested(MAX_LEVELS + 2)}, 1),
    ],
    ids=["a reference to itself", "exponential", "items", "properties", "required", "dependent", "enum", "nesting"],
)
def test_what_is_too_much_is_not_checked(schema: Any, value: Any) -> None:
    with pytest.raises(TooMuchWork):
        SchemaChecker(schema, Work()).check(value)


def test_work_is_counted_over_all_checks() -> None:
    work = Work(10)
    checker = SchemaChecker(STRING, work)
    assert [checker.check("x") for _ in range(5)] == [True] * 5
    with pytest.raises(TooMuchWork):
        checker.check("x")

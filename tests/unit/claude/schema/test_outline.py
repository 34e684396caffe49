"""Where an object or an array is wanted, and a string cannot be meant."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from modelmux.claude.schema.outline import Outline, Position
from modelmux.claude.schema.work import TooMuchWork, Work

STRING, ARRAY, OBJECT = {"type": "string"}, {"type": "array"}, {"type": "object"}


def root(schema: Any) -> Position:
    return Outline(schema, Work()).root()


@pytest.mark.parametrize(
    ("schema", "misplaced"),
    [
        (ARRAY, True),
        (OBJECT, True),
        (STRING, False),
        ({"type": "integer"}, False),
        ({"type": "any"}, False),
        ({"type": [["array"]]}, False),
        ({}, False),
        (True, False),
        ({"type": ["array", "null"]}, True),
        ({"type": ["array", "string"]}, False),
        ({"items": STRING}, False),  # by the standard it is any value
        ({"enum": [[1], {}]}, True),
        ({"enum": [[1], "x"]}, False),
        ({"const": {}}, True),
        ({"const": 5}, False),
        ({"type": ["array", "string"], "enum": [[1]]}, True),
        ({"anyOf": [ARRAY, {"type": "null"}]}, True),
        ({"anyOf": [ARRAY, STRING]}, False),
        ({"anyOf": [ARRAY, STRING], "oneOf": [ARRAY, OBJECT]}, True),
        ({"anyOf": [ARRAY, True]}, False),
        ({"allOf": [{"type": ["array", "string"]}, {"type": ["array", "null"]}]}, True),
        ({"$ref": "#/$defs/A", "$defs": {"A": ARRAY}}, True),
        ({"$ref": "#/$defs/B", "$defs": {"A": ARRAY}}, False),
        ({"$ref": "#", "type": "array"}, True),
        ({"anyOf": [{"$ref": "#"}, ARRAY]}, False),
    ],
    ids=str,
)
def test_a_string_is_misplaced_where_only_an_object_or_an_array_can_be_meant(schema: Any, misplaced: bool) -> None:
    assert root(schema).misplaced is misplaced


def test_places_of_properties_and_items() -> None:
    position = root(
        {
            "properties": {"a": ARRAY, "b": {"items": {"$ref": "#/$defs/N"}}, "c": {"prefixItems": [STRING, ARRAY]}},
            "additionalProperties": OBJECT,
            "$defs": {"N": {"properties": {"next": {"$ref": "#/$defs/N"}}, "type": "object"}},
        }
    )
    assert position.has_property("a")
    assert not position.has_property("z")
    assert position.child("a") is position.child("a")
    assert position.child("z").misplaced is True
    items = position.child("b")
    assert items.item(0) is items.item(7)
    following = items.item(0).child("next")
    assert following.child("next") is following
    assert items.item(0).child("other").misplaced is False  # nothing is said of it
    assert [position.child("c").item(index).misplaced for index in range(3)] == [False, True, False]


def test_items_as_they_were_before_2020() -> None:
    position = root({"items": [ARRAY, STRING]})
    assert [position.item(index).misplaced for index in range(3)] == [True, False, False]


def test_a_string_that_only_some_variants_allow() -> None:
    variants = [{"properties": {"value": part}} for part in (STRING, ARRAY)]
    assert root({"anyOf": variants}).child("value").misplaced is None
    assert root({"oneOf": variants[1:], "then": variants[1], "else": {}}).child("value").misplaced is True


def test_a_schema_that_refers_to_itself_by_everything_ends() -> None:
    position = root({"$ref": "#", "allOf": [{"$ref": "#"}], "properties": {"a": {"$ref": "#"}}})
    assert position.child("a").child("a").misplaced is False


def test_a_long_chain_of_references_is_not_followed_to_its_end() -> None:
    names = [f"A{n}" for n in range(200)]
    chain = {name: {"$ref": f"#/$defs/{following}"} for name, following in pairwise(names)}
    assert root({"$ref": "#/$defs/A0", "$defs": {**chain, names[-1]: ARRAY}}).misplaced is False


def test_work_is_counted() -> None:
    with pytest.raises(TooMuchWork):
        Outline({"anyOf": [ARRAY] * 100}, Work(50)).root()

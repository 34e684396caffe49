"""Bounds of a schema: one too few refuses what Vertex AI takes, one too many sends what it refuses or never ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.claude.schema.reader import too_deep
from modelmux.claude.schema.size import size_of
from modelmux.claude.schema.subset import MAX_OPTIONAL, MAX_PARTS, MAX_UNIONS, to_subset

STRING = {"type": "string"}


def closed(properties: dict[str, Any], required: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """An object of the subset."""
    required = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


def test_the_size_counts_every_use_of_a_definition() -> None:
    definition = closed({"x": {"anyOf": [STRING, {"type": "null"}]}, "y": STRING}, ["x"])
    use = {"$ref": "#/$defs/d"}
    root = closed({"a": use, "b": use, "c": STRING}, ["a"], **{"$defs": {"d": definition}})
    assert size_of(root) == (14, 5, 4, 2)


def test_exactly_what_is_allowed_fits() -> None:
    assert to_subset({"anyOf": [STRING] * (MAX_PARTS - 1)}).unsupported_reason == ""
    assert to_subset({"anyOf": [STRING] * MAX_PARTS}).unsupported_reason == f"it has more than {MAX_PARTS} parts"
    assert to_subset({"properties": {f"p{i}": STRING for i in range(MAX_OPTIONAL)}}).optional == MAX_OPTIONAL
    names = [f"p{i}" for i in range(MAX_UNIONS)]
    unions = {"properties": {name: {"type": ["string", "null"]} for name in names}, "required": names}
    assert to_subset(unions).unions == MAX_UNIONS


def test_what_is_too_deep_as_json_leaves_no_schema() -> None:
    assert to_subset({"type": "string", "default": json.loads("[" * 200 + "]" * 200)}).schema == {}
    assert too_deep({"a": {"a": {}}}, 2)
    assert not too_deep({"a": {"a": {}}}, 3)


def test_a_reference_that_says_the_type_itself_stays_one() -> None:
    root = {"type": "object", "anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": closed({})}}
    assert to_subset(root).schema["anyOf"] == [{"$ref": "#/$defs/A"}]


def test_least_items_are_a_number() -> None:
    array = {"type": "array", "items": STRING}
    assert to_subset({**array, "minItems": 0}).schema["minItems"] == 0
    assert "minItems" not in to_subset({**array, "minItems": False}).schema


def test_an_object_open_beside_no_properties_does_not_fit() -> None:
    root = {"type": "object", "properties": {}, "additionalProperties": True}
    assert to_subset(root).unsupported_reason == "it has an object with arbitrary keys"


def test_a_member_that_allows_all_hides_no_other() -> None:
    assert to_subset({"allOf": [True, STRING]}).schema == STRING


def test_a_definition_that_includes_itself_ends() -> None:
    circle = {"type": "string", "allOf": [{"$ref": "#/$defs/A"}]}
    assert to_subset({"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": circle}}).schema == STRING


@pytest.mark.parametrize(
    ("root", "text"),
    [
        ({"type": "string", "description": "abc", "title": "de"}, 5),
        ({"enum": ["abc", "de"]}, 5),
        ({"type": "object", "properties": {"abc": STRING}, "required": ["abc"]}, 4),
        ({"allOf": [STRING, {"enum": ["abc"]}]}, 10 * (2 + 2 + 2) + 2 + 1 + 3),
    ],
)
def test_what_the_text_is_counted_by(root: dict[str, Any], text: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelmux.claude.schema.reader.MAX_TEXT", text)
    assert to_subset(root).unsupported_reason == ""
    monkeypatch.setattr("modelmux.claude.schema.reader.MAX_TEXT", text - 1)
    assert to_subset(root).unsupported_reason == "it is too large"

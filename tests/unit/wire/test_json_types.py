"""Errors for people who send JSON have JSON's names of types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from modelmux.wire.json_types import in_json_terms, json_type


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        (int, b'"x"', "Expected an integer, got a string"),
        (int | None, b"1.5", "Expected an integer or null, got a number"),
        (float, b"true", "Expected a number, got a boolean"),
        (int | float | None, b"[]", "Expected a number or null, got an array"),
        (str | list[str] | None, b"1", "Expected a string, an array or null, got a number"),
        (bytes, b"{}", "Expected a string, got an object"),
        (bool, b"null", "Expected a boolean, got null"),
        (dict[str, list[int]], b'{"a":["x"]}', "Expected an integer, got a string - at `$[...][0]`"),
        (Annotated[int, Meta(ge=1)], b"0", "Expected an integer >= 1"),
        (Annotated[str, Meta(max_length=2)], b'"abc"', "Expected a string of length <= 2"),
        (tuple[int, int], b"[1]", "Expected an array of length 2"),
    ],
)
def test_types_have_the_names_of_json(kind: Any, body: bytes, says: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=kind)
    assert in_json_terms(str(caught.value)) == says


def test_names_of_fields_and_values_stay() -> None:
    fields = msgspec.defstruct("Fields", [("int", int), ("kind", Literal["x"], "x")], forbid_unknown_fields=True)
    for body in (b"{}", b'{"int":1,"str":2}', b'{"int":1,"kind":"Expected `int`"}'):
        with pytest.raises(msgspec.ValidationError) as caught:
            msgspec.json.decode(body, type=fields)
        assert in_json_terms(str(caught.value)) == str(caught.value)


@pytest.mark.parametrize("value", [True, 1, 1.5, "x", [], {}, None])
def test_a_value_has_one_name_whoever_names_it(value: Any) -> None:
    other = list if not isinstance(value, list) else str
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(value), type=other)
    assert in_json_terms(str(caught.value)).endswith(f", got {json_type(value)}")


def test_the_type_of_a_value() -> None:
    values = [True, 1, 1.5, "x", [], {}, None]
    assert [json_type(value) for value in values] == [
        "a boolean", "a number", "a number", "a string", "an array", "an object", "null",
    ]  # fmt: skip

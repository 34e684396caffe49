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
        (int, b'"x"', "Expected integer, got string"),
        (int | None, b"1.5", "Expected integer or null, got number"),
        (float, b"true", "Expected number, got boolean"),
        (int | float | None, b"[]", "Expected number or null, got array"),
        (str | list[str] | None, b"1", "Expected string, array or null, got integer"),
        (bytes, b"{}", "Expected string, got object"),
        (bool, b"null", "Expected boolean, got null"),
        (dict[str, list[int]], b'{"a":["x"]}', "Expected integer, got string - at `$[...][0]`"),
        (Annotated[int, Meta(ge=1)], b"0", "Expected integer >= 1"),
        (Annotated[str, Meta(max_length=2)], b'"abc"', "Expected string of length <= 2"),
        (tuple[int, int], b"[1]", "Expected array of length 2"),
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


def test_the_type_of_a_value() -> None:
    values = [True, 1, 1.5, "x", [], {}, None]
    assert [json_type(value) for value in values] == [
        "a boolean", "a number", "a number", "a string", "an array", "an object", "null",
    ]  # fmt: skip

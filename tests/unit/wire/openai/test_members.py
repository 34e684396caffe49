"""Risk: an unknown member that no walk of the types reaches."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from modelmux.errors import InvalidRequest
from modelmux.wire.openai.members import MAX_UNKNOWN, remove_unknown, shape_of


class A(Struct, tag_field="type", tag="a"):
    x: dict[str, Any] | None = None


class B(Struct, tag_field="type", tag="b"):
    a: A | None = None


class Root(Struct):
    plain: int | str | None = None
    names: list[str] | None = None
    mixed: str | list[A | B] | A | None = None


SHAPE = shape_of(Root)


@pytest.mark.parametrize(
    ("value", "unknown"),
    [
        ({}, []),
        ({"zz": {}, "plain": {"zz": 1}, "names": [{"zz": 1}]}, ["zz"]),
        ({"mixed": {"type": "a", "x": {"zz": 1}, "zz": 1}}, ["mixed.zz"]),
        ({"mixed": [{"type": "b", "a": {"type": "a", "y": 1}, "z": 1}, "text"]}, ["mixed.0.z", "mixed.0.a.y"]),
        ({"mixed": [{"type": "c", "y": 1}, {"y": 1}, {"type": [], "y": 1}]}, []),
    ],
)
def test_unknown_members_are_taken_out(value: dict[str, Any], unknown: list[str]) -> None:
    assert remove_unknown(value, SHAPE) == unknown
    assert remove_unknown(value, SHAPE) == []


class Item(Struct):
    name: str = ""


class Items(Struct):
    items: list[Item]


def test_too_many_unknown_members_are_refused() -> None:
    shape = shape_of(Items)
    most = {f"k{i}": 0 for i in range(MAX_UNKNOWN - 1)}
    assert len(remove_unknown({"items": [{"a": 0}, most]}, shape)) == MAX_UNKNOWN
    with pytest.raises(InvalidRequest) as caught:
        remove_unknown({"items": [{"a": 0}, {f"k{i}": 0 for i in range(MAX_UNKNOWN)}]}, shape)
    assert caught.value.param == "items.1"

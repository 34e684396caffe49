"""Positions in reports. Risk: a page begins at the wrong group, or a cursor of another report is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.fields import FieldError
from modelmux.accounts.usage_pages import is_after, page_order, read_position, write_position

VALUES = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("group_by", "order"),
    [
        ((), ()),
        (("team", "model"), ("team", "model")),
        (("team", "key", "model"), ("key", "team", "model")),
        (("team", "person"), ("person", "team")),
        (("person", "model", "key"), ("key", "person", "model")),
    ],
)
def test_pages_are_in_the_order_of_keys_or_else_of_people(group_by: tuple[str, ...], order: tuple[str, ...]) -> None:
    assert page_order(group_by) == order


@pytest.mark.parametrize(
    ("place", "position", "later"),
    [
        ((), (), True),
        ((None,), (), True),
        ((None, "b"), (None, "a"), True),
        ((None, "b"), (None,), False),
        (("a", None), (None,), True),
        (("a", "b"), ("a", "b"), False),
        (("a", "c"), ("a", "b"), True),
        (("a", "c"), ("a",), False),
        (("a", None), ("a", "b"), False),
        (("b", None), ("a", "b"), True),
        (("B",), ("a",), False),
    ],
)
def test_what_begins_with_a_position_is_done(
    place: tuple[str | None, ...], position: tuple[str | None, ...], later: bool
) -> None:
    assert is_after(place, position) is later


@given(st.lists(VALUES, min_size=1, max_size=8).map(tuple))
def test_a_position_is_read_as_it_was_written(position: tuple[str | None, ...]) -> None:
    text = write_position(position)
    assert text.isascii()
    assert "=" not in text
    assert read_position(text, ("key",) * 8) == position
    if len(position) > 1:
        with pytest.raises(FieldError):
            read_position(text, ("key",) * (len(position) - 1))


def test_nothing_is_the_beginning() -> None:
    assert read_position("", ("key",)) == ()


@pytest.mark.parametrize(
    "text", ["x", "é", "key_1", "W10", "bnVsbA", "WzFd", "Wy", "Wy ", "WyJcdWQ4MDAiXQ", "/w", "=" * 9]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(FieldError, match="is not a place") as caught:
        read_position(text, ("key", "team"))
    assert caught.value.field == "after"

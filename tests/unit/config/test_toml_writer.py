"""What is written as TOML reads back as what it was."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.config.toml_writer import literal, plain, tables
from modelmux.config.values import Bytes, Milliseconds, Seconds, Secret

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
_PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(-1e15, 1e15),
    _TEXT,
    st.dates(),
    st.lists(st.integers(0, 9), max_size=3),
)
_TREES: Any = st.recursive(
    st.dictionaries(_TEXT, _PLAIN, max_size=4),
    lambda inner: st.dictionaries(_TEXT, st.one_of(_PLAIN, inner, st.lists(inner, max_size=3)), max_size=4),
    max_leaves=8,
)


@given(_TREES)
def test_any_document_reads_back_as_it_was(tree: Any) -> None:
    assert tomllib.loads(tables(tree)) == tree


@given(st.floats(0, 1e9))
def test_a_duration_reads_back_as_it_was(number: float) -> None:
    assert Seconds.parse(tomllib.loads(f"a = {literal(Seconds(number))}")["a"]) == number


@given(st.integers(0, 2**53 - 1))
def test_a_size_reads_back_as_it_was(number: int) -> None:
    assert Bytes.parse(tomllib.loads(f"a = {literal(Bytes(number))}")["a"]) == number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Seconds(15), '"15s"'),
        (Seconds(0.5), '"500ms"'),
        (Bytes(65536), '"64KiB"'),
        (Milliseconds(5000), "5000"),
        (Secret("x"), '"***"'),
        (dt.date(2027, 1, 31), "2027-01-31"),
        ({"a b": [1, "x\x7f"]}, '{ "a b" = [1, "x\\u007f"] }'),
        ("\udcff", '"?"'),
    ],
)
def test_values_as_people_read_them(value: Any, text: str) -> None:
    assert literal(value) == text


def test_none_is_refused() -> None:
    with pytest.raises(TypeError):
        literal(None)


def test_comments_go_behind_values() -> None:
    assert tables({"a": 1, "b": {"c": [{"d": 2}]}}, lambda path: ".".join(map(str, path))) == (
        "a = 1  # a\n\n[[b.c]]\nd = 2  # b.c.0.d\n"
    )


def test_json_has_numbers_and_no_secrets() -> None:
    value = {"a": [Secret("x"), Seconds(2)], "b": Bytes(3), "c": dt.date(2027, 1, 31)}
    assert plain(value) == {"a": ["***", 2.0], "b": 3, "c": "2027-01-31"}

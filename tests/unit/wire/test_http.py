"""HTTP calls as data: the look-up of a header."""

from __future__ import annotations

from modelmux.wire.http import find_header, find_raw_header

HEADERS = [(b"a", b"1"), (b"b", b""), (b"a", b"2"), (b"c", b"caf\xe9")]


def test_the_first_value_of_a_header() -> None:
    assert (find_raw_header(HEADERS, b"a"), find_raw_header(HEADERS, b"b"), find_raw_header(HEADERS, b"x")) == (
        b"1",
        b"",
        None,
    )


def test_header_values_are_latin_1_as_text() -> None:
    assert (find_header(HEADERS, b"c"), find_header(HEADERS, b"x")) == ("caf\xe9", None)

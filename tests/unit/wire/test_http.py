"""HTTP calls as data: the origin of a URL, the look-up of a header."""

from __future__ import annotations

import pytest

from modelmux.wire.http import Origin, find_header, find_raw_header

HEADERS = [(b"a", b"1"), (b"b", b""), (b"a", b"2"), (b"c", b"caf\xe9")]


def test_the_first_value_of_a_header() -> None:
    assert (find_raw_header(HEADERS, b"a"), find_raw_header(HEADERS, b"b"), find_raw_header(HEADERS, b"x")) == (
        b"1",
        b"",
        None,
    )


def test_header_values_are_latin_1_as_text() -> None:
    assert (find_header(HEADERS, b"c"), find_header(HEADERS, b"x")) == ("caf\xe9", None)


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("https://A.example/x?y", Origin("https", "a.example", 443), "a.example"),
        ("http://a.example:8080", Origin("http", "a.example", 8080), "a.example:8080"),
        ("http://[::1]/", Origin("http", "::1", 80), "[::1]"),
    ],
)
def test_the_origin_of_a_url(url: str, origin: Origin, authority: str) -> None:
    assert Origin.parse(url) == origin
    assert origin.authority == authority


@pytest.mark.parametrize("url", ["ftp://a.example/", "https://", "a.example", "http://a.example:x/"])
def test_a_url_without_an_origin(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        Origin.parse(url)

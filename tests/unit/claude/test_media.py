"""Risk: a file that is text is refused because of its declared type, or one that is not text is sent as text."""

from __future__ import annotations

import pytest

from modelmux.claude.media import is_plain_text, says_text


@pytest.mark.parametrize(
    ("claimed", "name", "expected"),
    [
        ("application/octet-stream", "/a/notes.txt", True),
        ("application/octet-stream", "/a/NOTES.MD", True),
        ("binary/octet-stream", "/a.json", True),
        ("", "/a.csv", True),
        ("", "/a.txt.zip", False),
        ("application/octet-stream", "/a.bin", False),
        ("application/octet-stream", "/download", False),
        ("application/json", "/download", True),
        ("application/problem+json", "/download", True),
        ("text/markdown", "/download", True),
        ("image/svg+xml", "/a.txt", False),
        ("application/zip", "/a.txt", False),
    ],
)
def test_what_says_that_it_is_text(claimed: str, name: str, expected: bool) -> None:
    assert says_text(claimed, name) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\tb\r\n\x0c", True),
        ("é\n".encode(), True),
        (b"\xff\xfe", False),
        (b"a\x00", False),
        (b"a\x1b[0m", False),
        (b" \n", False),
        (b"", False),
    ],
)
def test_what_is_text(data: bytes, expected: bool) -> None:
    assert is_plain_text(data) is expected

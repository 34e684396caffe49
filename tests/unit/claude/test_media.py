"""Risk: a file that is text is refused because of its declared type, or one that is not text is sent as text."""

from __future__ import annotations

import re

import pytest

from modelmux.claude.media import file, is_plain_text, says_text
from modelmux.errors import InvalidRequest


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


ZIP, OLE = b"PK\x03\x04\x14\x00\x06\x00", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00"
KINDS = [
    (ZIP, "Office documents (.docx", "Convert the document to PDF"),
    (b"PK\x05\x06\xff", "ZIP", "PDF"),
    (OLE, "old Office document", "Convert the document to PDF"),
    (b"\x1f\x8b\x08", "compressed archive", "Unpack it"),
    (b"7z\xbc\xaf\x27\x1c\x00", "compressed archive", "Unpack it"),
    (b"II*\x00\xff", "TIFF", "PNG"),
    (b"MM\x00*\xff", "TIFF", "PNG"),
    (b"BM\xff\xff\x00\x00\x00\x00\x00\x00", "BMP", "PNG"),
    (b"\x00\x00\x01\x00\x01", "icon", "PNG"),
    (b"\x00\x00\x00\x18ftypheic\xff", "HEIC", "PNG"),
    (b"\x00\x00\x00\x18ftypavif\xff", "AVIF", "PNG"),
    (b"\x00\x00\x00\x18ftypisom\xff", "a video", "transcript"),
    (b"\x00\x00\x00\x18ftypM4A \xff", "audio", "transcript"),
    (b"RIFF\xff\x00\x00\x00WAVEfmt ", "audio", "transcript"),
    (b"RIFF\xff\x00\x00\x00AVI LIST", "a video", "transcript"),
    (b"ID3\x04\x00", "audio", "transcript"),
    ("é".encode("utf-16"), "text in UTF-16", "UTF-8"),
    (b"\xff\x00junk\n%PDF-1.7\n", "other bytes before its header", "from %PDF- on"),
]


@pytest.mark.parametrize("as_image", [False, True])
@pytest.mark.parametrize(("data", "words", "remedy"), KINDS)
def test_what_bytes_look_like_decides_the_remedy_in_every_field(
    data: bytes, words: str, remedy: str, as_image: bool
) -> None:
    """Whatever the client declared. An image is converted to another image, and nothing else is."""
    for claimed in ("", "image/png", "application/pdf", "application/octet-stream"):
        with pytest.raises(InvalidRequest) as caught:
            file(claimed, data, None, "f", as_image=as_image)
        error = caught.value
        assert "PNG, JPEG, GIF or WebP" in error.message
        assert words in error.message
        is_image = "PNG" in remedy
        assert re.search(f"{remedy}|Convert it to one of these" if is_image else remedy, error.hint or "")
        assert ("nor text in UTF-8" in error.message) == (not is_image or not as_image or "pdf" in claimed)


@pytest.mark.parametrize("as_image", [False, True])
def test_a_broken_pdf_is_not_to_be_converted(as_image: bool) -> None:
    with pytest.raises(InvalidRequest) as caught:
        file("application/pdf", b"\xff\x80\x00broken", None, "f", as_image=as_image)
    assert "The file is neither a PDF" in caught.value.message
    assert "A PDF begins with %PDF-" in (caught.value.hint or "")


def test_bytes_that_tell_nothing_are_what_the_client_sent_them_as() -> None:
    for as_image, sentence, hint in ((True, "The image is not", "one of these"), (False, "neither a PDF", "to PDF")):
        with pytest.raises(InvalidRequest, match=sentence) as caught:
            file("", b"BM\xff\x00\x00", None, "f", as_image=as_image)
        assert hint in (caught.value.hint or "")
        assert "look like" not in caught.value.message

"""What a file looks like that Claude does not read, by its first bytes, and what its sender can do about it."""

from __future__ import annotations

from typing import Final, NamedTuple


class FileKind(NamedTuple):
    """:param words: what the file is, with its article."""

    words: str
    remedy: str
    is_image: bool = False


_TO_PDF: Final = "Convert the document to PDF, or send its text."
_NO_SOUND: Final = "Claude reads no audio and no video: send a transcript as text, or single images."
_UNPACK: Final = "Unpack it, and send the files that are in it."
_TO_PNG: Final = "Convert it to PNG, JPEG, GIF or WebP."

_ZIP: Final = FileKind(
    "a ZIP archive, which Office documents (.docx, .xlsx, .pptx) are",
    f"{_TO_PDF[:-1]}; of an archive, send the files that are in it.",
)
_ARCHIVE: Final = FileKind("a compressed archive", _UNPACK)
_TIFF: Final = FileKind("a TIFF image", _TO_PNG, is_image=True)
_HEIF: Final = FileKind("a HEIC or AVIF image", _TO_PNG, is_image=True)
_BMP: Final = FileKind("a BMP image", _TO_PNG, is_image=True)
_ICON: Final = FileKind("an icon", _TO_PNG, is_image=True)
_AUDIO: Final = FileKind("audio", _NO_SOUND)
_VIDEO: Final = FileKind("a video", _NO_SOUND)
_UTF_16: Final = FileKind("text in UTF-16", "Encode it in UTF-8.")
_LATE_PDF: Final = FileKind(
    "a PDF with other bytes before its header", "Send the PDF as it is, from %PDF- on, encoded in base64 once."
)

#: Where the bytes are, and which.
_MAGIC: Final = (
    (0, b"PK\x03\x04", _ZIP),
    (0, b"PK\x05\x06", _ZIP),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileKind("an old Office document (.doc, .xls, .ppt)", _TO_PDF)),
    (0, b"\x1f\x8b", _ARCHIVE),
    (0, b"BZh", _ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (0, b"Rar!\x1a\x07", _ARCHIVE),
    (0, b"\xfd7zXZ\x00", _ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", _ARCHIVE),
    (0, b"II*\x00", _TIFF),
    (0, b"MM\x00*", _TIFF),
    (6, b"\x00\x00\x00\x00", _BMP),  # after BM and the length: see ``recognise``
    (0, b"\x00\x00\x01\x00", _ICON),
    *((4, b"ftyp" + brand, _HEIF) for brand in (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")),
    (4, b"ftypM4A", _AUDIO),
    (4, b"ftyp", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (0, b"\x1a\x45\xdf\xa3", _VIDEO),
    (8, b"WAVE", _AUDIO),
    (0, b"ID3", _AUDIO),
    (0, b"\xff\xfb", _AUDIO),
    (0, b"OggS", _AUDIO),
    (0, b"fLaC", _AUDIO),
    (0, b"\xff\xfe", _UTF_16),
    (0, b"\xfe\xff", _UTF_16),
)
#: Where readers of PDF look for its header.
_PDF_HEAD: Final = 1024


def recognise(data: bytes) -> FileKind | None:
    """What a file is that is neither an image, nor a PDF, nor text; None if its bytes do not tell."""
    for offset, magic, kind in _MAGIC:
        if data.startswith(magic, offset) and (kind is not _BMP or data.startswith(b"BM")):
            return kind
    return _LATE_PDF if b"%PDF-" in data[:_PDF_HEAD] else None

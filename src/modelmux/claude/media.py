"""Images and documents: the types Claude reads, detected by their first bytes, and their maximum size."""

from __future__ import annotations

import base64
import re
from typing import Final

from modelmux.claude.file_kinds import recognise
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import Base64Source, DocumentBlock, ImageBlock, TextSource

#: Per image, base64-encoded, on Google Cloud (docs: build-with-claude/vision).
MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
IMAGE_FORMATS: Final = "PNG, JPEG, GIF or WebP"
#: The first bytes of each type; the type that a client or a server declares is not trusted.
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
#: Types that servers send for a file of which they know nothing.
_UNTOLD_TYPES: Final = ("", "application/octet-stream", "binary/octet-stream")
_TEXT_TYPE: Final = re.compile(
    r"text/.+|application/(json|x-ndjson|jsonl|xml|yaml|x-yaml|toml|javascript|x-javascript|sql|.+\+(json|xml))"
)
_TEXT_NAME: Final = re.compile(
    r"\.(txt|text|md|markdown|rst|tex|csv|tsv|log|json|jsonl|ndjson|xml|yaml|yml|toml|ini|cfg|conf|html?|css|js|ts|jsx|tsx"
    r"|py|java|kt|c|h|cc|cpp|hpp|cs|go|rs|rb|php|swift|sh|sql|srt|vtt)$",
    re.IGNORECASE,
)
_BROKEN_PDF: Final = "A PDF begins with %PDF-: check that it is complete, not encrypted, and encoded in base64 once."
#: All but tab, line feed, form feed and carriage return.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def sniff(data: bytes) -> str | None:
    """The media type by the first bytes, among those Claude reads."""
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def image(claimed_type: str, data: bytes, field: str) -> ImageBlock:
    """Image bytes as a block; the type is read from the bytes.

    :raises InvalidRequest: not an image Claude reads, or too large.
    """
    media_type = sniff(data)
    if media_type is None or not media_type.startswith("image/"):
        raise _unreadable(claimed_type, data, field, as_image=True)
    encoded = base64.b64encode(data).decode()
    if len(encoded) > MAX_IMAGE_BYTES:
        raise InvalidRequest(
            "The image is larger than 5 MB, counted in base64.", param=field, hint="Scale it down or compress it."
        )
    return ImageBlock(Base64Source(media_type, encoded))


def document(claimed_type: str, data: bytes, title: str | None, field: str) -> DocumentBlock:
    """A PDF or a text file as a block.

    :raises InvalidRequest: another kind of file.
    """
    if sniff(data) == "application/pdf":
        return DocumentBlock(Base64Source("application/pdf", base64.b64encode(data).decode()), title)
    if not data.strip():
        raise InvalidRequest("The file is empty or blank.", param=field, hint="Leave it out.")
    if not _is_text(data):
        raise _unreadable(claimed_type, data, field, as_image=False)
    return DocumentBlock(TextSource("text/plain", data.decode()), title)


def says_text(claimed_type: str, name: str) -> bool:
    """Whether a file is meant as text: by its type, or, where the type says nothing, by its name.

    :param claimed_type: lower case, without parameters; "" if there is none.
    :param name: its name, or the path of its URL.
    """
    if claimed_type in _UNTOLD_TYPES:
        return _TEXT_NAME.search(name) is not None
    return _TEXT_TYPE.fullmatch(claimed_type) is not None


def is_plain_text(data: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters."""
    return _is_text(data) and _CONTROL.search(data) is None


def file(
    claimed_type: str, data: bytes, title: str | None, field: str, *, as_image: bool
) -> ImageBlock | DocumentBlock:
    """A file as the block that its bytes are for, whatever the client declared.

    :param as_image: the client sent it as an image, which is what an error calls it. Text is then not an image if it is
        declared as one, as SVG is.
    :raises InvalidRequest: nothing that Claude reads, or an image that is too large.
    """
    media_type = sniff(data)
    if media_type is not None and media_type.startswith("image/"):
        return image(claimed_type, data, field)
    if media_type is None and as_image and (claimed_type.startswith("image/") or not _is_text(data)):
        return image(claimed_type, data, field)  # raises
    return document(claimed_type, data, title, field)


def _unreadable(claimed_type: str, data: bytes, field: str, *, as_image: bool) -> InvalidRequest:
    """The error for a file that Claude does not read. Its bytes decide what can be done about it.

    :param as_image: the client sent it as an image; the error calls it so unless it is something else.
    """
    kind = recognise(data)
    is_pdf = claimed_type == "application/pdf"
    as_image = as_image and not is_pdf and (kind is None or kind.is_image)
    seems = f" Its bytes look like {kind.words}." if kind is not None else ""
    if as_image:
        message, remedy = f"The image is not in one of the formats {IMAGE_FORMATS}", "Convert it to one of these."
    else:
        message = f"The file is neither a PDF nor text in UTF-8, nor an image in one of the formats {IMAGE_FORMATS}"
        remedy = kind.remedy if kind is not None else _BROKEN_PDF if is_pdf else "Convert it to PDF."
    return InvalidRequest(f"{message}{_claim(claimed_type)}.{seems}", param=field, hint=remedy)


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return "\0" not in text and bool(text.strip())


def _claim(media_type: str) -> str:
    return f" (it claims to be {media_type})" if re.fullmatch(r"[a-z0-9.+/-]{1,60}", media_type) else ""

"""Content parts of messages -> Anthropic blocks."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai_chat import Content, ImagePart, Part, RefusalPart, TextPart

#: Per image, base64-encoded, on Google Cloud (docs: build-with-claude/vision).
MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
_DATA_URL: Final = re.compile(r"data:(?P<type>[^;,]*)(?P<params>(?:;[^,]*)?),", re.IGNORECASE)
#: The first bytes that tell an image's type; what the client claims is not trusted.
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def texts(content: Content, where: str) -> Iterator[str]:
    """The texts of content that may hold only text (system, assistant), empty ones left out.

    :raises InvalidRequest: a part of another kind.
    """
    for index, part in enumerate([TextPart(content)] if isinstance(content, str) else content or ()):
        if isinstance(part, TextPart):
            text = part.text
        elif isinstance(part, RefusalPart):
            text = part.refusal
        else:
            raise InvalidRequest(
                "Only text is allowed here.", param=f"{where}.content.{index}.type", hint="Move it to a user message."
            )
        if text.strip():
            yield text


def blocks(content: Content, where: str) -> list[anthropic.TextBlock | anthropic.ImageBlock]:
    """User or tool content as blocks; blank text is left out, because Anthropic refuses it."""
    if isinstance(content, str):
        return [anthropic.TextBlock(content)] if content.strip() else []
    found = (_block(part, f"{where}.content.{index}") for index, part in enumerate(content or ()))
    return [block for block in found if block is not None]


def _block(part: Part, where: str) -> anthropic.TextBlock | anthropic.ImageBlock | None:
    if isinstance(part, TextPart):
        return anthropic.TextBlock(part.text) if part.text.strip() else None
    if isinstance(part, RefusalPart):
        return anthropic.TextBlock(part.refusal) if part.refusal.strip() else None
    if isinstance(part, ImagePart):
        url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
        return anthropic.ImageBlock(image_source(url, f"{where}.image_url"))
    raise InvalidRequest(
        "This kind of content is not supported here.", param=f"{where}.type", hint="Send text or an image."
    )


def image_source(url: str, where: str) -> anthropic.Base64Source:
    """A data URL as a base64 source, its type read from the bytes.

    :raises InvalidRequest: not a data URL, not base64, not an image Claude reads, or too large.
    """
    head = _DATA_URL.match(url)
    if not head:
        raise InvalidRequest(
            "Only images in data URLs are supported.", param=where, hint="Send data:image/png;base64,… instead."
        )
    data = "".join(url[head.end() :].split())
    if len(data) > MAX_IMAGE_BYTES:
        raise InvalidRequest("The image is larger than 5 MB.", param=where, hint="Scale it down.")
    if "base64" not in head["params"].lower().split(";"):
        raise InvalidRequest("The image's data URL is not base64.", param=where)
    try:
        first = base64.b64decode(data[:24], validate=True)
        base64.b64decode(data[-4:], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("The image's data URL holds no valid base64.", param=where) from None
    return anthropic.Base64Source(_sniff(first, where), data)


def _sniff(first: bytes, where: str) -> str:
    for magic, media_type in _MAGIC:
        if first.startswith(magic):
            return media_type
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "image/webp"
    raise InvalidRequest(
        "The image is none of PNG, JPEG, GIF and WebP.", param=where, hint="Convert it to one of these."
    )

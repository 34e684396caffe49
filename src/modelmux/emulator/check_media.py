"""Images and PDFs: sizes, counts, and that the bytes are what the media type says (anthropic-vertex.md 1.4)."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Any, Final

from modelmux.emulator.call import Call
from modelmux.emulator.prompt import blocks_of
from modelmux.emulator.refusals import invalid

#: Of the base64 text, on Google Cloud.
MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
_MAX_PIXELS: Final = 8000
_MANY: Final = 20
_MAX_PIXELS_MANY: Final = 2000
_SMALL_CONTEXT: Final = 200_000
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def check_media(call: Call) -> None:
    """All rules on images and documents.

    :raises Refused: one of them is broken.
    """
    found = list(_media(call.body["messages"]))
    limit = 100 if call.card.context <= _SMALL_CONTEXT else 600
    images = sum(1 for kind, _, _ in found if kind == "image")
    if images > limit:
        raise invalid(f"Too much media: {len(found) - images} document pages + {images} images > {limit}")
    for kind, source, path in found:
        if source["type"] != "base64":
            continue
        if kind == "image":
            _check_image(source, f"{path}.image.source.base64", many=len(found) > _MANY)
        else:
            _check_pdf(source, path)


def _media(messages: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for i, message in enumerate(messages):
        for j, block in enumerate(blocks_of(message)):
            yield from _inside(block, f"messages.{i}.content.{j}")


def _inside(block: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    kind = block["type"]
    if kind in ("image", "document"):
        yield kind, block["source"], path
        inner = block["source"].get("content")
        below = f"{path}.{kind}.source.content.content"
    else:
        inner, below = block.get("content") if kind == "tool_result" else None, f"{path}.{kind}.content"
    for k, each in enumerate(inner if isinstance(inner, list) else ()):
        yield from _inside(each, f"{below}.{k}")


def _check_image(source: dict[str, Any], path: str, *, many: bool) -> None:
    text, claimed = source["data"], source["media_type"]
    if len(text) > MAX_IMAGE_BYTES:
        raise invalid(f"{path}: image exceeds 5 MB maximum: {len(text)} bytes > {MAX_IMAGE_BYTES} bytes")
    data = _bytes(text, path)
    actual = _kind_of(data)
    if actual is None:
        raise invalid(f"{path}.data: Could not process image" if data else f"{path}.data: image cannot be empty")
    if actual != claimed:
        raise invalid(
            f"{path}: The image was specified using the {claimed} media type, "
            f"but the image appears to be a {actual} image"
        )
    limit = _MAX_PIXELS_MANY if many else _MAX_PIXELS
    if max(dimensions(data, actual), default=0) > limit:
        kind = " for many-image requests" if many else ""
        raise invalid(
            f"{path}.data: At least one of the image dimensions exceed max allowed size{kind}: {limit} pixels"
        )


def _bytes(text: str, path: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except (binascii.Error, ValueError) as wrong:
        raise invalid(f"{path}: invalid base64 data") from wrong


def _kind_of(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def dimensions(data: bytes, kind: str) -> tuple[int, ...]:
    """Width and height of a PNG, GIF or JPEG; empty when they cannot be read."""
    if kind == "image/png" and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if kind == "image/gif" and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    return _jpeg_dimensions(data) if kind == "image/jpeg" else ()


def _jpeg_dimensions(data: bytes) -> tuple[int, ...]:
    """Walk the segments up to the first start-of-frame."""
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[place + 7 : place + 9]), int.from_bytes(data[place + 5 : place + 7])
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return ()


def _check_pdf(source: dict[str, Any], path: str) -> None:
    data = _bytes(source["data"], f"{path}.document.source.base64.data")
    if b"%PDF" not in data[:1024]:
        raise invalid(f"{path}.document.source.base64.data: The PDF specified was not valid.")

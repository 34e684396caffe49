"""Images and PDFs: sizes, counts, and whether the bytes match the media type (anthropic-vertex.md 1.4)."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Any, Final

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.errors import invalid_request
from modelmux.emulator.model.prompt import blocks_of

#: Limit on the base64 text, on Google Cloud.
MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
_MAX_PIXELS: Final = 8000
_MANY_FILES: Final = 20
_MAX_PIXELS_MANY_FILES: Final = 2000
_SMALL_CONTEXT: Final = 200_000
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def check_media(call: EmulatedCall) -> None:
    """Check every rule on images and documents.

    :raises ApiError: a rule is violated.
    """
    files = list(_media(call.body["messages"]))
    limit = 100 if call.card.context_window <= _SMALL_CONTEXT else 600
    images = sum(1 for kind, _, _ in files if kind == "image")
    if images > limit:
        raise invalid_request(f"Too much media: {len(files) - images} document pages + {images} images > {limit}")
    for kind, source, path in files:
        if source["type"] != "base64":
            continue
        if kind == "image":
            _check_image(source, f"{path}.image.source.base64", many=len(files) > _MANY_FILES)
        else:
            _check_pdf(source, path)


def _media(messages: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for i, message in enumerate(messages):
        for j, block in enumerate(blocks_of(message)):
            yield from _media_in(block, f"messages.{i}.content.{j}")


def _media_in(block: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    kind = block["type"]
    if kind in ("image", "document"):
        yield kind, block["source"], path
        inner = block["source"].get("content")
        below = f"{path}.{kind}.source.content.content"
    else:
        inner, below = block.get("content") if kind == "tool_result" else None, f"{path}.{kind}.content"
    for k, each in enumerate(inner if isinstance(inner, list) else ()):
        yield from _media_in(each, f"{below}.{k}")


def _check_image(source: dict[str, Any], path: str, *, many: bool) -> None:
    text, declared = source["data"], source["media_type"]
    if len(text) > MAX_IMAGE_BYTES:
        raise invalid_request(f"{path}: image exceeds 5 MB maximum: {len(text)} bytes > {MAX_IMAGE_BYTES} bytes")
    data = _decode_base64(text, path)
    actual = _detect_type(data)
    if actual is None:
        raise invalid_request(
            f"{path}.data: Could not process image" if data else f"{path}.data: image cannot be empty"
        )
    if actual != declared:
        raise invalid_request(
            f"{path}: The image was specified using the {declared} media type, "
            f"but the image appears to be a {actual} image"
        )
    limit = _MAX_PIXELS_MANY_FILES if many else _MAX_PIXELS
    if max(dimensions(data, actual), default=0) > limit:
        kind = " for many-image requests" if many else ""
        raise invalid_request(
            f"{path}.data: At least one of the image dimensions exceed max allowed size{kind}: {limit} pixels"
        )


def _decode_base64(text: str, path: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except (binascii.Error, ValueError) as error:
        raise invalid_request(f"{path}: invalid base64 data") from error


def _detect_type(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def dimensions(data: bytes, kind: str) -> tuple[int, ...]:
    """Width and height of a PNG, GIF or JPEG; empty if they cannot be read."""
    if kind == "image/png" and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if kind == "image/gif" and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    return _jpeg_dimensions(data) if kind == "image/jpeg" else ()


def _jpeg_dimensions(data: bytes) -> tuple[int, ...]:
    """Walk the segments to the first start-of-frame."""
    position = 2
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[position + 7 : position + 9]), int.from_bytes(data[position + 5 : position + 7])
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return ()


def _check_pdf(source: dict[str, Any], path: str) -> None:
    data = _decode_base64(source["data"], f"{path}.document.source.base64.data")
    if b"%PDF" not in data[:1024]:
        raise invalid_request(f"{path}.document.source.base64.data: The PDF specified was not valid.")

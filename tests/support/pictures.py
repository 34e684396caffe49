"""Images without files or an imaging library, as data URLs, parts and blocks, and a web site that serves them."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.blocks import PNG
from support.fetch_servers import Answer, Site, site

PIXEL = base64.b64decode(PNG)
#: A bitmap of one pixel, a format that Claude cannot read.
BITMAP = b"BM" + bytes.fromhex("3a000000000000003600000028000000010000000100000001001800") + bytes(26)


def png(width: int = 8, height: int = 8, color: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """A valid PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\x00" + bytes(color) * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def data_url(data: bytes = PIXEL, claimed: str = "image/png") -> str:
    return f"data:{claimed};base64,{base64.b64encode(data).decode()}"


def image_part(url: str) -> dict[str, Any]:
    """A content part of a client."""
    return {"type": "image_url", "image_url": {"url": url}}


def image_block(data: bytes = PIXEL, media_type: str = "image/png") -> dict[str, Any]:
    """The block that an image part becomes."""
    source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


@asynccontextmanager
async def image_site(routes: dict[str, Answer]) -> AsyncIterator[tuple[Site, dict[str, Any]]]:
    """A web site on this machine, and the settings with which a gateway may fetch from it."""
    async with site(routes) as running:
        fetch = {"allow_private": ["127.0.0.0/8"], "extra_ports": [running.port]}
        yield running, {"fetch": fetch}

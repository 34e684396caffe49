"""Risk: an image of unusual form is read as tiny or huge, or breaks the reader."""

from __future__ import annotations

import pytest

from modelmux.claude.image_size import image_size

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (800).to_bytes(4, "big") + (600).to_bytes(4, "big")
GIF = b"GIF89a" + (320).to_bytes(2, "little") + (200).to_bytes(2, "little")
SOF = b"\xff\xc2\0\x11\x08" + (480).to_bytes(2, "big") + (640).to_bytes(2, "big")
JPEG = b"\xff\xd8" + b"\xff\xe0\0\x04ab" + b"\xff\x01" + b"\xff" + SOF


def webp(kind: bytes, rest: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0" + rest.ljust(20, b"\0")


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (PNG, (800, 600)),
        (GIF, (320, 200)),
        (JPEG, (640, 480)),
        (webp(b"VP8X", b"\0\0\0\0" + (1023).to_bytes(3, "little") + (767).to_bytes(3, "little")), (1024, 768)),
        (webp(b"VP8L", b"\x2f" + (99 | 49 << 14).to_bytes(4, "little")), (100, 50)),
        (webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + (70).to_bytes(2, "little") + (30).to_bytes(2, "little")), (70, 30)),
    ],
)
def test_sizes(data: bytes, size: tuple[int, int]) -> None:
    assert image_size(data) == size


@pytest.mark.parametrize(
    "data",
    [b"", PNG[:20], GIF[:8], JPEG[:8], JPEG[:-2], webp(b"VP9 ", b""), webp(b"VP8X", b"")[:20], b"%PDF-1.7",
     b"\xff\xd8\0\0\0\0\0\0\0\0\0\0"],
)  # fmt: skip
def test_the_size_of_anything_else_is_not_known(data: bytes) -> None:
    assert image_size(data) is None

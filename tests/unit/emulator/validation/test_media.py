"""Images and PDFs beyond the limits of the service are rejected with the real messages."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from support.emulator_calls import (
    ask,
    assistant,
    body_of,
    emulator,
    error_message,
    text,
    tool,
    tool_result,
    tool_use,
    user,
)

APP = emulator()
IMAGE = "messages.0.content.0.image.source.base64"


def png(width: int = 1, height: int = 1, size: int = 0) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + bytes(size)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(10)


def jpeg(width: int, height: int) -> bytes:
    app0 = b"\xff\xe0\x00\x10" + bytes(14)
    return b"\xff\xd8" + app0 + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(20)


WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(20)


def image(data: bytes | str, kind: str = "image/png") -> dict[str, Any]:
    encoded = data if isinstance(data, str) else base64.b64encode(data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": encoded}}


def pdf(data: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(data).decode()}
    return {"type": "document", "source": source}


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            image(png(), "image/jpeg"),
            (
                f"{IMAGE}: The image was specified using the image/jpeg media type, but "
                "the image appears to be a image/png image"
            ),
        ),
        (image(b"hello world"), f"{IMAGE}.data: Could not process image"),
        (image(""), f"{IMAGE}.data: image cannot be empty"),
        (image("not base64!"), f"{IMAGE}: invalid base64 data"),
        (image("data:image/png;base64,iVBORw0KGgo="), f"{IMAGE}: invalid base64 data"),
        (
            image(png(8001, 10)),
            (f"{IMAGE}.data: At least one of the image dimensions exceed max allowed size: 8000 pixels"),
        ),
        (
            image(jpeg(10, 9000), "image/jpeg"),
            (f"{IMAGE}.data: At least one of the image dimensions exceed max allowed size: 8000 pixels"),
        ),
        (
            image(gif(9000, 1), "image/gif"),
            (f"{IMAGE}.data: At least one of the image dimensions exceed max allowed size: 8000 pixels"),
        ),
        (
            image(png(size=4 * 1024 * 1024)),
            f"{IMAGE}: image exceeds 5 MB maximum: 5592440 bytes > 5242880 bytes",
        ),
        (pdf(b"hello"), "messages.0.content.0.document.source.base64.data: The PDF specified was not valid."),
    ],
)
async def test_a_wrong_file_is_rejected(block: dict[str, Any], words: str) -> None:
    assert await error_message(APP, body_of([block, text("What is this?")])) == words


@pytest.mark.parametrize(
    "block",
    [image(png()), image(jpeg(800, 600), "image/jpeg"), image(gif(5, 5), "image/gif"), image(WEBP, "image/webp")],
)
async def test_images_of_all_four_kinds_are_accepted(block: dict[str, Any]) -> None:
    answer = await ask(APP, body_of([block, text("What is this?")]))
    assert answer.status == 200, answer.body
    assert f"I received an image ({block['source']['media_type']}" in answer.text


async def test_images_in_tool_results_are_checked_too() -> None:
    messages = [user("x"), assistant(tool_use()), user(tool_result(content=[image(b"junk")]))]
    message = await error_message(APP, body_of(messages=messages, tools=[tool()]))
    assert message.startswith("messages.2.content.0.tool_result.content.0.image.source.base64")


async def test_more_than_twenty_files_have_to_be_smaller() -> None:
    large = image(png(2001, 10))
    assert (await ask(APP, body_of([large] * 20))).status == 200
    message = await error_message(APP, body_of([large] * 20 + [pdf(b"%PDF-1.7")]))
    assert message.endswith(
        "At least one of the image dimensions exceed max allowed size for many-image requests: 2000 pixels"
    )


async def test_the_number_of_images_is_limited() -> None:
    small = image(png())
    assert (await ask(APP, body_of([small] * 100))).status == 200
    assert await error_message(APP, body_of([small] * 101)) == "Too much media: 0 document pages + 101 images > 100"
    assert (await ask(APP, body_of([small] * 600), model="claude-opus-5")).status == 200

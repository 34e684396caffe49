"""Images, PDFs and cache marks beyond what the service takes are refused in the real words."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from support.emulator_calls import ask, assistant, body_of, emulator, refusal, text, tool, tool_result, tool_use, user

APP = emulator()
EPHEMERAL = {"type": "ephemeral"}
IMAGE = "messages.0.content.0.image.source.base64"
HOUR = {"type": "ephemeral", "ttl": "1h"}


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
async def test_a_wrong_file_is_refused(block: dict[str, Any], words: str) -> None:
    assert await refusal(APP, body_of([block, text("What is this?")])) == words


@pytest.mark.parametrize(
    "block",
    [image(png()), image(jpeg(800, 600), "image/jpeg"), image(gif(5, 5), "image/gif"), image(WEBP, "image/webp")],
)
async def test_images_of_all_four_kinds_are_taken(block: dict[str, Any]) -> None:
    answer = await ask(APP, body_of([block, text("What is this?")]))
    assert answer.status == 200, answer.body
    assert f"I received an image ({block['source']['media_type']}" in answer.text


async def test_images_in_tool_results_are_checked_too() -> None:
    messages = [user("x"), assistant(tool_use()), user(tool_result(content=[image(b"junk")]))]
    said = await refusal(APP, body_of(messages=messages, tools=[tool()]))
    assert said.startswith("messages.2.content.0.tool_result.content.0.image.source.base64")


async def test_more_than_twenty_files_have_to_be_smaller() -> None:
    large = image(png(2001, 10))
    assert (await ask(APP, body_of([large] * 20))).status == 200
    said = await refusal(APP, body_of([large] * 20 + [pdf(b"%PDF-1.7")]))
    assert said.endswith(
        "At least one of the image dimensions exceed max allowed size for many-image requests: 2000 pixels"
    )


async def test_there_is_a_most_of_images() -> None:
    small = image(png())
    assert (await ask(APP, body_of([small] * 100))).status == 200
    assert await refusal(APP, body_of([small] * 101)) == "Too much media: 0 document pages + 101 images > 100"
    assert (await ask(APP, body_of([small] * 600), model="claude-opus-5")).status == 200


async def test_four_cache_marks_are_the_most() -> None:
    marked = [text(str(n), cache_control=EPHEMERAL) for n in range(5)]
    assert await refusal(APP, body_of(marked)) == "A maximum of 4 blocks with cache_control may be provided. Found 5."
    assert (await ask(APP, body_of(marked[:4]))).status == 200
    everywhere = body_of(
        marked[:2],
        system=[text("s", cache_control=EPHEMERAL)],
        tools=[tool(cache_control=EPHEMERAL)],
        cache_control=EPHEMERAL,
    )
    assert await refusal(APP, everywhere) == "A maximum of 4 blocks with cache_control may be provided. Found 5."


async def test_marks_inside_tool_results_count() -> None:
    inner = [text(str(n), cache_control=EPHEMERAL) for n in range(5)]
    messages = [user("x"), assistant(tool_use()), user(tool_result(content=inner))]
    assert "Found 5." in await refusal(APP, body_of(messages=messages, tools=[tool()]))


async def test_long_lived_marks_come_first() -> None:
    late = body_of([text("x", cache_control=HOUR)], system=[text("s", cache_control=EPHEMERAL)])
    said = await refusal(APP, late)
    assert said.startswith("messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after")
    early = body_of([text("x", cache_control=EPHEMERAL)], system=[text("s", cache_control=HOUR)])
    assert (await ask(APP, early)).status == 200

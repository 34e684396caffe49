"""Risk: an image vanishes from a request, is sent under a wrong type, or is too large for the upstream."""

from __future__ import annotations

import base64
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from modelmux.upstream.downloads.cache import Fetched
from support.asgi import request
from support.blocks import PNG, USER, Json, assistant, text, tool, tool_call, tool_result, user
from support.chat import chat
from support.fakes import FakeUpstream, message_reply
from support.fetch_servers import ok
from support.gateway import PATH, ask, gateway
from support.pictures import BITMAP, PIXEL, data_url, image_block, image_part, image_site
from support.security import imported

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


@pytest.mark.parametrize(
    "head",
    [
        "data:image/png;base64,",
        "data:image/png;charset=utf-8;base64,",
        "data:image/png;name=a.png;base64,",
        "DATA:IMAGE/PNG;BASE64,",
        "data:image/jpeg;base64,",
        "data:application/octet-stream;base64,",
        "data:;base64,",
    ],
)
async def test_e48_image_type_comes_from_its_bytes(head: str) -> None:
    """Data URLs with parameters, in capitals, with a wrong type or none: the image arrives, typed by its bytes."""
    got = await chat(messages=[user([image_part(head + PNG)])])
    assert got.status == 200
    assert got.turns[0]["content"] == [IMAGE]


class FetcherOf:
    """Stands in for downloading: what each URL holds."""

    def __init__(self, pages: dict[str, Fetched]) -> None:
        self.pages = pages
        self.requested: list[list[str]] = []

    async def fetch_all(self, urls: Iterable[str], owner: str = "") -> dict[str, Fetched]:
        urls = list(urls)
        self.requested.append(urls)
        return {url: self.pages[url] for url in urls}

    def forget(self, url: str) -> None:
        """Nothing is kept."""

    async def aclose(self) -> None:
        return None


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Fetched]], FetcherOf]:
    """Gateways built from here on download from a table."""

    def use(pages: dict[str, Fetched]) -> FetcherOf:
        fetcher = FetcherOf(pages)
        monkeypatch.setattr("modelmux.app.Fetcher", lambda _, ssl_context: fetcher)
        return fetcher

    return use


async def test_e49_an_image_by_url_is_sent_inline(serve: Callable[[dict[str, Fetched]], FetcherOf]) -> None:
    """Vertex AI does not accept URLs: the image is downloaded and sent inline; larger than 5 MB it is a 400."""
    url, large = "https://example.com/a.png", "https://example.com/large.png"
    data = base64.b64decode(PNG)
    fetcher = serve({url: Fetched(data, "image/png"), large: Fetched(data + bytes(5_000_000), "image/png")})
    got = await chat(messages=[user([text("Look"), image_part(url)])])
    assert got.turns[0]["content"] == [text("Look"), IMAGE]
    assert fetcher.requested == [[url]]
    got = await chat(messages=[user([image_part(large)])])
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "messages.0.content.0.image_url", [])
    assert "5 MB" in got.error["message"]


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "http://127.0.0.1/a.png", "http://[::1]/a.png", "http://10.0.0.1/", "http://0/"],
)
async def test_e49_no_image_is_fetched_from_a_private_address(url: str) -> None:
    """Addresses that are not public are not called, whatever a client writes."""
    got = await chat(messages=[user([image_part(url)])])
    await got.app.aclose()
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "messages.0.content.0.image_url", [])


def messages_with(*parts: Json) -> list[tuple[list[Json], Any]]:
    """Conversations in which the user, and a tool, show these parts; each with how to find them in the turns."""
    requested = [USER, assistant(tool_calls=[tool_call()]), tool_result(content=list(parts))]
    return [([user(list(parts))], lambda turns: turns[0]["content"]),
            (requested, lambda turns: turns[2]["content"][0]["content"])]  # fmt: skip


async def test_e94_images_of_users_and_tools_are_handled_alike() -> None:
    """A user's image and a tool's become the same block, by URL as by data."""
    async with image_site({"/cat.png": ok(PIXEL)}) as (site, settings):
        for url in (site.url("/cat.png"), data_url()):
            for messages, content_of in messages_with(text("See:"), image_part(url)):
                got = await chat(messages=messages, tools=[tool()], settings=settings)
                await got.app.aclose()
                assert got.status == 200, got.response.body
                assert content_of(got.turns) == [text("See:"), image_block()]


@pytest.mark.parametrize("claimed", ["application/octet-stream", "image/jpeg", "text/html", ""])
async def test_e95_a_wrong_content_type_does_not_matter(claimed: str) -> None:
    async with image_site({"/cat": ok(PIXEL, claimed)}) as (site, settings):
        for url in (site.url("/cat"), data_url(claimed=claimed)):
            got = await chat(messages=[user([image_part(url)])], settings=settings)
            await got.app.aclose()
            assert got.turns[0]["content"] == [image_block()]


async def test_e95_an_unsupported_type_is_rejected_by_name() -> None:
    """The error says where the image is, which type it claims and which types are supported."""
    for number, (messages, _) in enumerate(messages_with(text("See:"), image_part(data_url(BITMAP, "image/bmp")))):
        got = await chat(messages=messages, tools=[tool()])
        assert (got.status, got.upstream.calls) == (400, [])
        assert "image/bmp" in got.error["message"]
        assert "PNG" in got.error["message"]
        assert got.error["param"] == f"messages.{number * 2}.content.1.image_url"


async def test_e95_an_unsupported_download_is_rejected() -> None:
    for claimed in ("image/bmp", "image/png"):
        async with image_site({"/cat": ok(BITMAP, claimed)}) as (site, settings):
            got = await chat(messages=[user([image_part(site.url("/cat"))])], settings=settings)
            await got.app.aclose()
        assert (got.status, got.upstream.calls) == (400, [])
        assert got.error["param"].startswith("messages.0.content.0")
        assert "PNG" in got.error["message"]


#: The largest picture whose base64 is 5 MB.
FITS = PIXEL.ljust(5 * 1024 * 1024 // 4 * 3, b"\0")


@pytest.mark.parametrize("remote", [False, True])
async def test_e96_the_size_limit_applies_to_the_base64(remote: bool) -> None:
    """The largest that fits is sent, one byte more is rejected here, with a clear message."""
    async with image_site({"/fits": ok(FITS), "/large": ok(FITS + b"\0")}) as (site, settings):
        urls = (site.url("/fits"), site.url("/large")) if remote else (data_url(FITS), data_url(FITS + b"\0"))
        fits = await chat(messages=[user([image_part(urls[0])])], settings=settings)
        large = await chat(messages=[user([image_part(urls[1])])], settings=settings)
        await fits.app.aclose()
        await large.app.aclose()
    assert fits.status == 200, fits.response.body
    assert len(fits.turns[0]["content"][0]["source"]["data"]) == 5 * 1024 * 1024
    assert (large.status, large.upstream.calls) == (400, [])
    assert "5 MB" in large.error["message"]
    assert large.error["param"].startswith("messages.0.content.0")


@pytest.mark.parametrize("url", ["gs://bucket/cat.png", "s3://bucket/cat.png", "file:///etc/passwd", "cat.png", ""])
async def test_e97_an_unreadable_image_is_never_left_out(url: str) -> None:
    """A 400 that names the part and says what to send instead."""
    file = {"type": "file", "file": {"file_data": url, "filename": "cat.png"}}
    for part, field in ((image_part(url), "image_url"), (file, "file.file_data")):
        for number, (messages, _) in enumerate(messages_with(text("See:"), part)):
            got = await chat(messages=messages, tools=[tool()])
            assert (got.status, got.upstream.calls) == (400, [])
            assert got.error["param"] == f"messages.{number * 2}.content.1.{field}"
            assert "data:" in got.error["message"]


def _bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that would be ``width`` times ``height`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


async def test_s43_images_are_never_decoded() -> None:
    app = gateway(upstream := FakeUpstream([message_reply()]))
    await request(app, "POST", PATH, ask())  # builds what later requests share
    for size in (1, 8000, 60_000, 2**31 - 1):
        message = {"role": "user", "content": [image_part(data_url(_bomb(size, size)))]}
        upstream.script = [message_reply()]
        tracemalloc.start()
        try:
            response = await request(app, "POST", PATH, ask() | {"messages": [message]})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert response.status in (200, 400)
        assert peak < 5_000_000
    assert not list(imported("PIL", "cv2", "numpy", "imageio", "pypdf", "fitz"))

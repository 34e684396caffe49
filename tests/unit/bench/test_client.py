"""Risk: a measurement that counts a truncated stream as complete, or its own delay as the gateway's."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench import load, nginx, payloads
from bench.client import Client, Response

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def server(*pieces: bytes) -> AsyncIterator[str]:
    """Responds to each request with these pieces, with a short pause between them, and closes."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        writer.close()
        await writer.wait_closed()
        closed.set()

    closed = asyncio.Event()
    http_server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with http_server:
        yield f"http://127.0.0.1:{http_server.sockets[0].getsockname()[1]}"
        await closed.wait()


async def send(url: str) -> Response:
    client = Client(url)
    try:
        return await client.send(b"{}")
    finally:
        client.close()


@pytest.mark.parametrize("end", [b"event: message_stop", b"event: response.completed"])
async def test_every_dialect_has_a_last_event(end: bytes) -> None:
    head, last = CHUNKED % b"text/event-stream", chunk(end + b'\ndata: {"type": "x"}\n\n')
    async with server(head, chunk(b"event: a\ndata: {}\n\n"), last, b"0\r\n\r\n") as url:
        assert (await send(url)).complete


async def test_a_stream_is_complete_only_with_its_last_event() -> None:
    head, event = CHUNKED % b"text/event-stream", chunk(b'data: {"x": 1}\n\n')
    async with server(head, event, event, chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n") as url:
        response = await send(url)
    assert (response.complete, response.events, response.status) == (True, 3, 200)
    async with server(head, event, event, b"0\r\n\r\n") as url:
        response = await send(url)
    assert (response.complete, response.events, response.failure) == (False, 2, "")
    async with server(head, event) as url:
        response = await send(url)
    assert not response.complete
    assert "IncompleteReadError" in response.failure or "ValueError" in response.failure


async def test_events_may_be_split_anywhere() -> None:
    stream = payloads.stream(3)
    pieces = [chunk(stream[at : at + 7]) for at in range(0, len(stream), 7)]
    async with server(CHUNKED % b"text/event-stream", *pieces, b"0\r\n\r\n") as url:
        response = await send(url)
    assert (response.complete, response.events) == (True, 9)


async def test_a_unary_response_may_be_chunked() -> None:
    async with server(CHUNKED % b"application/json", chunk(b"{"), chunk(b"}"), b"0\r\n\r\n") as url:
        response = await send(url)
    assert (response.complete, response.events, response.failure) == (True, 0, "")


def test_failed_requests_are_counted(tmp_path: Path) -> None:
    unreachable = load.Target("unreachable", "http://127.0.0.1:9", None)
    figures = load.fixed_count(unreachable, b"{}", stream=True, count=7, connections=3)
    assert (figures.requests, figures.failed) == (7, 1.0)


@pytest.mark.skipif(not nginx.installed() or not shutil.which("pgrep"), reason="nginx is not installed")
async def test_the_upstream_reads_the_request_before_it_replies(tmp_path: Path) -> None:
    body = payloads.request(400_000, stream=False)
    with nginx.mock(tmp_path, deltas=2) as (_, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST /x:rawPredict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body[:100])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.2)
        writer.write(body[100:])
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        await writer.wait_closed()

"""Risk: a measurement that counts a cut stream as whole, or its own waiting as the gateway's."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the measuring is not part of what is installed")

from bench import cases, nginx, payloads
from bench.client import Client, Heard

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def server(*pieces: bytes) -> AsyncIterator[str]:
    """Answers each request with these pieces, a moment between them, and closes."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        writer.close()
        await writer.wait_closed()
        left.set()

    left = asyncio.Event()
    running = await asyncio.start_server(one, "127.0.0.1", 0)
    async with running:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
        await left.wait()


async def ask(url: str) -> Heard:
    client = Client(url)
    try:
        return await client.ask(b"{}")
    finally:
        client.close()


async def test_a_stream_is_whole_with_its_last_event_only() -> None:
    head, event = CHUNKED % b"text/event-stream", chunk(b'data: {"x": 1}\n\n')
    async with server(head, event, event, chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n") as url:
        heard = await ask(url)
    assert (heard.whole, heard.events, heard.status) == (True, 3, 200)
    async with server(head, event, event, b"0\r\n\r\n") as url:
        heard = await ask(url)
    assert (heard.whole, heard.events, heard.broken) == (False, 2, "")
    async with server(head, event) as url:
        heard = await ask(url)
    assert not heard.whole
    assert "IncompleteReadError" in heard.broken or "ValueError" in heard.broken


async def test_events_may_be_cut_anywhere() -> None:
    stream = payloads.stream(3)
    pieces = [chunk(stream[at : at + 7]) for at in range(0, len(stream), 7)]
    async with server(CHUNKED % b"text/event-stream", *pieces, b"0\r\n\r\n") as url:
        heard = await ask(url)
    assert (heard.whole, heard.events) == (True, 9)


async def test_a_whole_reply_may_be_chunked_too() -> None:
    async with server(CHUNKED % b"application/json", chunk(b"{"), chunk(b"}"), b"0\r\n\r\n") as url:
        heard = await ask(url)
    assert (heard.whole, heard.events, heard.broken) == (True, 0, "")


def test_those_that_fail_are_counted(tmp_path: Path) -> None:
    nobody = cases.Target("nobody", "http://127.0.0.1:9", None)
    got = cases.counted(nobody, b"{}", stream=True, count=7, connections=3)
    assert (got.requests, got.failed) == (7, 1.0)


@pytest.mark.skipif(not nginx.installed() or not shutil.which("pgrep"), reason="nginx is not installed")
async def test_the_upstream_reads_a_request_before_it_answers(tmp_path: Path) -> None:
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

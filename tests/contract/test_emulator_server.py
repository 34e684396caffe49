"""The emulator as a server: large and slow bodies, early disconnects, ASGI servers that hide the connection."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from typing import Any

import pytest

from modelmux.emulator import EmulatorSettings, create_emulator
from modelmux.emulator.server import listen
from support.emulator_calls import MODEL, ask, body_of
from support.emulator_server import running, until
from support.emulator_wire import post

PATH = f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}:rawPredict"


async def test_a_body_that_comes_in_many_pieces_is_put_together() -> None:
    async with running() as emulator:
        words = "word " * 100_000
        wire = await post(emulator.port, body_of(words))
        assert wire.status == 200
        assert json.loads(bytes(emulator.app.requests()[0]["body"]))["messages"][0]["content"] == words


@pytest.mark.parametrize(("promised", "sent"), [(200_000, 200_000), (10_000_000, 500_000)])
async def test_the_error_for_a_body_over_the_limit_reaches_the_client(promised: int, sent: int) -> None:
    settings = EmulatorSettings(tokens_per_second=0, max_body_bytes=100_000)
    async with running(settings) as emulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\ncontent-length: {promised}\r\n\r\n"
        writer.write(head.encode() + bytes(sent))
        answer = await reader.read(1000)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" in answer
        assert f"The request size ({promised} bytes) exceeds 0.100MB limit.".encode() in answer
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_one_connection_serves_many_requests_and_survives_refusals() -> None:
    async with running() as emulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
        for body in (body_of(), body_of(n=1), body_of("count to 3"), body_of(stream=True)):
            raw = json.dumps(body).encode()
            head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\ncontent-length: {len(raw)}\r\n\r\n"
            writer.write(head.encode() + raw)
            head_back = await reader.readuntil(b"\r\n\r\n")
            if b"content-length: " in head_back:
                await reader.readexactly(int(head_back.split(b"content-length: ")[1].split(b"\r\n")[0]))
            else:
                await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert [r["status"] for r in emulator.app.requests()] == [200, 400, 200, 200]


async def test_a_client_that_disconnects_from_a_slow_unary_call_is_noticed() -> None:
    async with running(EmulatorSettings(tokens_per_second=1)) as emulator:
        sent = asyncio.create_task(post(emulator.port, body_of("count to 50")))
        await until(lambda: bool(emulator.app.requests()))
        await asyncio.sleep(0.03)
        sent.cancel()
        await asyncio.gather(sent, return_exceptions=True)
        await until(lambda: emulator.app.requests()[0]["outcome"] == "client_gone")


async def test_leaving_the_context_ends_requests_in_progress() -> None:
    async with running() as emulator:
        sent = asyncio.create_task(post(emulator.port, body_of("Hi [[emulator: stall_after_event=1]]", stream=True)))
        await until(lambda: bool(emulator.app.requests()) and emulator.app.requests()[0]["events"] == 1)
    wire = await asyncio.wait_for(sent, 100)
    assert wire.end in ("eof", "reset")
    assert emulator.app.requests()[0]["outcome"] == "client_gone"


@pytest.mark.parametrize(
    ("directive", "kinds"),
    [
        ("reset_after_event=3", ["message_start", "ping", "content_block_start", "content_block_delta"]),
        ("close_after_event=1", ["message_start", "ping"]),
        ("stall_after_event=1 stall=10ms truncate_after_event=1", ["message_start", "ping"]),
    ],
)
async def test_without_access_to_the_connection_faults_end_the_response(directive: str, kinds: list[str]) -> None:
    app = create_emulator(EmulatorSettings(tokens_per_second=0))
    answer = await ask(app, body_of(f"count to 9 [[emulator: {directive}]]", stream=True))
    assert [name for name, _ in answer.events] == kinds


async def test_without_access_to_the_connection_a_reset_is_a_502() -> None:
    app = create_emulator(EmulatorSettings(tokens_per_second=0))
    answer = await ask(app, body_of("Hi [[emulator: reset]]"))
    assert (answer.status, answer.body) == (502, b"")


async def test_lifespan_and_other_scopes_are_answered() -> None:
    sent: list[str] = []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(events)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    app = create_emulator()
    await app({"type": "lifespan"}, receive, send)
    await app({"type": "websocket"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_address_in_use_is_an_error_and_leaks_no_socket() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", first.getsockname()[1])


def test_serve_serves_until_interrupted() -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    code = f"from modelmux.emulator import EmulatorSettings, serve; serve(EmulatorSettings(), port={port})"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        assert _status(port)["service"] == "modelmux emulator"
    finally:
        process.terminate()
        process.wait(100)


def _status(port: int) -> Any:
    """The status page, as soon as it responds."""
    import time

    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=100) as reply:
                return json.load(reply)
        except OSError:
            time.sleep(0.025)
    raise AssertionError("the emulator did not start")

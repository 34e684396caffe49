"""Risk: the upstream continues to generate, and to bill, after the client has left."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.config import Config
from modelmux.errors import UpstreamBroken
from modelmux.upstream.pool import HttpPool
from support.asgi import request
from support.chat import token_count
from support.clock import current_runtime, loop_time
from support.emulator_server import running, until
from support.fakes import SSE_HEADERS, FakeReply, FakeTokens, FakeUpstream, text_events
from support.gateway import PATH, ask, gateway
from support.http_peers import keep_open, peer, replies


class HeldReply(FakeReply):
    """A stream of ``pieces`` that then waits until it is closed."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(200, SSE_HEADERS, pieces)
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()

    async def _iterate(self) -> Any:
        async for piece in super()._iterate():
            yield piece
        self.reached.set()
        await self.let_go.wait()

    async def read(self, limit: int) -> bytes:
        self.reached.set()
        await self.let_go.wait()
        raise UpstreamBroken("never", reply_started=True)


async def _disconnect(reply: HeldReply, **fields: Any) -> tuple[float, Any]:
    """Seconds from the client's leaving to the close of the upstream's reply, and the application."""
    disconnected = asyncio.Event()
    app = gateway(FakeUpstream([reply]))
    asking = asyncio.create_task(request(app, "POST", PATH, ask(**fields), disconnect=disconnected))
    await asyncio.wait_for(reply.reached.wait(), 100)
    left_at = loop_time()
    disconnected.set()
    await asyncio.wait_for(asking, 100)
    assert reply.closed == 1
    return loop_time() - left_at, app


@pytest.mark.virtual_time
async def test_g14_disconnect_during_a_stream_closes_the_upstream() -> None:
    pieces = text_events("Hello")[:4]
    took, app = await _disconnect(HeldReply(*pieces), stream=True)
    assert took == 0
    assert token_count(app, "input") == 7


@pytest.mark.virtual_time
async def test_g15_disconnect_before_the_first_token_closes_the_upstream() -> None:
    took, _ = await _disconnect(HeldReply(), stream=True)
    assert took == 0
    took, _ = await _disconnect(HeldReply(text_events("x")[0]), stream=True)
    assert took == 0


@pytest.mark.virtual_time
async def test_g16_disconnect_of_a_unary_request_closes_the_upstream() -> None:
    for path in (PATH, "/chat/completions"):
        reply = HeldReply()
        reply.headers = [(b"content-type", b"application/json")]
        took, app = await _disconnect(reply)
        assert took == 0, path
        assert app.metrics.in_flight == 0


async def test_g57_abandoned_streams_return_their_connections() -> None:
    async with running() as emulator:
        origin = emulator.base_url
        pool = HttpPool()
        vertex = {"project": "p", "location": "global", "base_url": origin}
        app = Gateway(
            Config.from_dict({"vertex": vertex}),
            upstream=pool,
            tokens=FakeTokens(),
            environment={},
            runtime=current_runtime(),
        )
        for _ in range(30):
            disconnected = asyncio.Event()
            body = ask("Write at length. " * 50, stream=True)
            asking = asyncio.create_task(request(app, "POST", PATH, body, disconnect=disconnected))
            await asyncio.sleep(0.01)
            disconnected.set()
            await asking
        await until(lambda: pool.open == pool.idle and pool.waiting == 0)
        assert (await request(app, "POST", PATH, ask())).status == 200
        await app.aclose()
        assert pool.open == 0


async def test_g58_refused_streams_return_their_connections() -> None:
    refusal = json.dumps({"type": "error", "error": {"type": "invalid_request_error"}}).encode()
    raw = b"HTTP/1.1 400 Bad\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(refusal),
        refusal,
    )
    async with peer(replies(*[raw] * 300, then=keep_open)) as (origin, _):
        pool = HttpPool()
        vertex = {"project": "p", "location": "global", "base_url": f"http://127.0.0.1:{origin.port}"}
        app = Gateway(
            Config.from_dict({"vertex": vertex}),
            upstream=pool,
            tokens=FakeTokens(),
            environment={},
            runtime=current_runtime(),
        )
        for _ in range(30):
            await asyncio.gather(*(request(app, "POST", PATH, ask(stream=True)) for _ in range(10)))
            assert pool.waiting == 0
            assert pool.open == pool.idle
        await app.aclose()
        assert pool.open == 0

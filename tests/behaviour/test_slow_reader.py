"""Risk: a client that reads slowly fills the memory of the gateway instead of slowing the upstream down. Over real
sockets on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from modelmux.app import Gateway
from modelmux.config import Config
from support.clock import current_runtime
from support.fakes import FakeTokens, event
from support.gateway import ask
from support.served import Served

#: Sockets and transports may hold this much between them; a gateway without back-pressure would take all of it.
IN_FLIGHT = 24_000_000
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 50_000})


class Flood:
    """An upstream that sends as fast as it can be read."""

    def __init__(self, deltas: int) -> None:
        self.deltas, self.sent, self.port = deltas, 0, 0
        self.ended = asyncio.Event()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Flood]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        start = {"id": "m", "type": "message", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        writer.write(event("message_start", message=start))
        writer.write(event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
        with contextlib.suppress(ConnectionError):
            for _ in range(self.deltas):
                writer.write(DELTA)
                await writer.drain()
                self.sent += len(DELTA)
            writer.write(event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}))
            writer.write(event("message_stop"))
            await writer.drain()
        self.ended.set()
        writer.close()


def request() -> bytes:
    body = json.dumps(ask(stream=True)).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )


def gateway(port: int) -> Gateway:
    vertex = {"project": "p", "location": "global", "base_url": f"http://127.0.0.1:{port}"}
    return Gateway(Config.from_dict({"vertex": vertex}), tokens=FakeTokens(), environment={}, runtime=current_runtime())


async def test_the_upstream_waits_for_the_client_and_nothing_is_lost() -> None:
    async with Flood(deltas=1500).listening() as upstream:
        app = gateway(upstream.port)
        async with Served(app).listening() as server:
            client = await server.connect()
            await client.send(request())
            before = -1
            while upstream.sent != before or not before:
                before = upstream.sent
                await asyncio.sleep(0.3)
            assert before < IN_FLIGHT
            _, _, body = await client.response()
            assert body.count(b"x" * 50_000) == 1500
            assert body.endswith(b"data: [DONE]\n\n")
        await app.aclose()


async def test_a_slow_client_that_leaves_frees_the_upstream_at_once() -> None:
    async with Flood(deltas=100_000).listening() as upstream:
        app = gateway(upstream.port)
        async with Served(app).listening() as server:
            client = await server.connect()
            await client.send(request())
            await asyncio.sleep(0.4)
            client.writer.transport.abort()
            await asyncio.wait_for(upstream.ended.wait(), 100)
            assert upstream.sent < IN_FLIGHT
        assert app.metrics.registry.get_sample_value("modelmux_requests_in_flight") == 0
        await app.aclose()

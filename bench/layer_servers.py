"""Reduced gateways: the differences between them are the costs of the parts. Run by ``layers.py``.

python -m bench.layer_servers bare|server|http PORT UPSTREAM
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Any, Final
from urllib.parse import urlsplit

import httptools
import uvicorn
import uvloop

from bench import payloads
from modelmux.process.memory import tune_for_serving
from modelmux.process.server import gateway_config
from modelmux.server.body import BodyReader
from modelmux.server.body_memory import BodyMemory
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import DEFAULT_TIMEOUTS, Headers, HttpCall, Origin

_TARGET: Final = "/x:rawPredict"
_HEADERS: Final[Headers] = [(b"authorization", b"Bearer ya29.bench"), (b"content-type", b"application/json")]
_LIMIT: Final = 1 << 25


class _Connection(asyncio.Protocol):
    """Common to both sides of the bare gateway: the transport, and the headers and body of a message."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.body: list[bytes] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.parser: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.body, self.headers = [], []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body.append(body)


class _Upstream(_Connection):
    def __init__(self, idle: deque[_Upstream]) -> None:
        super().__init__()
        self.parser = httptools.HttpResponseParser(self)
        self.client: _Client | None = None
        self._idle = idle

    def on_message_complete(self) -> None:
        body, client, self.client = b"".join(self.body), self.client, None
        self._idle.append(self)
        assert client is not None
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        client.transport.write(head % len(body) + body)


class _Client(_Connection):
    def __init__(self, idle: deque[_Upstream], host: str, port: int) -> None:
        super().__init__()
        self.parser = httptools.HttpRequestParser(self)
        self._idle, self._host, self._port = idle, host, port
        self._connecting: asyncio.Task[None] | None = None

    def on_message_complete(self) -> None:
        body = b"".join(self.body)
        head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        request = head % (_TARGET.encode(), len(body)) + body
        if self._idle:
            self._send(self._idle.popleft(), request)
        else:
            self._connecting = asyncio.create_task(self._connect(request))

    def _send(self, upstream: _Upstream, request: bytes) -> None:
        upstream.client = self
        upstream.transport.write(request)

    async def _connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(lambda: _Upstream(self._idle), self._host, self._port)
        self._send(upstream, request)


async def bare(port: int, host: str, upstream_port: int) -> None:
    """uvloop and llhttp on both sides, without tasks, checks or translation."""
    idle: deque[_Upstream] = deque()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(idle, host, upstream_port), "127.0.0.1", port)
    await server.serve_forever()


def application(upstream: str | None) -> Any:
    """An ASGI application that responds with the bytes of the upstream, or with a constant body if there is none."""
    pool, constant = HttpPool(), payloads.message()
    origin = Origin.parse(upstream) if upstream else None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        request = await BodyReader(_LIMIT, BodyMemory()).read(dict(scope["headers"]), receive)
        if origin is not None:
            reply = await pool.send(HttpCall(origin, _TARGET, _HEADERS, request, DEFAULT_TIMEOUTS))
            body = await reply.read(_LIMIT)
            await reply.aclose()
        else:
            body = constant
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def main() -> None:
    """The command."""
    kind, port, upstream = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    tune_for_serving()
    if kind == "bare":
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        assert parts.port is not None
        uvloop.run(bare(port, parts.hostname, parts.port))
    config = gateway_config(application(upstream if kind == "http" else None))
    config.port = port
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()

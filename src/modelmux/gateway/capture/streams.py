"""A client stream and an upstream's reply whose bytes are noted; the rest of both passes unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from modelmux.errors import GatewayError
from modelmux.gateway.capture.body_capture import BodyCapture, SentBytes
from modelmux.gateway.client_stream import ClientStream
from modelmux.upstream.base import Reply
from modelmux.wire.http import Headers


class CapturedClientStream:
    """See ``ClientStream``. Keep-alives are the server's, and not noted."""

    def __init__(self, client: ClientStream, capture: BodyCapture) -> None:
        self._client = client
        self.capture = capture

    @property
    def started(self) -> bool:
        return self._client.started

    @property
    def ended(self) -> bool:
        return self._client.ended

    @property
    def ending(self) -> GatewayError | None:
        return self._client.ending

    @property
    def bytes_received(self) -> int:
        return self._client.bytes_received

    @property
    def bytes_sent(self) -> int:
        return self._client.bytes_sent

    async def body(self) -> bytes:
        body = await self._client.body()
        self.capture.note_request(body)
        return body

    def connected(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return self._client.connected(seconds)

    def has_left(self) -> bool:
        return self._client.has_left()

    async def send(self, body: bytes, headers: Headers) -> None:
        self.capture.response.add(body)
        await self._client.send(body, headers)

    async def start(self, headers: Headers) -> None:
        await self._client.start(headers)

    def end_with(self, error: GatewayError, task: asyncio.Task[Any]) -> None:
        self._client.end_with(error, task)

    async def write(self, data: bytes) -> None:
        self.capture.response.add(data)
        await self._client.write(data)

    async def end(self, data: bytes = b"") -> None:
        if not self._client.ended:
            self.capture.response.add(data)
        await self._client.end(data)

    def keep_alive(
        self, interval: float, sign_of_life: Callable[[float], bytes], headers: Callable[[], Headers]
    ) -> None:
        self._client.keep_alive(interval, sign_of_life, headers)

    async def stop_keep_alive(self) -> None:
        await self._client.stop_keep_alive()


def captured(client: ClientStream, capture: BodyCapture | None) -> ClientStream:
    """:param capture: None to leave the client as it is."""
    return client if capture is None else CapturedClientStream(client, capture)


def capture_of(client: ClientStream) -> BodyCapture | None:
    """Of the bodies of a request; None if they are not kept."""
    return client.capture if isinstance(client, CapturedClientStream) else None


class CapturedReply:
    """See ``Reply``."""

    def __init__(self, reply: Reply, body: SentBytes) -> None:
        self._reply = reply
        self._body = body
        self._chunks: AsyncIterator[bytes] | None = None

    @property
    def status(self) -> int:
        return self._reply.status

    @property
    def headers(self) -> Headers:
        return self._reply.headers

    @property
    def is_complete(self) -> bool:
        return self._reply.is_complete

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._chunks is None:
            self._chunks = aiter(self._reply)
        return self

    async def __anext__(self) -> bytes:
        assert self._chunks is not None
        chunk = await anext(self._chunks)
        self._body.add(chunk)
        return chunk

    async def read(self, limit: int) -> bytes:
        body = await self._reply.read(limit)
        self._body.add(body)
        return body

    async def aclose(self) -> None:
        await self._reply.aclose()

"""The reply of an HTTP/1.1 exchange whose body is still to be read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from modelmux.errors import UpstreamBroken, UpstreamError
from modelmux.wire.http import Headers


class ReplySource(Protocol):
    """The connection a reply is read from."""

    def take(self) -> bytes:
        """The bytes of the body that have arrived and were not taken yet."""

    async def wait_for_body(self) -> None:
        """Wait until there is something to take, or the reply is complete."""

    def close(self) -> None:
        """Close the connection at once."""


class Http1Reply:
    """See ``base.Reply``."""

    __slots__ = ("_body", "_connection", "error", "headers", "status")

    def __init__(self, connection: ReplySource) -> None:
        self.status = 0
        self.headers: Headers = []
        self._connection: ReplySource | None = connection  # None once the exchange is over
        self._body = b""
        self.error: UpstreamError | None = None

    @property
    def is_complete(self) -> bool:
        return self._connection is None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The bytes that have arrived. Cancelling this closes the connection: to wait with a timeout, shield a task."""
        while True:
            connection = self._connection
            if connection is None:
                if data := self._body:
                    self._body = b""
                    return data
                if self.error is not None:
                    raise self.error
                raise StopAsyncIteration
            if data := connection.take():
                return data
            await connection.wait_for_body()

    async def read(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in self:
            parts.append(part)
            size += len(part)
            if size > limit:
                await self.aclose()
                raise UpstreamBroken(f"The upstream's reply exceeds the limit of {limit} bytes.", reply_started=True)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def aclose(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._body:
            self.finish(b"", UpstreamBroken("The reply was closed before it was read.", reply_started=True))

    def finish(self, unread: bytes, error: UpstreamError | None) -> None:
        """The exchange is over. After the ``unread`` bytes, reading raises ``error`` or ends."""
        self._connection = None
        self._body = unread
        self.error = error

"""The response to one client, as the gateway sees it. The server implements it; tests have a scripted one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from modelmux.wire.http import Headers


class ClientDisconnected(OSError):
    """The client has left; nothing can be sent to it any more."""


class ClientStream(Protocol):
    """The response to one client, as the server implements it."""

    @property
    def started(self) -> bool:
        """The head is out: an error can only be sent inside the stream."""
        ...

    @property
    def ended(self) -> bool: ...

    @property
    def shutting_down(self) -> bool:
        """The process ends: a cancellation means that the client is to be told so."""
        ...

    @property
    def bytes_received(self) -> int: ...

    @property
    def bytes_sent(self) -> int:
        """Without the head."""
        ...

    async def body(self) -> bytes:
        """:raises RequestError: it cannot be read. :raises ClientDisconnected:"""
        ...

    def connected(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Cancels what runs inside when the client leaves or the time is over, and raises ``ClientDisconnected`` or
        ``UpstreamTimeout`` then."""
        ...

    async def send(self, body: bytes, headers: Headers) -> None:
        """A JSON response."""
        ...

    async def start(self, headers: Headers) -> None:
        """The head of an event stream, unless it is out already."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def end(self, data: bytes = b"") -> None: ...

    def keep_alive(
        self, interval: float, sign_of_life: Callable[[float], bytes], headers: Callable[[], Headers]
    ) -> None:
        """From now on a sign of life follows N seconds of silence, until ``stop_keep_alive``; the first may start the
        stream.

        :param sign_of_life: seconds of silence -> bytes.
        :param headers: of a stream that starts before its reply.
        """
        ...

    async def stop_keep_alive(self) -> None: ...

"""The gateway's interface to the response for one client. The server implements it; tests have a scripted one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from modelmux.errors import GatewayError
from modelmux.wire.http import Headers


class ClientDisconnected(OSError):
    """The client has left; nothing can be sent to it any more."""


class ClientStream(Protocol):
    """The response to one client, as the server implements it."""

    @property
    def started(self) -> bool:
        """Whether the head was sent: then an error can only be sent inside the stream."""
        ...

    @property
    def ended(self) -> bool: ...

    @property
    def ending(self) -> GatewayError | None:
        """The error with which a cancellation has to end the request; None if the gateway has not cancelled it."""
        ...

    def end_with(self, error: GatewayError, task: asyncio.Task[Any]) -> None:
        """End the request early, unless all of its response was sent: ``ending`` is the error from then on.

        :param task: that answers it.
        """
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
        """Cancels its body when the client leaves or after ``seconds``, and then raises ``ClientDisconnected`` or
        ``UpstreamTimeout``."""
        ...

    def has_left(self) -> bool:
        """Whether the client has left, as far as the server can tell at once; also if nothing was cancelled yet."""
        ...

    async def send(self, body: bytes, headers: Headers) -> None:
        """A JSON response."""
        ...

    async def start(self, headers: Headers) -> None:
        """Send the head of an event stream, unless it was sent already."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def end(self, data: bytes = b"") -> None: ...

    def keep_alive(
        self, interval: float, sign_of_life: Callable[[float], bytes], headers: Callable[[], Headers]
    ) -> None:
        """Send a keep-alive after every ``interval`` seconds of silence until ``stop_keep_alive``; the first one may
        start the stream.

        :param sign_of_life: seconds of silence -> bytes.
        :param headers: of a stream that starts before its reply.
        """
        ...

    async def stop_keep_alive(self) -> None: ...

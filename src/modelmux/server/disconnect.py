"""Detects a client's disconnect and a request's deadline while the request is being handled."""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Self

from modelmux.errors import UpstreamTimeout
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.http.request import HAS_LEFT, ON_DISCONNECT
from modelmux.server.responses import Receive, Scope


class DisconnectGuard:
    """Cancels the body of ``async with`` when the client leaves or at the deadline, and then raises
    ``ClientDisconnected`` or ``UpstreamTimeout``.

    Use it after the body was read: from then on a server reports only the disconnect. The gateway's own server calls
    back; for other servers a task waits for the message.

    :param seconds: time until the deadline.
    """

    __slots__ = (
        "_closed", "_deadline_passed", "_disconnected", "_has_left", "_on_disconnect", "_owner", "_receive", "_seconds",
        "_timer", "_watcher",
    )  # fmt: skip

    def __init__(self, receive: Receive, scope: Scope, seconds: float = math.inf) -> None:
        self._receive = receive
        self._seconds = seconds
        extensions = scope.get("extensions") or {}
        self._on_disconnect = extensions.get(ON_DISCONNECT)
        self._has_left = extensions.get(HAS_LEFT)
        self._disconnected = self._deadline_passed = self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._owner: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """:raises ClientDisconnected: the client has left already."""
        if self._has_left is not None and self._has_left():
            raise ClientDisconnected
        if self._on_disconnect is not None:
            self._owner = self._on_disconnect(None)
        self._owner = self._owner or asyncio.current_task()
        assert self._owner is not None
        if self._seconds != math.inf:
            self._timer = self._owner.get_loop().call_later(self._seconds, self._on_deadline)
        if self._on_disconnect is not None:
            self._on_disconnect(self._on_client_disconnected)
        else:
            self._watcher = asyncio.create_task(self._watch())  # owned here; ended and awaited in __aexit__
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._on_disconnect is not None:
            self._on_disconnect(None)
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        ours = self._disconnected or self._deadline_passed
        if ours and kind is not None and issubclass(kind, asyncio.CancelledError) and self._owner is not None:
            if self._owner.uncancel() > 0:  # cancelled by someone else as well: propagate theirs
                return
            raise (ClientDisconnected() if self._disconnected else _deadline_error()) from error

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._on_client_disconnected()

    def _on_client_disconnected(self) -> None:
        if not self._closed and self._owner is not None:
            self._disconnected = True
            if not self._deadline_passed:
                self._owner.cancel()

    def _on_deadline(self) -> None:
        if not self._closed and not self._disconnected and self._owner is not None:
            self._deadline_passed = True
            self._owner.cancel()


def _deadline_error() -> UpstreamTimeout:
    return UpstreamTimeout(
        "The request's deadline passed before the response was complete.",
        clock="total",
        hint="Ask for less at once, or raise timeouts.total or the header 'x-modelmux-timeout', whichever was shorter.",
    )

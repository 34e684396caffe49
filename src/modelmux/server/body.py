"""Reading a request's body within bounds, and noticing that its client has left."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from modelmux.errors import InvalidRequest, PayloadTooLarge, RequestError, UpstreamTimeout
from modelmux.server.http.request import ON_DISCONNECT
from modelmux.server.responses import Receive, Scope

#: A body over the limit is read on and thrown away up to this many times the limit: a client that is still sending
#: when the connection closes would see a reset instead of the error.
_DISCARD_FACTOR: Final = 4


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


class UnsupportedMediaType(RequestError):
    """415: the body is not JSON, or is compressed."""

    status = 415
    code = "unsupported_media_type"


def check_headers(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body that cannot be JSON before reading it.

    :raises UnsupportedMediaType: another content type, or a content encoding.
    """
    if b"json" not in headers.get(b"content-type", b"json").lower():
        raise UnsupportedMediaType(
            "The request body must be JSON.", hint="Send the header 'content-type: application/json'."
        )
    if headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
        raise UnsupportedMediaType("Compressed request bodies are not accepted.", hint="Send it uncompressed.")


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The whole request body.

    :raises PayloadTooLarge: more than ``limit`` bytes, announced or sent.
    :raises ClientGone: the client left while sending.
    """
    if _announced(headers) > limit * _DISCARD_FACTOR:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > limit * _DISCARD_FACTOR:
            raise _too_large(limit)
        else:
            parts.clear()
        if not message.get("more_body", False):
            break
    if size > limit:
        raise _too_large(limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The request body is larger than {limit // (1024 * 1024)} MiB, the most Vertex AI takes.",
        hint="Send fewer or smaller images and documents.",
    )


def _announced(headers: Mapping[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise InvalidRequest("The header 'content-length' is not a number.")
    return int(length)


class WhileConnected:
    """Cancels the work inside ``async with`` when the client leaves, and turns that into ``ClientGone``; or when its
    time is over, which becomes ``UpstreamTimeout``.

    Use after the body was read: from then on the only thing a server has to tell is the disconnect. Our own server
    calls when that happens; for others a task waits for their word.

    :param seconds: see ``end_in``.
    """

    __slots__ = ("_closed", "_gone", "_late", "_on_disconnect", "_owner", "_receive", "_seconds", "_timer", "_watcher")

    def __init__(self, receive: Receive, scope: Scope, seconds: float = math.inf) -> None:
        self._receive = receive
        self._seconds = seconds
        self._on_disconnect = (scope.get("extensions") or {}).get(ON_DISCONNECT)
        self._gone = self._late = self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._owner: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._on_disconnect is not None:
            self._owner = self._on_disconnect(None)
        self._owner = self._owner or asyncio.current_task()
        if self._seconds != math.inf:
            self.end_in(self._seconds)
        if self._on_disconnect is not None:
            self._on_disconnect(self._leave)
        else:
            self._watcher = asyncio.create_task(self._watch())  # held here; ended and awaited in __aexit__
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
        ours = self._gone or self._late
        if ours and kind is not None and issubclass(kind, asyncio.CancelledError) and self._owner is not None:
            if self._owner.uncancel() > 0:  # somebody else cancels too: theirs goes on
                return
            raise (ClientGone() if self._gone else _too_late()) from error

    def end_in(self, seconds: float) -> None:
        """Let the work inside go on for so long at most, from now on."""
        if self._timer is not None:
            self._timer.cancel()
        assert self._owner is not None
        self._timer = self._owner.get_loop().call_later(seconds, self._expire)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        if not self._closed and self._owner is not None:
            self._gone = True
            if not self._late:
                self._owner.cancel()

    def _expire(self) -> None:
        if not self._closed and not self._gone and self._owner is not None:
            self._late = True
            self._owner.cancel()


def _too_late() -> UpstreamTimeout:
    return UpstreamTimeout(
        "The time for this request is over, and its answer is not complete.",
        clock="total",
        hint="Ask for less at once, or raise timeouts.total or the header 'x-modelmux-timeout', whichever was shorter.",
    )

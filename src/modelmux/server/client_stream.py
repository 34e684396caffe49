"""The response to one request that calls an upstream: started once, ended once.

Implements the gateway's ``ClientStream`` on ASGI. The gateway decides what is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from modelmux.errors import GatewayDraining, GatewayError
from modelmux.server.body import BodyReader
from modelmux.server.disconnect import DisconnectGuard
from modelmux.server.health import Readiness
from modelmux.server.http.request import HAS_LEFT
from modelmux.server.responses import STREAM_HEADERS, HeaderList, Receive, Scope, Send, send_json

#: Seconds by which a timer may be early.
_TOLERANCE: Final = 0.001


class AsgiClientStream:
    """The response to one client, and the body of its request.

    ``started``: a head was sent, so an error can only be sent inside the stream. ``ended``: nothing more may be sent,
    even if the last part still waits for a slow client.
    """

    __slots__ = (
        "_clock",
        "_ending",
        "_headers",
        "_keep_alive",
        "_reader",
        "_readiness",
        "_receive",
        "_scope",
        "_send",
        "bytes_received",
        "bytes_sent",
        "ended",
        "sent_at",
        "started",
    )  # fmt: skip

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Mapping[bytes, bytes],
        reader: BodyReader,
        readiness: Readiness,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = headers
        self._reader = reader
        self._readiness = readiness
        self._keep_alive: KeepAlive | None = None
        self._ending: GatewayError | None = None
        self.bytes_received = self.bytes_sent = 0
        self._clock = asyncio.get_running_loop().time
        #: When something was sent last; at first, when the request arrived. Seconds of the event loop's clock.
        self.sent_at = self._clock()
        self.started = self.ended = False

    @property
    def ending(self) -> GatewayError | None:
        if self._ending is None and self._readiness.ending:
            return GatewayDraining("The gateway is shutting down.")
        return self._ending

    def end_with(self, error: GatewayError, task: asyncio.Task[Any]) -> None:
        if self._ending is None and not self.ended:
            self._ending = error
            task.cancel()

    async def body(self) -> bytes:
        body = await self._reader.read(self._headers, self._receive)
        self.bytes_received = len(body)
        return body

    def connected(self, seconds: float) -> DisconnectGuard:
        return DisconnectGuard(self._receive, self._scope, seconds)

    def has_left(self) -> bool:
        ask: Callable[[], bool] | None = (self._scope.get("extensions") or {}).get(HAS_LEFT)
        return ask is not None and ask()

    async def send(self, body: bytes, headers: HeaderList) -> None:
        self.started = self.ended = True
        self.bytes_sent += len(body)
        await send_json(self._send, 200, body, headers)

    async def start(self, headers: HeaderList) -> None:
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS + headers})

    async def write(self, data: bytes) -> None:
        """Send complete events. Waits while the client reads too slowly."""
        self.bytes_sent += len(data)
        self.sent_at = self._clock()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last part of a stream; no effect if it has ended."""
        if not self.ended:
            self.ended = True
            self.bytes_sent += len(data)
            await self._send({"type": "http.response.body", "body": data})

    def keep_alive(
        self, interval: float, sign_of_life: Callable[[float], bytes], headers: Callable[[], HeaderList]
    ) -> None:
        self._keep_alive = KeepAlive(self, interval, sign_of_life, headers)

    async def stop_keep_alive(self) -> None:
        keep_alive, self._keep_alive = self._keep_alive, None
        if keep_alive is not None:
            await keep_alive.stop()


class KeepAlive:
    """Sends keep-alives on a silent stream, so that neither the client nor a proxy closes the connection. The first one
    may start the stream: from then on an error can only be sent inside it."""

    __slots__ = ("_headers", "_interval", "_sign_of_life", "_stream", "_task", "_timer")

    def __init__(
        self,
        stream: AsgiClientStream,
        interval: float,
        sign_of_life: Callable[[float], bytes],
        headers: Callable[[], HeaderList],
    ) -> None:
        self._stream = stream
        self._interval = interval
        self._sign_of_life = sign_of_life
        self._headers = headers
        self._timer = asyncio.get_running_loop().call_later(interval, self._start)
        self._task: asyncio.Task[None] | None = None

    def _start(self) -> None:
        """Create the task only now: most streams end before the first interval."""
        self._task = asyncio.create_task(self._run())  # owned here; ended and awaited in stop

    async def _run(self) -> None:
        stream, clock = self._stream, asyncio.get_running_loop().time
        while not stream.ended:
            idle = clock() - stream.sent_at
            if self._interval - idle > _TOLERANCE:  # something was sent since the last look
                await asyncio.sleep(self._interval - idle)
                continue
            if not stream.started:
                await stream.start(self._headers())
            data = self._sign_of_life(idle)
            if data:
                await stream.write(data)  # waits for a slow client like any other write
            else:
                await asyncio.sleep(self._interval)

    async def stop(self) -> None:
        self._timer.cancel()
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        failure = None if self._task.cancelled() else self._task.exception()
        if failure is not None and not isinstance(failure, OSError):  # OSError: the client has left
            raise failure

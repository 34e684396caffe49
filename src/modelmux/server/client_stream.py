"""One response of the data plane on its way out: how far it is, so that it is begun once and ended once.

No decisions about what is sent; those are of ``endpoints.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from modelmux.gateway.exchange import Exchange
from modelmux.server.responses import STREAM_HEADERS, HeaderList, Send, send_json
from modelmux.wire import sse


class Outgoing:
    """What one client is being told.

    ``started``: a head went out, so an error can only be told in-band. ``ended``: nothing more may be sent, even if
    the last part still waits for a slow client.
    """

    __slots__ = ("_comments", "_exchange", "_send", "ended", "started")

    def __init__(self, send: Send, exchange: Exchange) -> None:
        self._send = send
        self._exchange = exchange
        self._comments: Comments | None = None
        self.started = self.ended = False

    @property
    def sent(self) -> int:
        """Bytes so far, without the head."""
        return self._exchange.response_bytes

    async def whole(self, body: bytes, headers: HeaderList) -> None:
        """A JSON answer."""
        self.started = self.ended = True
        self._exchange.response_bytes += len(body)
        await send_json(self._send, 200, body, headers)

    async def start(self, headers: HeaderList) -> None:
        """The head of an event stream."""
        self.started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS + headers})

    async def write(self, data: bytes) -> None:
        """Whole events. Waits while the client reads too slowly."""
        self._exchange.response_bytes += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The last part of a stream; nothing if it has ended."""
        if not self.ended:
            self.ended = True
            self._exchange.response_bytes += len(data)
            await self._send({"type": "http.response.body", "body": data})

    def comment_every(self, seconds: float, head: Callable[[], HeaderList]) -> None:
        """From now on, send a comment whenever nothing was sent for so long, until ``stop_comments``.

        :param head: the headers of a response that begins before its answer is there.
        """
        self._comments = Comments(self, seconds, head)

    async def stop_comments(self) -> None:
        """No comment from now on. Idempotent."""
        comments, self._comments = self._comments, None
        if comments is not None:
            await comments.stop()


class Comments:
    """Keep-alives: SSE comments to a client whose stream is silent, so that neither it nor a proxy between takes us for
    dead. Every client skips them. The first may begin the stream: an error can only be told in-band then."""

    __slots__ = ("_head", "_interval", "_out", "_task", "_timer")

    def __init__(self, out: Outgoing, interval: float, head: Callable[[], HeaderList]) -> None:
        self._out = out
        self._interval = interval
        self._head = head
        self._timer = asyncio.get_running_loop().call_later(interval, self._begin)
        self._task: asyncio.Task[None] | None = None

    def _begin(self) -> None:
        """Most streams are over before: only the others get a task."""
        self._task = asyncio.create_task(self._run())  # held here; ended and awaited in stop

    async def _run(self) -> None:
        out, sent = self._out, -1
        while not out.ended:
            if not out.started:
                await out.start(self._head())
                sent = out.sent
            if sent == out.sent:  # to a client that reads too slowly it waits as everything does
                await out.write(sse.KEEP_ALIVE)
            sent = out.sent
            await asyncio.sleep(self._interval)

    async def stop(self) -> None:
        self._timer.cancel()
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        failure = None if self._task.cancelled() else self._task.exception()
        if failure is not None and not isinstance(failure, OSError):  # who has left is not told
            raise failure

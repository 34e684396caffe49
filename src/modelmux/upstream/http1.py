"""One HTTP/1.1 connection to an upstream, one exchange at a time, and the reply it brings.

Hot path: one write a request, one future a wait, no task; llhttp parses, its body callback is a list's own append.
The reply's bytes gather here until someone takes them, so all that arrived since the last take goes out as one item.

    idle ──exchange──> sending ──> waiting for the head ──> body ──complete──> idle (owner.ready)
      └──────────────────┴──────────────────┴───────────────┴──error, cancel, doubt──> closed (owner.gone)

A connection with the slightest doubt about its state is closed, never reused. There is one timer: it is left running
across waits and exchanges and looks at the deadline in force when it fires, so a wait seldom costs a timer.

What must not come in here: name resolution, TLS, which connection to use, retries.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final, Protocol, cast

import httptools

from modelmux.errors import UpstreamBroken, UpstreamError, UpstreamTimeout
from modelmux.wire.http import Headers, HttpCall, Timeouts

#: Longest head of a reply in bytes, interim replies included; also the most framing or trailers between two body bytes.
MAX_HEAD: Final = 64 * 1024
#: Most header lines: real upstreams send about 20.
MAX_HEADERS: Final = 256
#: Interim (1xx) replies skipped before the real one.
MAX_INTERIM: Final = 8
#: Bytes of body that may wait to be read; above it the socket is no longer read, and TCP slows the upstream down.
MAX_UNREAD: Final = 256 * 1024
#: Bodies up to this size go out in one write with the head; larger ones are not copied for that.
JOIN_LIMIT: Final = 64 * 1024
#: Larger bodies go to the transport in pieces of this size, each when the last one is gone, so none is buffered whole.
SEND_PIECE: Final = 256 * 1024

_NEVER: Final = float("inf")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive"})
_TIMED_OUT: Final = {
    "send": "The upstream did not take the request within {:g} s.",
    "first_byte": "The upstream did not begin to answer within {:g} s.",
    "idle": "The upstream sent nothing for {:g} s in the middle of its reply.",
}


class Owner(Protocol):
    """Who a connection belongs to: told of each change, at most once each time."""

    def ready(self, connection: Connection) -> None:
        """The exchange is over and the connection can take another."""

    def gone(self, connection: Connection) -> None:
        """The connection takes no more exchanges: the place it held is free."""

    def lost(self, connection: Connection) -> None:
        """Its socket is closed."""


class Http1Reply:
    """A reply whose body is still to be read; see ``base.Reply``."""

    __slots__ = ("_body", "_connection", "error", "headers", "status")

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers: Headers = []
        self._connection: Connection | None = connection  # None once the exchange is over
        self._body = b""
        self.error: UpstreamError | None = None

    @property
    def arrived(self) -> bool:
        return self._connection is None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """What has arrived. To wait with a limit, hold a task of this and wait for that: cancelling it closes."""
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
                raise UpstreamBroken(f"The upstream's reply is longer than {limit} bytes.", reply_started=True)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def aclose(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._body:
            self.settle(b"", UpstreamBroken("The reply was closed before it was read.", reply_started=True))

    def settle(self, rest: bytes, error: UpstreamError | None) -> None:
        """The exchange is over: what has arrived can still be read, then ``error`` is raised, or the reply ends."""
        self._connection = None
        self._body = rest
        self.error = error


class Connection(asyncio.Protocol):
    """The protocol of one transport. Not for use from several tasks at once."""

    __slots__ = (
        "_barren", "_begun", "_bodyless", "_chunks", "_clock", "_complete", "_deadline", "_fault", "_head_done",
        "_headers", "_interim", "_keep", "_loop", "_owner", "_parser", "_reading_paused", "_reply", "_sent",
        "_timeouts", "_timer", "_timer_at", "_transport", "_unread", "_until_close", "_waiter", "_write_paused",
        "closed", "exchanges", "expires_at", "keep_for", "on_body",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self.closed = False
        self.exchanges = 0
        #: For the owner: the seconds an idle connection is kept, as the upstream said; when an idle one is too old.
        self.keep_for = self.expires_at = _NEVER
        self._loop = loop
        self._owner = owner
        self._transport: asyncio.Transport
        self._timeouts: Timeouts
        self._reply: Http1Reply | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = _NEVER
        self._clock = ""
        self._chunks: list[bytes] = []
        self._unread = 0
        self._reading_paused = self._write_paused = self._until_close = self._begun = False
        self.on_body = self._chunks.append
        self._parser = httptools.HttpResponseParser(self)

    # What the pool and the reply call

    async def exchange(self, call: HttpCall, head: bytes) -> Http1Reply:
        """Send ``call`` with its encoded ``head`` and wait for the head of the reply.

        :raises UpstreamTimeout: ``send`` or ``first_byte``.
        :raises UpstreamBroken: the connection died, or what came is no HTTP reply.
        """
        self._begun = False
        if self.closed:
            raise self._broken_off()
        reply = self._reply = Http1Reply(self)
        self.exchanges += 1
        self._timeouts = call.timeouts
        self._headers = reply.headers
        self._bodyless = call.method == "HEAD"
        self._head_done = self._complete = self._keep = self._until_close = self._sent = False
        self._barren = self._interim = 0
        self._fault = ""
        if len(call.body) <= JOIN_LIMIT:
            self._transport.write(head + call.body)
            self._sent = not self._write_paused or await self._drained(self._loop.time() + call.timeouts.send)
        else:
            self._sent = await self._send_in_pieces(head, memoryview(call.body))
        if self._reply is reply and not self._head_done:
            await self._wait("first_byte", self._loop.time() + call.timeouts.first_byte)
        # From here on ask the reply alone: if it came whole, the connection may be in another exchange already.
        if not reply.status and reply.error is not None:
            raise reply.error
        return reply

    def take(self) -> bytes:
        """All of the body that has arrived and was not taken yet."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._unread = 0
        if self._reading_paused and not self.closed:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    async def wait_for_body(self) -> None:
        """Until there is something to take, or the reply is over."""
        await self._wait("idle", self._loop.time() + self._timeouts.idle)

    def close(self, error: UpstreamError | None = None) -> None:
        """Close at once; whoever reads the reply gets ``error``. Idempotent."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._end(error or UpstreamBroken("The exchange was given up before its end.", reply_started=self._begun))
        self._transport.abort()
        self._owner.gone(self)

    # Sending and waiting

    async def _send_in_pieces(self, head: bytes, body: memoryview) -> bool:
        deadline = self._loop.time() + self._timeouts.send
        self._transport.write(head)
        for start in range(0, len(body), SEND_PIECE):
            if self._transport.is_closing():
                return False  # connection_lost is about to come; uvloop would raise on a write until then
            self._transport.write(body[start : start + SEND_PIECE])
            if not await self._drained(deadline):
                return False
        return True

    async def _drained(self, deadline: float) -> bool:
        """Until the kernel has everything: True. False if no one wants the rest: the reply is over, or an error."""
        while self._write_paused:
            reply = self._reply
            if reply is None or (self._head_done and reply.status >= 300):
                return False
            await self._wait("send", deadline)
        return self._reply is not None

    async def _wait(self, clock: str, deadline: float) -> None:
        """Until woken. A cancelled wait closes the connection; so does the deadline, and leaves an error."""
        self._clock = clock
        self._deadline = deadline
        if deadline < self._timer_at:
            self._arm(deadline)
        reply = self._reply
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        except BaseException:
            if self._reply is reply:  # else the exchange ended in the moment of the cancellation
                self.close()
            raise

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            self._deadline = _NEVER
            if not waiter.done():
                waiter.set_result(None)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = _NEVER
        if self._deadline == _NEVER:
            return
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
        else:
            message = _TIMED_OUT[self._clock].format(getattr(self._timeouts, self._clock))
            self.close(UpstreamTimeout(message, clock=self._clock))

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Pausing at the first byte left over makes "not paused" mean that the kernel has it all. Not 0: the TLS
        # transport compares with >= and would pause an empty buffer.
        self._transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        if self._reply is None:
            self.close()  # nothing was asked, so what comes now cannot be the answer to the next question
            return
        self._begun = True
        self._barren += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                message = self._fault or "The upstream's reply is not valid HTTP/1.1."
                self.close(UpstreamBroken(message, reply_started=True, detail=str(error)))
                return
            self._keep = False  # something follows the reply
        if self._complete:
            self._finish()
        elif self._chunks:
            self._barren = 0
            self._unread += len(data)
            if self._unread > MAX_UNREAD and not self._reading_paused:
                self._reading_paused = True
                self._transport.pause_reading()
            self._wake()
        elif self._barren > MAX_HEAD:
            self.close(UpstreamBroken("The head or framing of the upstream's reply is too long.", reply_started=True))

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        self._owner.lost(self)
        del self._parser  # it refers to this connection

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._clock == "send":
            self._wake()

    # What the parser calls. It goes on after an exception of ours only by raising it as its own.

    def on_message_begin(self) -> None:
        if self._complete:
            self._refuse("There is more after the upstream's reply.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._interim += 1
            framed = any(name in _FRAMING for name, _ in self._headers)
            if status < 100 or status == 101 or framed or self._interim > MAX_INTERIM:
                self._refuse("The upstream sent interim replies that cannot be used.")
            self._headers.clear()
            return
        reply, headers = self._reply, self._headers
        assert reply is not None
        self._headers = []  # for trailers, which no one reads
        if len(headers) > MAX_HEADERS:
            self._refuse("The upstream's reply has too many headers.")
        if self._barren > MAX_HEAD and sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD:
            self._refuse("The head of the upstream's reply is too long.")
        self._barren = 0
        self._keep = self._parser.should_keep_alive()
        self._until_close = status not in {204, 304}
        for name, value in headers:
            if name in _FRAMING:
                self._read_framing(name, value)
        reply.status = status
        self._head_done = True
        self._wake()
        if self._bodyless:
            self._complete = True
            self._refuse("The parser would wait for the body that a reply to HEAD announces.")

    def on_message_complete(self) -> None:
        self._complete = self._head_done  # an interim reply is none

    def _read_framing(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._until_close = False
        elif name == b"transfer-encoding":
            self._until_close = False
            if value.lower() != b"chunked":
                self._refuse("The upstream's reply has a transfer encoding that was not asked for.")
        elif name == b"content-encoding":
            if value.lower() not in {b"", b"identity"}:
                self._refuse("The upstream compressed its reply although it was asked not to.")
        elif found := re.search(rb"timeout\s*=\s*(\d{1,6})", value):
            self.keep_for = float(found[1])

    def _refuse(self, message: str) -> None:
        self._fault = message
        raise ValueError(message)

    # The end of an exchange

    def _finish(self) -> None:
        keep = self._keep and self._sent
        self._end(None)
        if keep:
            self._owner.ready(self)
        else:
            self.close()

    def _ended(self, exc: Exception | None) -> None:
        """The upstream has sent its last byte."""
        if self._until_close and exc is None:
            self._end(None)
        self.close(self._broken_off(exc))

    def _end(self, error: UpstreamError | None) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.settle(self.take(), error)
            self._wake()

    def _broken_off(self, exc: Exception | None = None) -> UpstreamBroken:
        how = "in the middle of its reply" if self._begun else "without answering"
        detail = None if exc is None else f"{type(exc).__name__}: {exc}"
        return UpstreamBroken(f"The upstream closed the connection {how}.", reply_started=self._begun, detail=detail)

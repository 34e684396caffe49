"""One HTTP/1.1 connection to an upstream; it carries one exchange at a time.

Hot path: one write per request, one future per wait, no task; llhttp parses, its body callback is ``list.append``.
Body bytes are buffered until the reply takes them, so everything that arrived since the last take is one item.

    idle ──exchange──> sending ──> waiting for the head ──> body ──complete──> idle (owner.on_idle)
      └──────────────────┴──────────────────┴───────────────┴──error, cancel, doubt──> closed (owner.on_closed)

A connection in an uncertain state is closed, never reused. There is one timer: it runs across waits and exchanges and
checks the current deadline when it fires, so most waits do not create a timer.

Not in this module: name resolution, TLS, which connection to use, retries.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, Protocol, cast

import httptools

from modelmux.errors import UpstreamBroken, UpstreamError, UpstreamTimeout
from modelmux.upstream.http1_reply import Http1Reply
from modelmux.wire.http import HttpCall, Timeouts

#: Size limit of a reply's head, interim replies included; also of framing or trailers between two body bytes.
MAX_HEAD: Final = 64 * 1024
#: Limit of header lines; real upstreams send about 20.
MAX_HEADERS: Final = 256
#: Limit of interim (1xx) replies before the final one.
MAX_INTERIM: Final = 8
#: Body bytes that may be buffered; above it the socket is not read, and TCP flow control slows the upstream down.
MAX_UNREAD: Final = 256 * 1024
#: Request bodies up to this size are written together with the head; larger ones are not copied.
JOIN_LIMIT: Final = 64 * 1024
#: Larger request bodies are written in parts of this size, each after the previous one was sent, to limit buffering.
SEND_PIECE: Final = 256 * 1024

_NEVER: Final = float("inf")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive"})
_TIMED_OUT: Final = {
    "send": "The upstream did not accept the request within {:g} s.",
    "first_byte": "The upstream did not start to reply within {:g} s.",
    "idle": "The upstream sent nothing for {:g} s before its reply was complete.",
}


class ConnectionOwner(Protocol):
    """The owner of a connection, notified of its state changes."""

    def on_idle(self, connection: Connection) -> None:
        """The exchange is over and the connection can carry another one."""

    def on_closed(self, connection: Connection) -> None:
        """The connection carries no more exchanges; its slot is free."""

    def on_lost(self, connection: Connection) -> None:
        """The socket of the connection is closed."""


class Connection(asyncio.Protocol):
    """The asyncio protocol of one transport. Must not be used by several tasks at once."""

    __slots__ = (
        "_bodyless", "_bytes_received", "_chunks", "_clock", "_complete", "_deadline", "_error_message", "_head_done",
        "_headers", "_interim", "_loop", "_overhead", "_owner", "_parser", "_reading_paused", "_reply", "_reusable",
        "_sent", "_timeouts", "_timer", "_timer_at", "_transport", "_unread", "_until_close", "_waiter",
        "_write_paused", "closed", "exchanges", "expires_at", "keep_for", "on_body",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: ConnectionOwner) -> None:
        self.closed = False
        self.exchanges = 0
        #: For the owner: seconds the upstream keeps an idle connection open; when an idle connection expires.
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
        self._reading_paused = self._write_paused = self._until_close = self._bytes_received = False
        self.on_body = self._chunks.append
        self._parser = httptools.HttpResponseParser(self)

    # Called by the pool and the reply

    async def exchange(self, call: HttpCall, head: bytes) -> Http1Reply:
        """Send ``call`` with its encoded ``head`` and wait for the head of the reply.

        :raises UpstreamTimeout: ``send`` or ``first_byte``.
        :raises UpstreamBroken: the connection was lost, or the reply is not valid HTTP.
        """
        self._bytes_received = False
        if self.closed:
            raise self._closed_error()
        reply = self._reply = Http1Reply(self)
        self.exchanges += 1
        self._timeouts = call.timeouts
        self._headers = reply.headers
        self._bodyless = call.method == "HEAD"
        self._head_done = self._complete = self._reusable = self._until_close = self._sent = False
        self._overhead = self._interim = 0
        self._error_message = ""
        if call.on_sent is not None:
            call.on_sent()
        if len(call.body) <= JOIN_LIMIT:
            self._transport.write(head + call.body)
            self._sent = not self._write_paused or await self._drain(self._loop.time() + call.timeouts.send)
        else:
            self._sent = await self._send_in_pieces(head, memoryview(call.body))
        if self._reply is reply and not self._head_done:
            await self._wait("first_byte", self._loop.time() + call.timeouts.first_byte)
        # Use only the reply from here on: if it is complete, the connection may already carry another exchange.
        if not reply.status and reply.error is not None:
            raise reply.error
        return reply

    def take(self) -> bytes:
        """The bytes of the body that have arrived and were not taken yet."""
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
        """Wait until there is something to take, or the reply is complete."""
        await self._wait("idle", self._loop.time() + self._timeouts.idle)

    def close(self, error: UpstreamError | None = None) -> None:
        """Close at once; reading the reply raises ``error``. Idempotent."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._finish_reply(
            error or UpstreamBroken("The exchange was cancelled before its end.", reply_started=self._bytes_received)
        )
        self._transport.abort()
        self._owner.on_closed(self)

    # Sending and waiting

    async def _send_in_pieces(self, head: bytes, body: memoryview) -> bool:
        deadline = self._loop.time() + self._timeouts.send
        self._transport.write(head)
        for start in range(0, len(body), SEND_PIECE):
            if self._transport.is_closing():
                return False  # connection_lost follows; until then uvloop raises on a write
            self._transport.write(body[start : start + SEND_PIECE])
            if not await self._drain(deadline):
                return False
        return True

    async def _drain(self, deadline: float) -> bool:
        """Wait until the kernel has all written data. False if the reply is complete or an error: send no more."""
        while self._write_paused:
            reply = self._reply
            if reply is None or (self._head_done and reply.status >= 300):
                return False
            await self._wait("send", deadline)
        return self._reply is not None

    async def _wait(self, clock: str, deadline: float) -> None:
        """Wait for ``_wake``. Cancelling it closes the connection; so does the deadline, which sets an error."""
        self._clock = clock
        self._deadline = deadline
        if deadline < self._timer_at:
            self._start_timer(deadline)
        reply = self._reply
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        except BaseException:
            if self._reply is reply:  # otherwise the exchange ended at the moment of the cancellation
                self.close()
            raise

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            self._deadline = _NEVER
            if not waiter.done():
                waiter.set_result(None)

    def _start_timer(self, at: float) -> None:
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
            self._start_timer(self._deadline)
        else:
            message = _TIMED_OUT[self._clock].format(getattr(self._timeouts, self._clock))
            self.close(UpstreamTimeout(message, clock=self._clock))

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Pausing at the first buffered byte makes "not paused" mean that the kernel has all data. Not 0: the TLS
        # transport compares with >= and would pause on an empty buffer.
        self._transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        if self._reply is None:
            self.close()  # no request is pending, and this must not become the reply to the next one
            return
        self._bytes_received = True
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                message = self._error_message or "The upstream's reply is not valid HTTP/1.1."
                self.close(UpstreamBroken(message, reply_started=True, detail=str(error)))
                return
            self._reusable = False  # data follows the reply
        if self._complete:
            self._on_reply_complete()
        elif self._chunks:
            self._overhead = 0
            self._unread += len(data)
            if self._unread > MAX_UNREAD and not self._reading_paused:
                self._reading_paused = True
                self._transport.pause_reading()
            self._wake()
        elif self._overhead > MAX_HEAD:
            self.close(
                UpstreamBroken(
                    "The head or framing of the upstream's reply exceeds the size limit.", reply_started=True
                )
            )

    def eof_received(self) -> None:
        self._on_eof(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_eof(exc)
        self._owner.on_lost(self)
        del self._parser  # breaks a reference cycle

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._clock == "send":
            self._wake()

    # Called by the parser. It stops at an exception and raises an HttpParserError from it.

    def on_message_begin(self) -> None:
        if self._complete:
            self._reject("The upstream sent data after its reply.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._interim += 1
            framed = any(name in _FRAMING for name, _ in self._headers)
            if status < 100 or status == 101 or framed or self._interim > MAX_INTERIM:
                self._reject("The upstream sent invalid interim replies.")
            self._headers.clear()
            return
        reply, headers = self._reply, self._headers
        assert reply is not None
        self._headers = []  # for trailers, which are ignored
        if len(headers) > MAX_HEADERS:
            self._reject("The upstream's reply has too many headers.")
        if self._overhead > MAX_HEAD and sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD:
            self._reject("The head of the upstream's reply exceeds the size limit.")
        self._overhead = 0
        self._reusable = self._parser.should_keep_alive()
        self._until_close = status not in {204, 304}
        for name, value in headers:
            if name in _FRAMING:
                self._read_framing(name, value)
        reply.status = status
        self._head_done = True
        self._wake()
        if self._bodyless:
            self._complete = True
            self._reject("A reply to HEAD has no body: stop the parser.")

    def on_message_complete(self) -> None:
        self._complete = self._head_done  # an interim reply does not count

    def _read_framing(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._until_close = False
        elif name == b"transfer-encoding":
            self._until_close = False
            if value.lower() != b"chunked":
                self._reject("The upstream's reply has an unsupported transfer encoding.")
        elif name == b"content-encoding":
            if value.lower() not in {b"", b"identity"}:
                self._reject("The upstream compressed its reply although the request did not allow it.")
        elif match := re.search(rb"timeout\s*=\s*(\d{1,6})", value):
            self.keep_for = float(match[1])

    def _reject(self, message: str) -> None:
        self._error_message = message
        raise ValueError(message)

    # The end of an exchange

    def _on_reply_complete(self) -> None:
        keep = self._reusable and self._sent
        self._finish_reply(None)
        if keep:
            self._owner.on_idle(self)
        else:
            self.close()

    def _on_eof(self, exc: Exception | None) -> None:
        """The upstream has closed its side."""
        if self._until_close and exc is None:
            self._finish_reply(None)
        self.close(self._closed_error(exc))

    def _finish_reply(self, error: UpstreamError | None) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.finish(self.take(), error)
            self._wake()

    def _closed_error(self, exc: Exception | None = None) -> UpstreamBroken:
        how = "before its reply was complete" if self._bytes_received else "without a reply"
        detail = None if exc is None else f"{type(exc).__name__}: {exc}"
        return UpstreamBroken(
            f"The upstream closed the connection {how}.", reply_started=self._bytes_received, detail=detail
        )

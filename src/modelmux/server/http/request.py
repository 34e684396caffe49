"""One request on a client connection, as ASGI sees it: its body comes in, its response goes out.

Head and first body leave in one write; so do the chunks of a stream with their framing. Parsing and clocks are those of
``http_connection.py``.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from modelmux.errors import INTERNAL_MESSAGE, GatewayError
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.responses import HeaderList, Message, error_headers
from modelmux.wire.openai import common

if TYPE_CHECKING:
    from modelmux.server.http.connection import HttpConnection

#: Name of the extension by which an application is called when the client leaves, instead of waiting for it.
ON_DISCONNECT: Final = "modelmux.on_disconnect"
#: Unread bytes of a body beyond which no more are taken from the client.
_HIGH_WATER: Final = 256 * 1024
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus
}
_BODILESS: Final = frozenset({204, 304})


class HttpRequest:
    """See the module."""

    __slots__ = (
        "_body",
        "_body_ended",
        "_chunked",
        "_connection",
        "_expects_continue",
        "_given",
        "_gone",
        "_head",
        "_held",
        "_left",
        "_on_gone",
        "_scope",
        "_waiter",
        "complete",
        "keep_alive",
        "started",
        "task",
    )

    def __init__(
        self, connection: HttpConnection, scope: dict[str, Any], *, keep_alive: bool, expects_continue: bool = False
    ) -> None:
        self._connection = connection
        self._scope = scope
        scope["extensions"] = {ON_DISCONNECT: self.on_disconnect}
        self.keep_alive = keep_alive
        self._expects_continue = expects_continue
        self._body: list[bytes] = []
        self._held = 0
        self._body_ended = self._given = self._gone = False
        self._waiter: asyncio.Future[None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self._head: bytes | None = None  # built, not sent yet
        self.started = self.complete = False
        self.task: asyncio.Task[None] | None = None  # which answers it
        self._chunked = False
        self._left: int | None = None  # of the announced length

    @property
    def method(self) -> str:
        method: str = self._scope["method"]
        return method

    async def run(self, app: Any) -> None:
        """Let the application answer. It answers for its own faults; a response it left undone ends the connection."""
        try:
            await app(self._scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        finally:
            if self.task is not None:
                self._connection.state.tasks.discard(self.task)
                self.task = None
            self._scope["extensions"] = {}  # it refers to this request, and this one to it
            if not self.complete:
                self.complete = True
                self.keep_alive = False
                if not self.started and not self._gone:
                    error = GatewayError(INTERNAL_MESSAGE)
                    self._connection.count_error(error)
                    self._connection.transport.write(error_response(error, self._connection.state.default_headers))
                self._connection.answered(self)

    # --- what comes in ----------------------------------------------------------------------------------------------

    def feed(self, body: bytes) -> None:
        self._body.append(body)
        self._held += len(body)
        if self._held > _HIGH_WATER:
            self._connection.pause_reading()
        self._wake()

    def feed_end(self) -> None:
        self._body_ended = True
        self._wake()

    def client_gone(self) -> None:
        """The connection is lost. After a complete response that is nobody's business."""
        if not self._gone and not self.complete:
            self._gone = True
            if self._on_gone is not None:
                self._on_gone()
            self._wake()

    def on_disconnect(self, call: Callable[[], None] | None) -> asyncio.Task[None] | None:
        """Have ``call`` called, once, when the client leaves before its response is complete; None for no more.

        :returns: the task that answers the request. To ask asyncio for it is a system call.
        """
        self._on_gone = call
        if self._gone and call is not None:
            call()
        return self.task

    async def receive(self) -> Message:
        """ASGI's receive: what has arrived of the body, then the disconnect."""
        while True:
            if self._gone:
                return {"type": "http.disconnect"}
            if self._body or (self._body_ended and not self._given):
                body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
                self._body.clear()
                self._held = 0
                self._given = self._body_ended
                self._connection.resume_reading()
                return {"type": "http.request", "body": body, "more_body": not self._body_ended}
            if self.complete:
                return {"type": "http.disconnect"}
            if self._expects_continue and not self.started:
                self._expects_continue = False
                self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- what goes out ----------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """ASGI's send. Waits while the client reads too slowly.

        :raises ClientDisconnected: the client has left.
        """
        if self._gone:
            raise ClientDisconnected
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
            return
        if not self.started or self.complete:
            raise RuntimeError("a response body without its start, or after its end")
        self._write(message.get("body", b""), more=message.get("more_body", False))
        connection = self._connection
        while connection.writable is not None:
            await connection.writable
            if self._gone:
                raise ClientDisconnected
        if not message.get("more_body", False):
            self._end()

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self.started:
            raise RuntimeError("a response was started twice")
        bodiless = status in _BODILESS or self._scope["method"] == "HEAD"
        lines, length = [*self._connection.state.default_headers], None
        for line in headers:
            lines.append(line)
            if line[0] == b"content-length":
                length = int(line[1])
        if bodiless:
            self._left = 0
        elif length is not None:
            self._left = length
        elif self._scope["http_version"] == "1.1":
            self._chunked = True
            lines.append((b"transfer-encoding", b"chunked"))
        else:
            self.keep_alive = False
        if self._connection.phase.leaving:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append((b"connection", b"close"))
        self._head = head(status, lines)
        self.started = True

    def _write(self, body: bytes, *, more: bool) -> None:
        if self._left is not None:
            body = body[: self._left]
            self._left -= len(body)
        elif self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        if self._head is not None:
            body, self._head = self._head + body, None
        if body:
            self._connection.transport.write(body)

    def _end(self) -> None:
        self.complete = True
        if self._left and self._scope["method"] != "HEAD":
            self.keep_alive = False  # less came than was announced: the client must not wait for the rest
        self._wake()
        self._connection.answered(self)


def head(status: int, lines: HeaderList) -> bytes:
    """A response's head.

    :raises ValueError: a header that would end its line: nobody's value may become a header of its own.
    """
    made = b"".join(
        [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status, *[b"%b: %b\r\n" % line for line in lines], b"\r\n"]
    )
    if made.count(b"\n") != len(lines) + 2 or made.count(b"\r") != len(lines) + 2:
        raise ValueError("a response header holds a line break")
    return made


def error_response(error: GatewayError, default_headers: HeaderList) -> bytes:
    """The whole answer to what could not be read as a request; the connection ends with it."""
    body = common.encode(common.envelope(error))
    return head(
        error.status,
        [
            *default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *error_headers(error),
        ],
    ) + body  # fmt: skip

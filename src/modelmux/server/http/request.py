"""One request on a client connection as ASGI's ``receive`` and ``send``.

The head and the first part of the body are sent in one write, as is every chunk with its framing. Parsing and timeouts
belong to ``connection.py``.
"""

from __future__ import annotations

import asyncio
import http
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from modelmux.errors import INTERNAL_MESSAGE, GatewayError
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.http.limits import ShutdownPhase
from modelmux.server.http.peer import has_closed
from modelmux.server.responses import HeaderList, Message, Scope, error_headers
from modelmux.wire.openai import common

if TYPE_CHECKING:  # uvicorn is imported only by a process that serves
    from uvicorn.server import ServerState

#: ASGI extension with which an application sets a callback for the client's disconnect instead of waiting for it.
ON_DISCONNECT: Final = "modelmux.on_disconnect"
#: ASGI extension with which an application asks whether the client has left, though the loop may not have noticed.
HAS_LEFT: Final = "modelmux.has_left"
#: ASGI extension with which an application asks for the error that its request got because of its body, if it got one.
REJECTION: Final = "modelmux.rejection"
#: Seconds for which the answer is taken for granted.
_LOOK_AGAIN: Final = 0.005
#: Unread bytes of a body above which reading from the client pauses.
_HIGH_WATER: Final = 256 * 1024
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus
}
_BODILESS: Final = frozenset({204, 304})
_UPGRADE_REQUIRED: Final = 426


class Connection(Protocol):
    """What a request uses of its connection.

    :ivar writable: completes when the client has read enough; None while it reads fast enough.
    """

    loop: asyncio.AbstractEventLoop
    phase: ShutdownPhase
    state: ServerState
    transport: asyncio.Transport
    writable: asyncio.Future[None] | None

    def count_error(self, error: GatewayError) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def on_response_complete(self, request: HttpRequest) -> None: ...


class HttpRequest:
    """See the module."""

    __slots__ = (
        "_body",
        "_body_ended",
        "_body_size",
        "_chunked",
        "_connection",
        "_disconnect_callback",
        "_disconnected",
        "_end_delivered",
        "_expects_continue",
        "_head",
        "_length_left",
        "_looked_at",
        "_rejection",
        "_scope",
        "_waiter",
        "complete",
        "keep_alive",
        "started",
        "task",
    )

    def __init__(
        self, connection: Connection, scope: dict[str, Any], *, keep_alive: bool, expects_continue: bool = False
    ) -> None:
        self._connection = connection
        self._scope = scope
        scope["extensions"] = {
            ON_DISCONNECT: self.on_disconnect,
            HAS_LEFT: self.has_left,
            REJECTION: lambda: self._rejection,
        }
        self._rejection: GatewayError | None = None
        self._looked_at = 0.0
        self.keep_alive = keep_alive
        self._expects_continue = expects_continue
        self._body: list[bytes] = []
        self._body_size = 0
        self._body_ended = self._end_delivered = self._disconnected = False
        self._waiter: asyncio.Future[None] | None = None
        self._disconnect_callback: Callable[[], None] | None = None
        self._head: bytes | None = None  # not sent yet
        self.started = self.complete = False
        self.task: asyncio.Task[None] | None = None  # runs the application
        self._chunked = False
        self._length_left: int | None = None  # bytes of the announced content-length

    @property
    def scope(self) -> Scope:
        return self._scope

    @property
    def method(self) -> str:
        method: str = self._scope["method"]
        return method

    async def run(self, app: Any) -> None:
        """Call the application. The connection closes if it leaves the response incomplete."""
        try:
            await app(self._scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        finally:
            if self.task is not None:
                self._connection.state.tasks.discard(self.task)
                self.task = None
            self._scope["extensions"] = {}  # break the reference cycle
            if not self.complete:
                self.complete = True
                self.keep_alive = False
                if not self.started and not self._disconnected:
                    error = GatewayError(INTERNAL_MESSAGE)
                    self._connection.count_error(error)
                    self._connection.transport.write(error_response(error, self._connection.state.default_headers))
                self._connection.on_response_complete(self)

    # --- request body -----------------------------------------------------------------------------------------------

    def feed(self, body: bytes) -> None:
        self._body.append(body)
        self._body_size += len(body)
        if self._body_size > _HIGH_WATER:
            self._connection.pause_reading()
        self._wake()

    def feed_end(self) -> None:
        self._body_ended = True
        self._wake()

    def on_client_disconnected(self) -> None:
        """The connection was lost. No effect after a complete response."""
        if not self._disconnected and not self.complete:
            self._disconnected = True
            if self._disconnect_callback is not None:
                self._disconnect_callback()
            self._wake()

    def on_rejected(self, error: GatewayError) -> None:
        """Its body cannot be read further, and the client was sent the error. For the application, the client has left;
        it is told why."""
        if not self.complete:
            self._rejection = error
        self.on_client_disconnected()

    def on_disconnect(self, call: Callable[[], None] | None) -> asyncio.Task[None] | None:
        """Set the function to call once if the client leaves before its response is complete; None removes it.

        :returns: the task that runs the application; cheaper than ``asyncio.current_task``.
        """
        self._disconnect_callback = call
        if self._disconnected and call is not None:
            call()
        return self.task

    def has_left(self) -> bool:
        """Whether the client has left, also if the loop has not read its goodbye yet."""
        if not self._disconnected and not self.complete:
            now = time.monotonic()  # the loop's clock may stand still during a step
            if now - self._looked_at > _LOOK_AGAIN:
                self._looked_at = now
                self._disconnected = has_closed(self._connection.transport)
        return self._disconnected

    async def receive(self) -> Message:
        """ASGI's receive: the next part of the body, then the disconnect. No complete body of a client that has
        left."""
        while True:
            if self._disconnected or (self._body_ended and not self._end_delivered and self.has_left()):
                return {"type": "http.disconnect", "error": self._rejection}
            if self._body or (self._body_ended and not self._end_delivered):
                body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
                self._body.clear()
                self._body_size = 0
                self._end_delivered = self._body_ended
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

    # --- response ---------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """ASGI's send. Waits while the client reads too slowly.

        :raises ClientDisconnected: the client has left.
        """
        if self._disconnected:
            raise ClientDisconnected
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
            return
        if not self.started or self.complete:
            raise RuntimeError("a response body was sent before its start or after its end")
        self._write(message.get("body", b""), more=message.get("more_body", False))
        connection = self._connection
        while connection.writable is not None:
            await connection.writable
            if self._disconnected:
                raise ClientDisconnected
        if not message.get("more_body", False):
            self._end()

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self.started:
            raise RuntimeError("a response was started twice")
        bodiless = status in _BODILESS or self._scope["method"] == "HEAD"
        lines, length = [*self._connection.state.default_headers, *headers], None
        for name, value in lines:
            if name == b"content-length":
                length = int(value)
        if bodiless:
            self._length_left = 0
        elif length is not None:
            self._length_left = length
        elif self._scope["http_version"] == "1.1":
            self._chunked = True
            lines.append((b"transfer-encoding", b"chunked"))
        else:
            self.keep_alive = False
        if self._connection.phase.closing_connections:
            self.keep_alive = False
        if status == _UPGRADE_REQUIRED:  # names a header that is about this connection only
            lines.append((b"connection", b"upgrade"))
        if not self.keep_alive:
            lines.append((b"connection", b"close"))
        self._head = head(status, lines)
        self.started = True

    def _write(self, body: bytes, *, more: bool) -> None:
        if self._length_left is not None:
            body = body[: self._length_left]
            self._length_left -= len(body)
        elif self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        if self._head is not None:
            body, self._head = self._head + body, None
        if body:
            self._connection.transport.write(body)

    def _end(self) -> None:
        self.complete = True
        if self._length_left and self._scope["method"] != "HEAD":
            self.keep_alive = False  # shorter than announced: the client must not wait for the rest
        self._wake()
        self._connection.on_response_complete(self)


def head(status: int, lines: HeaderList) -> bytes:
    """The head of a response.

    :raises ValueError: a header contains a line break and could add headers of its own.
    """
    data = b"".join(
        [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status, *[b"%b: %b\r\n" % line for line in lines], b"\r\n"]
    )
    if data.count(b"\n") != len(lines) + 2 or data.count(b"\r") != len(lines) + 2:
        raise ValueError("a response header contains a line break")
    return data


def error_response(error: GatewayError, default_headers: HeaderList) -> bytes:
    """The complete response to an unreadable request; the connection closes after it."""
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

"""One client connection: parses bytes into requests for the ASGI application; every size and every wait is bounded.

Replaces uvicorn's own protocol (``uvicorn.Config(http=HttpConnection)``); uvicorn still listens, handles signals and
shuts down. This class adds limits for the head, timeouts for slow senders, errors in the client's dialect, one write
for the head and the first part of the body, and a callback instead of a task for disconnects. ``request.py`` handles
one request; the meaning of paths and headers belongs to ``asgi.py``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.server import ServerState

from modelmux.dialects.registry import OPENAI_CHAT
from modelmux.errors import GatewayDraining, GatewayError, HeadTooLarge, InvalidRequest, RequestTimeout
from modelmux.server.http.head import read_so_far, read_target, without_upgrade
from modelmux.server.http.limits import ConnectionLimits, ShutdownPhase
from modelmux.server.http.request import HttpRequest, error_response
from modelmux.server.refused import log_refused, report_error
from modelmux.server.responses import Receive, Scope, Send, send_error

_NEVER: Final = float("inf")
_SERVING: Final = ShutdownPhase()
_VERSIONS: Final = ("1.1", "1.0")


class HttpConnection(asyncio.Protocol):
    """See the module. A subclass may set other ``limits``."""

    limits = ConnectionLimits()

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.app: Any = config.loaded_app
        self.root_path = config.root_path
        self.state = server_state
        self.phase: ShutdownPhase = getattr(server_state, "phase", _SERVING)
        self._app_state = app_state
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set in connection_made
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._scheme = "http"
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_head = self._in_body = False
        self._overhead = 0  # bytes of the current message outside its body
        self._body_received = 0  # bytes of its body
        self._body_before_read = 0  # the same before the current read
        self._read_size = 0  # bytes of the current read
        self._other_body_bytes = 0  # of these, bytes of the bodies of earlier messages
        self._incoming: HttpRequest | None = None  # its body may be incomplete
        self._active: HttpRequest | None = None  # the one being handled
        self._queue: deque[HttpRequest] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = _NEVER
        self._body_deadline = _NEVER
        self._closed_for_input = False
        self._reading = True
        self.writable: asyncio.Future[None] | None = None  # set while the client reads too slowly

    # --- from the transport ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.state.connections.add(self)  # type: ignore[arg-type]  # uvicorn only calls shutdown() on them
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._set_timeout(self.limits.keep_alive)

    def data_received(self, data: bytes) -> None:
        if self._closed_for_input:
            return
        self._body_before_read, self._read_size, self._other_body_bytes = self._body_received, len(data), 0
        try:
            self._parse(data)
            self._overhead += len(data) - self._other_body_bytes - (self._body_received - self._body_before_read)
            self._check_overhead()
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._reject(cause if isinstance(cause, GatewayError) else _malformed(error))
        except GatewayError as error:
            self._reject(error)
        if self._in_body and self._reading:
            self._deadline = min(self._body_deadline, self.loop.time() + self.limits.body_idle_seconds)

    def eof_received(self) -> None:
        """Treat a half-closed connection as closed: API clients do not half-close."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the cause does not matter
        self.state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._closed_for_input = True
        del self._parser  # it refers to this connection
        self.resume_writing()
        for request in (self._active, *self._queue):
            if request is not None:
                request.on_client_disconnected()

    def pause_writing(self) -> None:
        if self.writable is None:
            self.writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self.writable is not None:
            if not self.writable.done():
                self.writable.set_result(None)
            self.writable = None

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops: close an idle connection now, a busy one after its response."""
        if self._active is None:
            self.transport.close()
        else:
            self._active.keep_alive = False
            self._queue.clear()

    # --- from the parser ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", []
        self._in_head, self._in_body = True, False
        self._other_body_bytes += self._body_received - self._body_before_read
        self._overhead = self._body_received = self._body_before_read = 0
        if self._active is None:
            self._set_timeout(self.limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # trailers are ignored
        self._headers.append((name.lower(), value))
        if len(self._headers) > self.limits.headers:
            raise HeadTooLarge(f"The request has more than {self.limits.headers} headers.")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._check_head()
        version = self._parser.get_http_version()
        if version not in _VERSIONS:  # the parser accepts 0.9 and 2.0 as well
            raise InvalidRequest(f"HTTP/{version} is not served on this connection.", hint="Use HTTP/1.1.")
        if self._parser.should_upgrade():
            return  # see _parse
        names = [name for name, _ in self._headers]
        hosts = names.count(b"host")
        if hosts > 1 or (not hosts and version == "1.1"):
            raise InvalidRequest("The request must have exactly one Host header.")
        request = HttpRequest(
            self,
            self._scope(version),
            keep_alive=version != "1.0" and bool(self._parser.should_keep_alive()),
            expects_continue=b"expect" in names and self._expects_continue(),
        )
        self._incoming, self._in_body = request, True
        now = self.loop.time()
        self._body_deadline = now + self.limits.body_seconds
        if self._active is None:
            self._start(request)
        elif len(self._queue) >= self.limits.pipelined:
            raise InvalidRequest("Too many requests were sent without waiting for a response.")
        else:
            self._queue.append(request)
            self.pause_reading()

    def on_body(self, body: bytes) -> None:
        self._body_received += len(body)
        request = self._incoming
        if request is None:
            return
        if not request.complete:
            request.feed(body)
        elif self._body_received > self.limits.discard:
            raise InvalidRequest("The request body continued after the response was sent.")

    def on_message_complete(self) -> None:
        self._in_body = False
        request, self._incoming = self._incoming, None
        if request is None:
            return
        request.feed_end()
        if request.complete:
            self._finish(request)
        elif request is self._active:
            self._deadline = _NEVER

    # --- from the active request ------------------------------------------------------------------------------------

    def on_response_complete(self, request: HttpRequest) -> None:
        """Continue with the next request, or close."""
        self.state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._incoming is request:
            self.resume_reading()  # discard the rest of its body, so that the client gets to read the response
        else:
            self._finish(request)

    def pause_reading(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self._deadline = _NEVER  # the client cannot send now, so it is not late
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            if self._in_body:
                self._set_timeout(min(self._body_deadline - self.loop.time(), self.limits.body_idle_seconds))
            self.transport.resume_reading()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _scope(self, version: str) -> dict[str, Any]:
        path, raw_path, query = read_target(self._url)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "scheme": self._scheme,
            "path": self.root_path + path if self.root_path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": self.root_path,
            "headers": self._headers,
            "client": self._client,
            "server": self._server,
            "state": self._app_state.copy(),
        }

    def _expects_continue(self) -> bool:
        return any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers)

    def _start(self, request: HttpRequest) -> None:
        self._active = request
        rejected = self.phase.rejecting and request.method not in ("GET", "HEAD")
        request.task = self.loop.create_task(request.run(self._reject_new if rejected else self.app))
        self.state.tasks.add(request.task)

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It stops after a head with a protocol upgrade, which HTTP lets a server ignore: then the
        request is parsed again without it."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                method = self._parser.get_method()
                if method == b"CONNECT":
                    raise InvalidRequest("CONNECT is not supported: this server is not a forward proxy.") from None
                version = self._parser.get_http_version().encode()
                lines = [b"%b: %b\r\n" % line for line in without_upgrade(self._headers)]
                head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self._url, version, b"".join(lines))
                self._parser = httptools.HttpRequestParser(self)
                data = head + data[upgrade.args[0] :]
            else:
                return

    def _finish(self, request: HttpRequest) -> None:
        """The request and its response are both complete."""
        if request.keep_alive and not self._closed_for_input:
            self._start_next()
        else:
            self._active = None
            self.transport.close()

    def _start_next(self) -> None:
        self._active = None
        if self._queue:
            self._start(self._queue.popleft())
            if not self._in_body:
                self._deadline = _NEVER
        else:
            self._set_timeout(self.limits.head_seconds if self._in_head else self.limits.keep_alive)
        if not self._queue:
            self.resume_reading()

    def _check_head(self) -> None:
        limit = self.limits.head_bytes
        if self._overhead + self._read_size <= limit:
            return  # the head is at most what was read
        if len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers) > limit:
            raise self._head_too_large()

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"The request's head is larger than {self.limits.head_bytes // 1024} KiB.")

    def _check_overhead(self) -> None:
        """Bound heads, chunk sizes, extensions and trailers. Small chunks may have several times their content."""
        if self._overhead > self.limits.head_bytes + 8 * self._body_received and (self._in_head or self._in_body):
            raise self._head_too_large()

    def _reject(self, error: GatewayError) -> None:
        """Stop reading requests and send the error. If a response is under way, it is completed instead: the client
        would take the error for a part of it."""
        self._closed_for_input, self._deadline = True, _NEVER
        incoming, self._incoming = self._incoming, None
        active = self._active
        method = self._parser.get_method() if self._url else b""
        known = {"client": self._client, "headers": self._headers, **read_so_far(method, self._url)}
        refused = incoming.scope if incoming is not None else known
        if active is not None and active is not incoming:
            log_refused(self.app, error, refused)  # an error that is not sent is not counted
            active.keep_alive = False
            self._queue.clear()
        elif active is not None and active.started:
            self.transport.close()
        else:
            self.count_error(error, refused)
            self.transport.write(error_response(error, self.state.default_headers))
            self._linger()
            if active is not None:
                active.on_rejected(error)

    async def _reject_new(self, scope: Scope, _: Receive, send: Send) -> None:
        """The application for new requests while the server shuts down."""
        error = GatewayDraining("The gateway is shutting down.")
        self.count_error(error, scope)
        jitter = getattr(self.app, "jitter", float)  # a gateway's; 0 for another application
        await send_error(send, error, OPENAI_CHAT.error(error, ""), [], jitter())

    def count_error(self, error: GatewayError, refused: Scope | None = None) -> None:
        """Tell the gateway of an error that its application does not see."""
        report_error(self.app, error, refused)

    def _linger(self) -> None:
        """Close after discarding what the client still sends for a moment: a reset could destroy the response."""
        if self._timer is not None:
            self._timer.cancel()
        self._active = None
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if not self._reading:
            self.transport.resume_reading()
        self._timer = self.loop.call_later(self.limits.linger_seconds, self.transport.close)

    def _set_timeout(self, seconds: float) -> None:
        """Set the deadline of the current wait. The timer is moved only if it would fire too late."""
        self._deadline = deadline = self.loop.time() + seconds
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        now, self._timer = self.loop.time(), None
        if now < self._deadline:
            later = self._deadline if self._deadline != _NEVER else now + self.limits.body_idle_seconds
            self._timer = self.loop.call_at(later, self._on_timer)
        elif self._in_head or self._in_body:
            self._reject(RequestTimeout("The request did not arrive in time.", hint="Send it without pauses."))
        else:
            self.transport.close()


def _malformed(error: Exception) -> InvalidRequest:
    return InvalidRequest("The request is not valid HTTP/1.1.", detail=str(error)[:200])


def _address(info: Any) -> tuple[str, int] | None:
    return (str(info[0]), int(info[1])) if isinstance(info, (tuple, list)) and len(info) >= 2 else None

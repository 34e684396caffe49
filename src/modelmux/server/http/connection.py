"""One client connection: bytes -> requests for the ASGI application, with a bound on every size and every wait.

A drop-in for uvicorn's own protocol (``uvicorn.Config(http=HttpConnection)``): uvicorn keeps the listening, the signals
and the shutdown. What this one adds: limits of the head, clocks for slow senders, errors in the client's dialect, one
write for head and first body, and a call (no task) when the client leaves. ``http_request.py`` answers one request;
what HTTP means beyond its framing belongs to ``asgi.py``.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections import deque
from functools import lru_cache
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.server import ServerState

from modelmux.dialects.registry import OPENAI_CHAT
from modelmux.errors import GatewayDraining, GatewayError, HeadTooLarge, InvalidRequest, RequestTimeout
from modelmux.server.http.limits import Limits, Phase
from modelmux.server.http.request import HttpRequest, error_response
from modelmux.server.responses import Receive, Scope, Send, send_error

_NEVER: Final = float("inf")
_SERVING: Final = Phase()


class HttpConnection(asyncio.Protocol):
    """See the module. ``limits`` is a class attribute: a subclass has others."""

    limits = Limits()

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
        self.phase: Phase = getattr(server_state, "phase", _SERVING)
        self._app_state = app_state
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until connection_made
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._scheme = "http"
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_head = self._in_body = False
        self._overhead = 0  # bytes of the present message that are no body
        self._received = 0  # and those that are
        self._mark = 0  # how many those were before the present read
        self._read = 0  # bytes of that read
        self._others = 0  # how many of them were body of messages before the present one
        self._incoming: HttpRequest | None = None  # its body may still be on its way
        self._active: HttpRequest | None = None  # it is being answered
        self._queue: deque[HttpRequest] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = _NEVER
        self._body_ends = _NEVER
        self._broken = False
        self._reading = True
        self.writable: asyncio.Future[None] | None = None  # set while the client reads too slowly

    # --- from the transport ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.state.connections.add(self)  # type: ignore[arg-type]  # uvicorn only calls shutdown() on them
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._wait(self.limits.keep_alive)

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        self._mark, self._read, self._others = self._received, len(data), 0
        try:
            self._parse(data)
            self._overhead += len(data) - self._others - (self._received - self._mark)
            self._check_overhead()
        except httptools.HttpParserError as error:
            known = error.__context__
            self._refuse(known if isinstance(known, GatewayError) else _malformed(error))
        except GatewayError as error:
            self._refuse(error)
        if self._in_body and self._reading:
            self._deadline = min(self._body_ends, self.loop.time() + self.limits.body_idle_seconds)

    def eof_received(self) -> None:
        """A client that ends its side has left: nobody who speaks to an API half-closes."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it was lost
        self.state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._broken = True
        del self._parser  # it refers to this connection
        self.resume_writing()
        for request in (self._active, *self._queue):
            if request is not None:
                request.client_gone()

    def pause_writing(self) -> None:
        if self.writable is None:
            self.writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self.writable is not None:
            if not self.writable.done():
                self.writable.set_result(None)
            self.writable = None

    def shutdown(self) -> None:
        """uvicorn's word that the server goes down: idle connections close, busy ones after their answer."""
        if self._active is None:
            self.transport.close()
        else:
            self._active.keep_alive = False
            self._queue.clear()

    # --- from the parser ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", []
        self._in_head, self._in_body = True, False
        self._others += self._received - self._mark
        self._overhead = self._received = self._mark = 0
        if self._active is None:
            self._wait(self.limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer, which nobody reads
        self._headers.append((name.lower(), value))
        if len(self._headers) > self.limits.headers:
            raise HeadTooLarge(f"The request has more than {self.limits.headers} headers.")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._check_head()
        if self._parser.should_upgrade():
            return  # see _parse
        version = self._parser.get_http_version()
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
        self._body_ends = now + self.limits.body_seconds
        if self._active is None:
            self._start(request)
        elif len(self._queue) >= self.limits.pipelined:
            raise InvalidRequest("Too many requests were sent without waiting for an answer.")
        else:
            self._queue.append(request)
            self.pause_reading()

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        request = self._incoming
        if request is None:
            return
        if not request.complete:
            request.feed(body)
        elif self._received > self.limits.discard:
            raise InvalidRequest("The request goes on although it was answered.")

    def on_message_complete(self) -> None:
        self._in_body = False
        request, self._incoming = self._incoming, None
        if request is None:
            return
        request.feed_end()
        if request.complete:
            self._go_on(request)
        elif request is self._active:
            self._deadline = _NEVER

    # --- from the request being answered ----------------------------------------------------------------------------

    def answered(self, request: HttpRequest) -> None:
        """Its response is complete: on to the next, or close."""
        self.state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._incoming is request:
            self.resume_reading()  # the rest of its body is read and thrown away: the client must see the answer
        else:
            self._go_on(request)

    def pause_reading(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self._deadline = _NEVER  # the client may not send: it is not late
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            if self._in_body:
                self._wait(min(self._body_ends - self.loop.time(), self.limits.body_idle_seconds))
            self.transport.resume_reading()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _scope(self, version: str) -> dict[str, Any]:
        path, raw_path, query = _target(self._url)
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
        refused = self.phase.refusing and request.method not in ("GET", "HEAD")
        request.task = self.loop.create_task(request.run(self._refuse_new if refused else self.app))
        self.state.tasks.add(request.task)

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It stops at a wish to speak another protocol, body unread; here that wish is passed over, as
        HTTP wants it, by parsing the request once more without it."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                method = self._parser.get_method()
                if method == b"CONNECT":
                    raise InvalidRequest("This is no proxy: CONNECT is not served.") from None
                lines = [b"%b: %b\r\n" % line for line in self._headers if line[0] not in (b"upgrade", b"connection")]
                head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, self._url, b"".join(lines))
                self._parser = httptools.HttpRequestParser(self)
                data = head + data[upgrade.args[0] :]
            else:
                return

    def _go_on(self, request: HttpRequest) -> None:
        """A request and its answer are both over."""
        if request.keep_alive and not self._broken:
            self._next()
        else:
            self._active = None
            self.transport.close()

    def _next(self) -> None:
        self._active = None
        if self._queue:
            self._start(self._queue.popleft())
            if not self._in_body:
                self._deadline = _NEVER
        else:
            self._wait(self.limits.head_seconds if self._in_head else self.limits.keep_alive)
        if not self._queue:
            self.resume_reading()

    def _check_head(self) -> None:
        most = self.limits.head_bytes
        if self._overhead + self._read <= most:
            return  # all there was, and the head is a part of it
        if len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers) > most:
            raise self._large_head()

    def _large_head(self) -> HeadTooLarge:
        return HeadTooLarge(f"The request's head is larger than {self.limits.head_bytes // 1024} KiB.")

    def _check_overhead(self) -> None:
        """Heads, chunk sizes, extensions and trailers are bounded; tiny chunks may cost some times their content."""
        if self._overhead > self.limits.head_bytes + 8 * self._received and (self._in_head or self._in_body):
            raise self._large_head()

    def _refuse(self, error: GatewayError) -> None:
        """No request can be read here any more. One that is being answered is answered first: an error in the midst of
        its response would be taken for a part of it."""
        self._broken, self._deadline = True, _NEVER
        incoming, self._incoming = self._incoming, None
        active = self._active
        if active is not None and active is not incoming:
            active.keep_alive = False
            self._queue.clear()
        elif active is not None and active.started:
            self.transport.close()
        else:
            self.count_error(error)
            self.transport.write(error_response(error, self.state.default_headers))
            self._linger()
            if active is not None:
                active.client_gone()

    async def _refuse_new(self, _: Scope, __: Receive, send: Send) -> None:
        """The application of a server that is shutting down."""
        error = GatewayDraining("The gateway is shutting down.")
        self.count_error(error)
        await send_error(send, error, OPENAI_CHAT.error(error, ""), [])

    def count_error(self, error: GatewayError) -> None:
        """The application counts the errors it never sees, if it is a gateway."""
        count = getattr(self.app, "count_error", None)
        if count is not None:
            count(error)

    def _linger(self) -> None:
        """Close, but read and drop what the client still sends for a moment: a reset would take the answer away."""
        if self._timer is not None:
            self._timer.cancel()
        self._active = None
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if not self._reading:
            self.transport.resume_reading()
        self._timer = self.loop.call_later(self.limits.linger_seconds, self.transport.close)

    def _wait(self, seconds: float) -> None:
        """Let the present wait last so long. The timer is only moved when it would come too late."""
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
            self._refuse(RequestTimeout("The request did not arrive in time.", hint="Send it without pauses."))
        else:
            self.transport.close()


@lru_cache(maxsize=256)
def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, path as it was sent, and query of a request's target."""
    parsed = httptools.parse_url(url)
    raw_path = parsed.path or b"/"
    path = raw_path.decode("ascii", "replace")
    return urllib.parse.unquote(path) if "%" in path else path, raw_path, parsed.query or b""


def _malformed(error: Exception) -> InvalidRequest:
    return InvalidRequest("The request is not valid HTTP/1.1.", detail=str(error)[:200])


def _address(info: Any) -> tuple[str, int] | None:
    return (str(info[0]), int(info[1])) if isinstance(info, (tuple, list)) and len(info) >= 2 else None

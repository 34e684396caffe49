"""One HTTP exchange over ASGI: reads the request, sends the response, records the outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from modelmux.emulator.connection import ClientConnection, of_scope

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON: Final = (b"content-type", b"application/json")
#: Never shown by ``/_emulator/requests``.
_SECRET: Final = frozenset({b"authorization", b"cookie", b"x-goog-api-key", b"x-api-key"})
#: An oversized body is read and discarded up to this multiple of the limit.
_DISCARD_FACTOR: Final = 4


class BodyTooLarge(Exception):
    """The request body exceeds the limit; it was discarded.

    :param size: bytes of the body: the declared length, else what was received.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class HttpExchange:
    """Request, response and outcome of one exchange.

    ``outcome`` becomes ``complete``, ``client_gone``, or the name of the fault that ended the exchange.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.connection: ClientConnection | None = of_scope(scope)
        self.body = b""
        self.status = 0
        self.sent_bytes = 0
        self.sent_events = 0
        self.outcome = "running"
        self.fault = ""
        self.number = 0
        self.at = 0.0
        self._receive = receive
        self._send = send

    def header(self, name: bytes) -> str:
        """A request header by its lower-case name; repeated ones joined by a comma."""
        values = [value for key, value in self.headers if key == name]
        return b",".join(values).decode("latin-1")

    @property
    def client_disconnected(self) -> bool:
        return self.connection is not None and self.connection.lost.is_set()

    async def read(self, limit: int) -> bytes:
        """The complete request body.

        An oversized body is read for a while and discarded, because a client that is still sending when the connection
        closes may never see the response.

        :raises BodyTooLarge: longer than ``limit`` bytes.
        """
        message = await self._receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body"):
                message = await self._receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    parts.clear()
                if size > limit * _DISCARD_FACTOR:
                    raise BodyTooLarge(self._declared_size() or size)
            if size > limit:
                raise BodyTooLarge(size)
            body = b"".join(parts)
        if len(body) > limit:
            raise BodyTooLarge(len(body))
        self.body = body
        return body

    def _declared_size(self) -> int:
        declared = self.header(b"content-length")
        return int(declared) if declared.isdecimal() else 0

    async def start(self, status: int, headers: Headers) -> None:
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        self.sent_bytes += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def respond(self, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
        """Send a complete response with its content length."""
        await self.start(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self.write(body, more=False)
        self.outcome = "client_gone" if self.client_disconnected else "complete"

    def shown_headers(self) -> dict[str, str]:
        """Request headers without the ones that carry credentials."""
        return {k.decode("latin-1"): v.decode("latin-1") for k, v in self.headers if k not in _SECRET}

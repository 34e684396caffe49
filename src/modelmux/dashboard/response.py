"""Responses of the dashboard, with the headers that all of them have."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from modelmux.errors import GatewayError
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.disconnect import DisconnectGuard
from modelmux.server.responses import HeaderList, Receive, Scope, Send

#: What a page may load, run and send: nothing of another origin, nothing inline, nothing evaluated.
POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_SECURITY: Final[HeaderList] = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_NO_STORE: Final = (b"cache-control", b"no-store")
#: Of a file whose address changes with it: a year.
_KEEP: Final = (b"cache-control", b"public, max-age=31536000, immutable")
#: Seconds after which an action that waits is ended.
LONGEST: Final = 3600.0
HTML: Final = b"text/html; charset=utf-8"
_encode: Final = msgspec.json.Encoder().encode


class Response(Struct, frozen=True, kw_only=True):
    """:param keeps: browsers may keep it: a static file."""

    status: int = 200
    body: bytes = b""
    media_type: bytes = HTML
    headers: HeaderList = []
    keeps: bool = False


class EventResponse(Struct, frozen=True):
    """Server-sent events. :param events: their names and data."""

    events: AsyncGenerator[tuple[str, Any], None]


class FileResponse(Struct, frozen=True, kw_only=True):
    """:param first: its first chunk: what is refused has none. :param rest: the others; closed at the end."""

    first: bytes
    rest: AsyncGenerator[bytes, None]
    media_type: bytes
    headers: HeaderList


def json_response(status: int, value: object, headers: HeaderList | None = None) -> Response:
    return Response(status=status, body=_encode(value), media_type=b"application/json", headers=headers or [])


def redirect(path: str, headers: HeaderList | None = None) -> Response:
    """To another page, which is read. :param path: of this listener, in ASCII."""
    return Response(status=303, headers=[(b"location", path.encode("ascii")), *(headers or [])])


async def send_response(scope: Scope, send: Send, response: Response, request_id: str) -> None:
    """Of HEAD without its body."""
    start = [
        (b"content-type", response.media_type), (b"content-length", b"%d" % len(response.body)),
        (b"x-request-id", request_id.encode()), _KEEP if response.keeps else _NO_STORE, *_SECURITY, *response.headers,
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": response.status, "headers": start})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})


async def send_file(scope: Scope, receive: Receive, send: Send, response: FileResponse, request_id: str) -> None:
    """Each chunk when the client has taken the one before. An error leaves the response without its end, so that no
    client takes a part for the whole; of HEAD nothing is made but the first chunk.

    :raises ClientDisconnected, GatewayError, FieldError, StoreFailed:
    """
    start = [
        (b"content-type", response.media_type), (b"x-request-id", request_id.encode()), _NO_STORE, *_SECURITY,
        *response.headers,
    ]  # fmt: skip
    async with contextlib.aclosing(response.rest) as rest:
        await send({"type": "http.response.start", "status": 200, "headers": start})
        if scope["method"] != "HEAD":
            async with DisconnectGuard(receive, scope, LONGEST):
                await send({"type": "http.response.body", "body": response.first, "more_body": True})
                async for chunk in rest:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def send_events(
    scope: Scope, receive: Receive, send: Send, response: EventResponse, request_id: str,
    failure: Callable[[Exception], GatewayError],
) -> None:  # fmt: skip
    """Until they end or the client leaves; then they are closed. An error is the last event.

    :param failure: what a client is told of an error.
    :raises ClientDisconnected:
    """
    start = [
        (b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no"),
        (b"x-request-id", request_id.encode()), _NO_STORE, *_SECURITY,
    ]  # fmt: skip
    async with contextlib.aclosing(response.events) as events:
        await send({"type": "http.response.start", "status": 200, "headers": start})
        try:
            async with DisconnectGuard(receive, scope, LONGEST):
                async for name, data in events:
                    await send({"type": "http.response.body", "body": _event(name, data), "more_body": True})
        except ClientDisconnected:
            raise
        except Exception as error:  # noqa: BLE001 - the response has begun
            last = _event("failed", {"message": failure(error).public_message})
            await send({"type": "http.response.body", "body": last, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _event(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))

"""Sending JSON responses and errors, with their common headers."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from modelmux.dialects.base import ErrorResponse
from modelmux.errors import GatewayError, MethodNotAllowed, UpgradeRequired

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

_JSON: Final = (b"content-type", b"application/json")
STREAM_HEADERS: Final[HeaderList] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def send_json(send: Send, status: int, body: bytes, headers: HeaderList) -> None:
    """A complete JSON response."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: GatewayError, response: ErrorResponse, headers: HeaderList) -> None:
    """An error with the headers that control a client's retries.

    :param response: the error in the client's dialect; its own headers take precedence.
    """
    own = {name for name, _ in response.headers}
    control = [header for header in error_headers(error) if header[0] not in own]
    await send_json(send, response.status, response.body, [*headers, *response.headers, *control])


def error_headers(error: GatewayError) -> HeaderList:
    """``x-should-retry``, ``retry-after`` (whole seconds, rounded up), ``allow``, ``upgrade``: those that are set."""
    headers: HeaderList = []
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    retry_after = error.kind.retry_after if error.retry_after is None else error.retry_after
    if retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(retry_after))).encode()))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, UpgradeRequired):
        headers.append((b"upgrade", b"websocket"))
    return headers

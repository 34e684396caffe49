"""Sending JSON responses and errors, with their common headers."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from modelmux.dialects.base import ErrorResponse
from modelmux.errors import CallerRateLimited, GatewayError, MethodNotAllowed, UpgradeRequired, UpstreamRefused
from modelmux.wire.http import CAPTURE_NOTICE, find_raw_header

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

#: The most seconds that a random part adds to a ``retry-after``.
_MAX_SPREAD: Final = 10
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


async def send_error(
    send: Send, error: GatewayError, response: ErrorResponse, headers: HeaderList, jitter: float = 0.0
) -> None:
    """An error with the headers that control a client's retries.

    :param response: the error in the client's dialect; its own headers take precedence.
    :param jitter: a random number from 0 to 1, for a time that the gateway makes up.
    """
    own = [
        (name, _spread(int(value), jitter)) if name == b"retry-after" and _is_made_up(error) and value.isdigit()
        else (name, value)
        for name, value in response.headers
    ]  # fmt: skip
    names = {name for name, _ in own}
    control = [header for header in error_headers(error, jitter) if header[0] not in names]
    await send_json(send, response.status, response.body, [*headers, *own, *control])


def error_headers(error: GatewayError, jitter: float = 0.0) -> HeaderList:
    """``x-should-retry``, ``retry-after``, ``retry-after-ms``, ``allow``, ``upgrade``, ``x-modelmux-capture``: those
    that are set.

    ``retry-after`` is in whole seconds, rounded up. What an upstream asked for is passed on as it is, and so is
    the time after which a limit of a key has room. To what the gateway makes up a random part is added, so that clients
    rejected together do not come back together.

    :param jitter: a random number from 0 to 1.
    """
    headers: HeaderList = []
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    retry_after = error.kind.retry_after if error.retry_after is None else error.retry_after
    if retry_after is not None:
        seconds = max(1, math.ceil(retry_after))
        headers.append((b"retry-after", _spread(seconds, jitter) if _is_made_up(error) else b"%d" % seconds))
    if isinstance(error, CallerRateLimited) and retry_after is not None:
        headers.append((b"retry-after-ms", b"%d" % math.ceil(retry_after * 1000)))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, UpgradeRequired):
        headers.append((b"upgrade", b"websocket"))
    if error.is_captured:
        headers.append(CAPTURE_NOTICE)
    return headers


def _spread(seconds: int, jitter: float) -> bytes:
    """Up to twice the seconds, at most ``_MAX_SPREAD`` more: 1 becomes 1 or 2, 2 becomes 2, 3 or 4."""
    return b"%d" % (seconds + int(jitter * (min(seconds, _MAX_SPREAD) + 1)))


def _is_made_up(error: GatewayError) -> bool:
    """Whether the time that a client is told to wait is one that the gateway chose."""
    if isinstance(error, CallerRateLimited):
        return False
    if not isinstance(error, UpstreamRefused) or error.kind.name == "quota_zero":  # until our own next probe
        return True
    return error.retry_after is None and find_raw_header(error.reply.headers, b"retry-after") is None

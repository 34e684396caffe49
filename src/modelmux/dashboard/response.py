"""Responses of the dashboard, with the headers that all of them have."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from modelmux.server.responses import HeaderList, Scope, Send

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
HTML: Final = b"text/html; charset=utf-8"
_encode: Final = msgspec.json.Encoder().encode


class Response(Struct, frozen=True, kw_only=True):
    """:param keeps: browsers may keep it: a static file."""

    status: int = 200
    body: bytes = b""
    media_type: bytes = HTML
    headers: HeaderList = []
    keeps: bool = False


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

"""CORS: answers preflight requests and marks responses, so that pages of configured origins may call the gateway.

Credentials in the sense of CORS (cookies) are never allowed: the page itself sets the header with the key, so ``*``
grants nothing that the page did not have. Without configured origins this module is not used.

Starlette's ``CORSMiddleware`` is not used: its list of exposed headers is fixed, it repeats requested headers
unchecked, and it rejects an origin in plain text without the hint that names the setting. A subclass would have to
override both of its response methods, which is all of it.
"""

from __future__ import annotations

import re
from typing import Final

from modelmux.dialects.registry import OPENAI_CHAT
from modelmux.errors import InvalidRequest
from modelmux.server.asgi import Application
from modelmux.server.responses import HeaderList, Message, Receive, Scope, Send, send_error
from modelmux.wire.http import find_raw_header

_ANY: Final = b"*"
_METHODS: Final = b"GET, HEAD, POST, DELETE"
#: Seconds for which a browser may cache the response to a preflight request.
_MAX_AGE: Final = b"600"
#: Headers a page may read in addition to those with the gateway's prefix.
_EXPOSED: Final = frozenset({b"x-request-id", b"request-id", b"retry-after", b"retry-after-ms", b"x-should-retry"})
_PREFIXES: Final = (b"x-modelmux-", b"x-ratelimit-", b"anthropic-ratelimit-")
_HEADER_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]{1,4096}")
_VARY: Final = b"Origin"
_VARY_PREFLIGHT: Final = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors:
    """Wraps an application so that pages of certain origins may call it.

    :param origins: as returned by ``config.cors_origins``; ``*`` allows any.
    """

    def __init__(self, application: Application, origins: frozenset[str]) -> None:
        self._application = application
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = find_raw_header(scope["headers"], b"origin") if scope["type"] == "http" else None
        if scope["type"] != "http":
            await self._application(scope, receive, send)
        elif (
            origin is not None
            and scope["method"] == "OPTIONS"
            and find_raw_header(scope["headers"], b"access-control-request-method")
        ):
            await self._preflight(scope, send, origin)
        else:
            await self._application(scope, receive, self._with_cors_headers(send, origin))

    def _allow_origin(self, origin: bytes | None) -> bytes | None:
        """The value of Access-Control-Allow-Origin, or None."""
        if origin is None:
            return None
        if origin.lower() in self._origins:
            return origin
        return _ANY if _ANY in self._origins else None

    async def _preflight(self, scope: Scope, send: Send, origin: bytes) -> None:
        allowed = self._allow_origin(origin)
        if allowed is None:
            error = InvalidRequest(
                "Pages of this origin may not call this gateway.",
                hint="The operator can add it to server.cors_origins.",
                code="origin_not_allowed",
            )
            await send_error(send, error, OPENAI_CHAT.error(error, ""), [(b"vary", _VARY_PREFLIGHT)])
            return
        headers: HeaderList = [
            (b"access-control-allow-origin", allowed),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-max-age", _MAX_AGE),
            (b"vary", _VARY_PREFLIGHT),
        ]
        requested = find_raw_header(scope["headers"], b"access-control-request-headers")
        if requested and _HEADER_NAMES.fullmatch(requested):  # by name, because * does not cover Authorization
            headers.append((b"access-control-allow-headers", requested))
        if allowed != _ANY and find_raw_header(scope["headers"], b"access-control-request-private-network") == b"true":
            headers.append((b"access-control-allow-private-network", b"true"))
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _with_cors_headers(self, send: Send, origin: bytes | None) -> Send:
        """Adds the CORS headers to every response, errors included."""
        allowed = self._allow_origin(origin)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"vary", _VARY)]
                if allowed is not None:
                    exposed = [name for name, _ in headers if name.startswith(_PREFIXES) or name in _EXPOSED]
                    headers.append((b"access-control-allow-origin", allowed))
                    headers.append((b"access-control-expose-headers", b", ".join(exposed)))
                message = {**message, "headers": headers}
            await send(message)

        return send_with_headers

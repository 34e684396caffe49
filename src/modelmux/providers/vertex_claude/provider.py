"""The envelope Vertex AI wants around a Messages request: URL, headers, verb. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from msgspec import Struct

from modelmux.routing.model import Deployment
from modelmux.version import __version__
from modelmux.wire.google import vertex as wire
from modelmux.wire.http import DEFAULT_TIMEOUTS, Call, Headers, Origin, Timeouts
from modelmux.wire.request_head import encode_prefix

#: Longest error body read: Google's errors are a few hundred bytes, its HTML pages a few kB.
MAX_ERROR_BODY = 256 * 1024
#: Longest reply read whole. 128k output tokens are well below this.
MAX_REPLY_BODY = 32 * 1024 * 1024


class Vertex:
    """Makes calls for deployments; what depends on the deployment alone is worked out once."""

    def __init__(self, *, quota_project: Callable[[], str | None] = lambda: None) -> None:
        self._quota_project = quota_project
        self._calls: dict[tuple[str, bool, tuple[str, ...]], _Known] = {}

    def call(
        self,
        deployment: Deployment,
        body: bytes,
        token: str,
        *,
        stream: bool,
        betas: tuple[str, ...] = (),
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> Call:
        """The call that asks ``deployment`` for a reply to ``body`` (an encoded Messages request)."""
        key = (deployment.url, stream, betas)
        quota_project = self._quota_project()
        known = self._calls.get(key)
        if known is None or known.token != token or known.quota_project != quota_project:
            known = self._calls[key] = _know(deployment.url, token, quota_project, stream=stream, betas=betas)
        return Call(known.origin, known.target, known.headers, body, timeouts, "POST", known.head)


class _Known(Struct, frozen=True):
    """What calls to one place have in common, as long as the token is the same."""

    token: str
    quota_project: str | None
    origin: Origin
    target: str
    headers: Headers
    head: bytes


def _know(url: str, token: str, quota_project: str | None, *, stream: bool, betas: tuple[str, ...]) -> _Known:
    parts = urlsplit(url)
    headers: Headers = [
        (b"authorization", b"Bearer " + token.encode("latin-1")),
        (b"content-type", b"application/json"),
        (b"accept", b"text/event-stream" if stream else b"application/json"),
        (b"user-agent", _USER_AGENT),
    ]
    if betas:
        headers.append((b"anthropic-beta", ",".join(betas).encode()))
    if quota_project:
        headers.append((b"x-goog-user-project", quota_project.encode("latin-1")))
    origin, target = Origin.parse(url), parts.path + wire.verb(stream=stream)
    call = Call(origin, target, headers, b"", DEFAULT_TIMEOUTS)
    return _Known(token, quota_project, origin, target, headers, encode_prefix(call))


_USER_AGENT = f"modelmux/{__version__}".encode()

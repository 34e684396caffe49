"""The envelope Vertex AI wants around a Messages request: URL, headers, verb. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from modelmux.routing.resolve import Deployment
from modelmux.routing.timeouts import DEFAULT_TIMEOUTS, Timeouts
from modelmux.upstream.base import Call, Headers, Origin
from modelmux.version import __version__
from modelmux.wire import vertex as wire

#: Longest error body read: Google's errors are a few hundred bytes, its HTML pages a few kB.
MAX_ERROR_BODY = 256 * 1024
#: Longest reply read whole. 128k output tokens are well below this.
MAX_REPLY_BODY = 32 * 1024 * 1024


class Vertex:
    """Makes calls for deployments; what depends on the deployment alone is worked out once."""

    def __init__(self, *, quota_project: Callable[[], str | None] = lambda: None) -> None:
        self._quota_project = quota_project
        self._targets: dict[str, tuple[Origin, str]] = {}

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
        known = self._targets.get(deployment.url)
        if known is None:
            parts = urlsplit(deployment.url)
            known = self._targets[deployment.url] = (Origin.parse(deployment.url), parts.path)
        origin, path = known
        headers: Headers = [
            (b"authorization", b"Bearer " + token.encode("latin-1")),
            (b"content-type", b"application/json"),
            (b"accept", b"text/event-stream" if stream else b"application/json"),
            (b"user-agent", _USER_AGENT),
        ]
        if betas:
            headers.append((b"anthropic-beta", ",".join(betas).encode()))
        quota_project = self._quota_project()
        if quota_project:
            headers.append((b"x-goog-user-project", quota_project.encode("latin-1")))
        return Call(origin, path + wire.verb(stream=stream), headers, body, timeouts)


_USER_AGENT = f"modelmux/{__version__}".encode()

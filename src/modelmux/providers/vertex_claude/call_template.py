"""The parts of an HTTP call to Vertex AI that depend only on the deployment and the token: URL, headers, verb."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from modelmux.version import __version__
from modelmux.wire.google import vertex as wire
from modelmux.wire.http import DEFAULT_TIMEOUTS, Headers, HttpCall, Origin, Timeouts
from modelmux.wire.request_head import encode_prefix

_USER_AGENT: Final = f"modelmux/{__version__}".encode()


class CallTemplate(Struct, frozen=True):
    """The parts shared by all calls to one deployment with the same token."""

    token: str
    quota_project: str | None
    origin: Origin
    target: str
    headers: Headers
    head: bytes

    def call(self, body: bytes, timeouts: Timeouts) -> HttpCall:
        """A call with this body."""
        return HttpCall(self.origin, self.target, self.headers, body, timeouts, "POST", self.head)


def build_template(
    url: str, token: str, quota_project: str | None, *, stream: bool, betas: tuple[str, ...]
) -> CallTemplate:
    """
    :param url: of the model's resource, without the verb.
    """
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
    call = HttpCall(origin, target, headers, b"", DEFAULT_TIMEOUTS)
    return CallTemplate(token, quota_project, origin, target, headers, encode_prefix(call))

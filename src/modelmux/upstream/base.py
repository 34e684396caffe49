"""The seams of the outgoing side: what a call is, what a reply is, and the two protocols with real and fake sides.

Nothing here performs I/O; ``pool.py`` and ``credentials.py`` do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from msgspec import Struct

from modelmux.routing.timeouts import Timeouts as Timeouts

Headers = list[tuple[bytes, bytes]]


class Origin(NamedTuple):
    """Where connections go: one pool each."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """Scheme, host and port of an http(s) URL.

        :raises ValueError: another scheme, no host, or a port that is not a number.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not an http(s) URL: {url!r}")
        return cls(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))

    @property
    def authority(self) -> str:
        """Value of the Host header: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


class Call(Struct, frozen=True):
    """One HTTP request to make. The connection adds Host, Content-Length and Connection to ``headers``.

    :param head: what ``request_head.encode_prefix`` makes of all but the body, where the caller keeps it.
    """

    origin: Origin
    target: str
    headers: Headers
    body: bytes
    timeouts: Timeouts
    method: str = "POST"
    head: bytes = b""


class Reply(Protocol):
    """One HTTP reply whose body is still to be read. Always ``aclose`` it; reading to the end first keeps the
    connection for the next call."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers:
        """Names in lower case, in order of arrival."""
        ...

    @property
    def arrived(self) -> bool:
        """Whether it has come to its end, read or not: to read on waits for nothing, and is not needed."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body: each item holds all bytes that have arrived since the last one.

        :raises UpstreamBroken: the reply ended early or broke the protocol.
        :raises UpstreamTimeout: no byte for ``idle`` seconds.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body, at most ``limit`` bytes.

        :raises UpstreamBroken: also when the body is longer than ``limit``.
        """
        ...

    async def aclose(self) -> None:
        """Let go of the connection: back to the pool if the reply was read to its end, closed otherwise. Idempotent."""
        ...


class Upstream(Protocol):
    """Something that carries a call out and brings the reply's head back."""

    async def send(self, call: Call) -> Reply:
        """Send and wait for the reply's status and headers.

        :raises UpstreamUnreachable: no connection could be made.
        :raises UpstreamTimeout: ``clock`` says which stage.
        :raises UpstreamBroken: the connection died or spoke no HTTP before the head was complete.
        :raises GatewayOverloaded: no connection became free in time.
        """
        ...

    async def aclose(self) -> None: ...


class TokenSource(Protocol):
    """Gives a valid Google access token."""

    async def token(self) -> str:
        """A token that is valid now.

        :raises CredentialsUnavailable: none can be had.
        """
        ...

    async def renew(self, rejected: str) -> str:
        """A token other than ``rejected``, which Vertex AI has just refused (401). Single-flight.

        :raises CredentialsUnavailable: none can be had.
        """
        ...

    async def aclose(self) -> None: ...

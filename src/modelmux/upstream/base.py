"""The seams of the outgoing side: what a reply is, and the two protocols with real and fake sides.

Nothing here performs I/O; ``pool.py`` and ``google_auth/tokens.py`` do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from modelmux.wire.http import Headers, HttpCall
from modelmux.wire.http import Origin as Origin
from modelmux.wire.http import Timeouts as Timeouts


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

    async def send(self, call: HttpCall) -> Reply:
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

"""Protocols of the upstream side: a reply, an upstream, a source of access tokens.

Implemented by ``http1_reply.py``, ``pool.py`` and ``google_auth/tokens.py``, and by fakes in the tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from modelmux.wire.http import Headers, HttpCall
from modelmux.wire.http import Origin as Origin
from modelmux.wire.http import Timeouts as Timeouts


class Reply(Protocol):
    """One HTTP reply whose body is still to be read. Always ``aclose`` it.

    A connection is reused only if its reply was read to the end.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers:
        """Names in lower case, in order of arrival."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether all of it has arrived, read or not: reading the rest does not wait and is optional."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body: each item holds all bytes that arrived since the previous one.

        :raises UpstreamBroken: the reply ended early or broke the protocol.
        :raises UpstreamTimeout: no byte for ``idle`` seconds.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """The complete body, at most ``limit`` bytes.

        :raises UpstreamBroken: also if the body exceeds ``limit``.
        """
        ...

    async def aclose(self) -> None:
        """Release the connection: to the pool if the reply is complete, else close it. Idempotent."""
        ...


class Upstream(Protocol):
    """Sends a call and returns the reply."""

    async def send(self, call: HttpCall) -> Reply:
        """Send ``call`` and wait for the status and headers of the reply.

        ``call.on_sent`` is called when a connection is there and the request begins to leave.

        :raises UpstreamUnreachable: could not connect.
        :raises UpstreamTimeout: ``clock`` says which stage.
        :raises UpstreamBroken: the connection was lost, or the reply is not valid HTTP, before its head was complete.
        :raises GatewayOverloaded: no connection became available in time.
        """
        ...

    async def aclose(self) -> None: ...


class TokenSource(Protocol):
    """Provides valid Google access tokens."""

    async def token(self) -> str:
        """A valid token.

        :raises CredentialsUnavailable: no token could be obtained.
        """
        ...

    async def renew(self, rejected: str) -> str:
        """A token other than ``rejected``, which Vertex AI rejected (401). Single-flight.

        :raises CredentialsUnavailable: no token could be obtained.
        """
        ...

    async def aclose(self) -> None: ...

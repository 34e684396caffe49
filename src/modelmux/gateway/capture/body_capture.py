"""What one request and its replies say, noted as the bytes pass. Nothing is copied or decoded here; of what is read in
pieces, no more is held than is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelmux.dialects.base import Inbound, ListingDialect
from modelmux.errors import GatewayError
from modelmux.store.captures.record import Exchanged, Sent, SentAttempt
from modelmux.wire.http import find_raw_header

#: Headers without which a body does not mean the same. None of them is a credential; all others are left out.
_HEADERS: Final = ("anthropic-version", "anthropic-beta")
_MAX_HEADER: Final = 2_000
_PREFIX: Final = "/{prefix:path}"


class SentBytes:
    """A body that is sent in pieces. :param limit: bytes, from which on no further piece is held."""

    __slots__ = ("_held", "_limit", "_pieces", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._held = self._size = 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        if self._held < self._limit and data:
            piece = data[: self._limit - self._held]
            self._pieces.append(piece)
            self._held += len(piece)

    def sent(self) -> Sent:
        """What was sent until now."""
        return Sent(tuple(self._pieces), self._size)


class BodyCapture:
    """The bodies of one exchange.

    :param limit: bytes that are kept of each.
    """

    __slots__ = ("_attempts", "_inbound", "_limit", "_request", "response")

    def __init__(self, inbound: Inbound, limit: int) -> None:
        self._inbound = inbound
        self._limit = limit
        self._request: bytes | None = None
        self._attempts: list[tuple[int, bytes, SentBytes | None]] = []
        #: What the client got.
        self.response = SentBytes(limit)

    def note_request(self, body: bytes) -> None:
        self._request = body

    def note_call(self, number: int, body: bytes) -> None:
        """An attempt calls its upstream. :param number: of the attempt."""
        self._attempts.append((number, body, None))

    def begin_reply(self) -> SentBytes:
        """The reply to the latest call; for its bytes."""
        number, body, _ = self._attempts[-1]
        reply = SentBytes(self._limit)
        self._attempts[-1] = (number, body, reply)
        return reply

    def note_failure(self, dialect: ListingDialect, error: GatewayError, event: bytes | None) -> None:
        """The error that the client is about to get. :param event: inside of a stream; None for a response."""
        self.response.add(dialect.error(error, self._inbound.request_id).body if event is None else event)

    def exchanged(self) -> Exchanged:
        """All of it, as it is now."""
        inbound = self._inbound
        return Exchanged(
            path=path_of(inbound.path, inbound.path_params),
            headers={
                name: value[:_MAX_HEADER].decode("latin-1")
                for name in _HEADERS
                if (value := find_raw_header(inbound.headers, name.encode())) is not None
            },
            request=self._request,
            response=self.response.sent(),
            attempts=tuple(
                SentAttempt(number, body, None if reply is None else reply.sent())
                for number, body, reply in self._attempts
            ),
        )


def path_of(template: str, params: Mapping[str, str]) -> str:
    """A path of the registry with its parameters, but for what is the client's own: its project and its prefix."""
    path = template.removeprefix(_PREFIX)
    for name, value in {**params, "project": "-"}.items():
        path = path.replace(f"{{{name}}}", value)
    return path

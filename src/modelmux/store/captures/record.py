"""What was captured of one request: bodies as they were sent, without headers and so without credentials.

``Exchanged`` is what the gateway hands over; ``encode`` bounds it, in another thread; ``Capture`` is what is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.store.captures.embedded_files import without_files
from modelmux.store.traces.record import TracedRequest

#: Fast, and a conversation shrinks to a third.
_LEVEL: Final = 1


class Sent(Struct, frozen=True):
    """A body as it was sent: the begin of it at least, in pieces, and the size of all of it in bytes."""

    pieces: Sequence[bytes]
    size: int


class SentAttempt(Struct, frozen=True):
    """:param number: of the attempt, from 1 on. :param reply: None if the upstream did not begin one."""

    number: int
    request: bytes
    reply: Sent | None


class Exchanged(Struct, frozen=True):
    """All bodies of a request.

    :param path: that it was sent to, without the client's project. :param headers: those that change what the body
        means, by name: never a credential.
    :param request: None if it was not read. :param response: what the client got.
    """

    path: str
    headers: Mapping[str, str]
    request: bytes | None
    response: Sent
    attempts: Sequence[SentAttempt]

    @property
    def held_bytes(self) -> int:
        """Bytes that it keeps in memory."""
        bodies = {id(one.request): len(one.request) for one in self.attempts}
        replies = [one.reply for one in self.attempts if one.reply is not None]
        kept = sum(len(piece) for sent in (self.response, *replies) for piece in sent.pieces)
        return len(self.request or b"") + sum(bodies.values()) + kept


class StoredBody(Struct, frozen=True, omit_defaults=True):
    """
    :param part: its number in the file. :param size: bytes as they were sent.
    :param is_cut: what is beyond the bound is missing. :param files: of images and documents, type and size are left.
    """

    part: int
    size: int
    is_cut: bool = False
    files: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.is_cut and not self.files


class StoredAttempt(Struct, frozen=True, omit_defaults=True):
    number: int
    request: StoredBody
    reply: StoredBody | None = None


class Contents(Struct, frozen=True, omit_defaults=True):
    """Which bodies there are. See ``Exchanged``."""

    path: str
    headers: Mapping[str, str]
    response: StoredBody
    request: StoredBody | None = None
    attempts: tuple[StoredAttempt, ...] = ()


class Capture(Struct, frozen=True):
    """What is stored of a request. :param bodies: by their numbers."""

    request: TracedRequest
    contents: Contents
    bodies: Mapping[int, bytes]

    def body(self, stored: StoredBody | None) -> bytes:
        return b"" if stored is None else self.bodies[stored.part]


class CaptureBounds(Struct, frozen=True):
    """See ``[capture]`` of the configuration."""

    max_body_bytes: int
    max_bytes: int
    max_requests: int
    days: int
    keeps_files: bool


class EncodedCapture(Struct, frozen=True):
    """A row, and the compressed bodies of it by their numbers."""

    request: bytes
    contents: bytes
    parts: Sequence[bytes]


class _Parts:
    """Bodies on their way to the file, each once."""

    def __init__(self, bounds: CaptureBounds) -> None:
        self._bounds = bounds
        self._known: dict[int, StoredBody] = {}
        self.compressed: list[bytes] = []

    def request(self, body: bytes) -> StoredBody:
        stored = self._known.get(id(body))  # of the attempts with one model; all are alive here
        if stored is None:
            stored = self._known[id(body)] = self._add(body, len(body))
        return stored

    def sent(self, sent: Sent) -> StoredBody:
        return self._add(b"".join(sent.pieces), sent.size)

    def _add(self, data: bytes, size: int) -> StoredBody:
        is_cut, files = len(data) < size, 0
        if not self._bounds.keeps_files:
            data, files = without_files(data)
        if len(data) > self._bounds.max_body_bytes:
            data, is_cut = data[: self._bounds.max_body_bytes], True
        self.compressed.append(zlib.compress(data, _LEVEL))
        return StoredBody(len(self.compressed) - 1, size, is_cut, files)


def encode(request: TracedRequest, exchanged: Exchanged, bounds: CaptureBounds) -> EncodedCapture:
    """What is written of a request. It takes long for large bodies, so it is for another thread."""
    parts = _Parts(bounds)
    contents = Contents(
        path=exchanged.path,
        headers=exchanged.headers,
        request=None if exchanged.request is None else parts.request(exchanged.request),
        response=parts.sent(exchanged.response),
        attempts=tuple(
            StoredAttempt(one.number, parts.request(one.request), None if one.reply is None else parts.sent(one.reply))
            for one in exchanged.attempts
        ),
    )
    return EncodedCapture(msgspec.json.encode(request), msgspec.json.encode(contents), parts.compressed)


_decode_request: Final = msgspec.json.Decoder(TracedRequest).decode
_decode_contents: Final = msgspec.json.Decoder(Contents).decode


def decode(request: bytes, contents: bytes, parts: Mapping[int, bytes]) -> Capture:
    """:raises msgspec.DecodeError, zlib.error: it is not what ``encode`` returned."""
    bodies = {number: zlib.decompress(data) for number, data in parts.items()}
    return Capture(_decode_request(request), _decode_contents(contents), bodies)

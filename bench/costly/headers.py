"""Headers that may cost more than their length: those that the gateway reads, long and many times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from modelmux.wire.http import Headers

#: Bytes of a head that the server accepts.
MOST: Final = 60_000
_READ: Final = (
    b"accept", b"anthropic-beta", b"anthropic-version", b"authorization", b"content-type", b"traceparent",
    b"tracestate", b"user-agent", b"x-api-key", b"x-request-id", b"x-stainless-timeout",
)  # fmt: skip

Grower = Callable[[int], Headers]


def _long(name: bytes) -> Grower:
    return lambda n: [(name, b"a" * n)]


def _listed(name: bytes) -> Grower:
    return lambda n: [(name, b",".join(b"b%d" % i for i in range(n // 6)))]


def _spaced(name: bytes) -> Grower:
    return lambda n: [(name, b"a" + b' ;=",' * (n // 5))]


def _repeated(name: bytes) -> Grower:
    return lambda n: [(name, b"b%d" % i) for i in range(n // (len(name) + 8))]


def known_headers(size: int) -> Iterator[tuple[str, Headers]]:
    """Headers of about ``size`` bytes."""
    size = min(size, MOST)
    for name in _READ:
        for kind, grower in (("long", _long), ("list", _listed), ("marks", _spaced), ("repeated", _repeated)):
            yield f"header {name.decode()}, {kind}", grower(name)(size)
    yield "unknown headers", [(b"x-%d" % i, b"v") for i in range(size // 10)]

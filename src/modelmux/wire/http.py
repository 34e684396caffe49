"""HTTP calls to upstreams as data: where they go, what they carry. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from msgspec import Struct

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds allowed for each stage; every one but ``first_token`` is always bounded."""

    connect: float = 5.0  # DNS, TCP, proxy CONNECT and TLS together
    pool: float = 5.0  # waiting for a free connection
    send: float = 60.0  # handing the request to the kernel
    first_byte: float = 600.0  # from the request sent to the reply's status line
    first_token: float = 0.0  # from the beginning of an attempt to a stream's first content; 0 for no such clock
    idle: float = 300.0  # between two reads of the reply's body; pings count
    total: float = 3600.0  # from the request's arrival to the end of its answer


DEFAULT_TIMEOUTS: Final = Timeouts()


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


def find_header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The first value of a header; ``name`` in lower case, as all names are here."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None

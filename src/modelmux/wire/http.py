"""HTTP calls to upstreams as data, and the look-up of a header. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from msgspec import Struct

Headers = list[tuple[bytes, bytes]]
#: On responses to requests whose bodies are kept.
CAPTURE_NOTICE: Final = (b"x-modelmux-capture", b"bodies")


def find_raw_header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of a header; None if it is missing.

    :param name: in lower case, as in ``headers``.
    """
    for key, value in headers:
        if key == name:
            return value
    return None


def find_header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """``find_raw_header`` as text. Header values are ISO-8859-1 (RFC 9110, section 5.5)."""
    value = find_raw_header(headers, name)
    return None if value is None else value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeout of each stage in seconds. Only ``first_token`` can be off."""

    connect: float = 5.0  # DNS, TCP, proxy CONNECT and TLS together
    pool: float = 5.0  # waiting for a connection of the pool
    send: float = 60.0  # writing the request to the socket
    first_byte: float = 600.0  # from the end of the request to the status line of the reply
    first_token: float = 0.0  # from the start of an attempt to the first content of a stream; 0 for none
    idle: float = 300.0  # between two reads of the body; pings reset it
    total: float = 3600.0  # from the arrival of the client's request to the end of the response


DEFAULT_TIMEOUTS: Final = Timeouts()


class Origin(NamedTuple):
    """Scheme, host and port; the pool keeps connections per origin."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """The origin of an http(s) URL.

        :raises ValueError: another scheme, no host, or an invalid port.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not an http(s) URL: {url!r}")
        return cls(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))

    @property
    def authority(self) -> str:
        """Value of the Host header: without the port if it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


class HttpCall(Struct, frozen=True):
    """One HTTP request to send. The connection adds Host, Content-Length and Connection to ``headers``.

    :param resend: send it again over another connection if a reused one ends before any byte of the reply. The upstream
        may have received the first one.
    :param head: the result of ``request_head.encode_prefix`` for this call, if the caller has it already.
    :param on_sent: called when there is a connection, right before the request is written to it.
    """

    origin: Origin
    target: str
    headers: Headers
    body: bytes
    timeouts: Timeouts
    method: str = "POST"
    head: bytes = b""
    resend: bool = True
    on_sent: Callable[[], None] | None = None

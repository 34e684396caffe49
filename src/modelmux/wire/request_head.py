"""Encodes the head of an HTTP request; rejects anything that could be parsed differently (request smuggling).

Not in this module: I/O, the body, knowledge of Vertex AI.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from modelmux.wire.http import HttpCall, Origin

#: Headers that the connection sets itself, or that must never be sent.
_RESERVED: Final = frozenset(
    {b"host", b"connection", b"content-length", b"transfer-encoding", b"accept-encoding", b"expect"}
)
#: Longest target whose line is remembered. Clients choose the targets of downloads.
_MAX_REMEMBERED: Final = 512


def encode_head(call: HttpCall) -> bytes:
    """The head of the request, with Host, Connection and Content-Length.

    :raises ValueError: a malformed method, target or header: a bug of the caller. The message does not quote header
        values, which may be secrets.
    """
    prefix = call.head or encode_prefix(call)
    if call.body or call.method not in {"GET", "HEAD"}:
        return b"%bcontent-length: %d\r\n\r\n" % (prefix, len(call.body))
    return prefix + b"\r\n"


def encode_prefix(call: HttpCall) -> bytes:
    """The head without Content-Length: the same for all calls that differ only in their body.

    :raises ValueError: as for ``encode_head``.
    """
    values = b"".join([value for _, value in call.headers])
    if 10 in values or 13 in values or 0 in values:
        raise ValueError("a header value contains CR, LF or NUL")
    prelude = _prelude if len(call.target) <= _MAX_REMEMBERED else _prelude.__wrapped__
    parts = [prelude(call.method, call.target, call.origin)]
    for name, value in call.headers:
        parts += (_header_name(name), value, b"\r\n")
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _prelude(method: str, target: str, origin: Origin) -> bytes:
    if not re.fullmatch(r"[A-Z]+", method) or not re.fullmatch(r"/[\x21-\x7e]*", target):
        raise ValueError("the method or target of a request is malformed")
    if not re.fullmatch(r"[0-9A-Za-z._\-:\[\]]+", origin.authority):
        raise ValueError("the host of an origin is malformed")
    return (
        f"{method} {target} HTTP/1.1\r\nhost: {origin.authority}\r\nconnection: keep-alive\r\n"
        "accept-encoding: identity\r\n"
    ).encode("ascii")


@lru_cache(maxsize=256)
def _header_name(name: bytes) -> bytes:
    if not re.fullmatch(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name):
        raise ValueError("a header name is malformed")
    if name.lower() in _RESERVED:
        raise ValueError(f"the header {name.decode()} is set by the connection")
    return name + b": "

"""The bytes of a request's head, refused if any part of it could be read as something else.

What must not come in here: I/O, the body, knowledge of Vertex AI.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from modelmux.wire.http import Call, Origin

#: What the connection sets by itself, or what must not be sent at all.
_OURS: Final = frozenset(
    {b"host", b"connection", b"content-length", b"transfer-encoding", b"accept-encoding", b"expect"}
)


def encode_head(call: Call) -> bytes:
    """The request's head, with Host, Connection and Content-Length.

    :raises ValueError: a method, target or header that would not arrive as what it is: the caller's mistake. Values
        are not quoted, they may be secrets.
    """
    prefix = call.head or encode_prefix(call)
    if call.body or call.method not in {"GET", "HEAD"}:
        return b"%bcontent-length: %d\r\n\r\n" % (prefix, len(call.body))
    return prefix + b"\r\n"


def encode_prefix(call: Call) -> bytes:
    """What the head is without the body's length: the same for all calls that differ in their body only.

    :raises ValueError: as ``encode_head``.
    """
    values = b"".join([value for _, value in call.headers])
    if 10 in values or 13 in values or 0 in values:
        raise ValueError("a header's value holds CR, LF or NUL")
    parts = [_prelude(call.method, call.target, call.origin)]
    for name, value in call.headers:
        parts += (_header_name(name), value, b"\r\n")
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _prelude(method: str, target: str, origin: Origin) -> bytes:
    if not re.fullmatch(r"[A-Z]+", method) or not re.fullmatch(r"/[\x21-\x7e]*", target):
        raise ValueError("a request's method or target is malformed")
    if not re.fullmatch(r"[0-9A-Za-z._\-:\[\]]+", origin.authority):
        raise ValueError("an origin's host is malformed")
    return (
        f"{method} {target} HTTP/1.1\r\nhost: {origin.authority}\r\nconnection: keep-alive\r\n"
        "accept-encoding: identity\r\n"
    ).encode("ascii")


@lru_cache(maxsize=256)
def _header_name(name: bytes) -> bytes:
    if not re.fullmatch(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name):
        raise ValueError("a header's name is malformed")
    if name.lower() in _OURS:
        raise ValueError(f"the connection sets {name.decode()} by itself")
    return name + b": "

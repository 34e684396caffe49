"""What the head of a request says, as far as it was read. Pure functions."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import httptools

from modelmux.server.responses import HeaderList

_MAX_REMEMBERED: Final = 256  # bytes of a target


def read_target(url: bytes) -> tuple[str, bytes, bytes]:
    """The decoded path, the raw path and the query of a request target."""
    return _read_target(url) if len(url) <= _MAX_REMEMBERED else _read_target.__wrapped__(url)


@lru_cache(maxsize=256)
def _read_target(url: bytes) -> tuple[str, bytes, bytes]:
    parsed = httptools.parse_url(url)
    raw_path = parsed.path or b"/"
    path = raw_path.decode("ascii", "replace")
    return urllib.parse.unquote(path) if "%" in path else path, raw_path, parsed.query or b""


def without_upgrade(headers: HeaderList) -> Iterator[tuple[bytes, bytes]]:
    """The headers of a request that does not ask for another protocol. Other options of ``Connection`` stay."""
    for name, value in headers:
        if name == b"connection":
            options = [option for option in value.split(b",") if option.strip().lower() != b"upgrade"]
            yield name, b",".join(options)
        elif name != b"upgrade":
            yield name, value


def read_so_far(method: bytes, url: bytes) -> dict[str, Any]:
    """Method and path of a request whose head could not be read to its end, as in a scope: for the log.

    :param url: empty, or its beginning, if no more of it was read.
    """
    try:
        path = httptools.parse_url(url).path if url else None
    except httptools.HttpParserInvalidURLError:
        path = None
    if path is None:  # what is not a target can hold anything, so nothing of it is quoted
        return {"method": method.decode("ascii", "replace")} if method else {}
    return {"method": method.decode("ascii", "replace"), "path": read_target(url)[0]}

"""JSON that was cut off, as the value it began: what a model had written of a tool's input when it reached a limit."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_TOKEN: Final = re.compile(
    rb'[ \t\r\n]*(?:(?P<string>"(?:[^"\\]|\\.)*+")|(?P<scalar>[-+.\w]++)|(?P<mark>[][{},:]))', re.DOTALL
)
_SCALAR: Final = re.compile(rb"true|false|null|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_CLOSING: Final = {b"{": b"}", b"[": b"]"}


def completed(data: bytes) -> bytes | None:
    """An object or array without its unfinished end, closed; None if ``data`` does not begin one.

    A string, name, literal or member that is not finished is left out, as the official SDKs do it.
    """
    closing: list[bytes] = []
    end = position = 0  # everything up to ``end`` is complete but for ``closing``
    is_key = False
    while (match := _TOKEN.match(data, position)) is not None:
        mark, position = match["mark"], match.end()
        if mark is None:
            if match["scalar"] is not None and not _SCALAR.fullmatch(match["scalar"]):
                break
            end, is_key = end if is_key else position, False
            continue
        if mark in _CLOSING:
            closing.append(_CLOSING[mark])
        elif mark in (b"}", b"]"):
            if closing[-1:] != [mark]:
                return None
            closing.pop()
        is_key = mark in (b"{", b",") and closing[-1:] == [b"}"]
        if mark not in (b",", b":"):
            end = position
    result = data[:end] + b"".join(reversed(closing))
    return result if _is_container(result) else None


def _is_container(data: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(data), dict | list)
    except (msgspec.DecodeError, RecursionError):
        return False

"""Replaces lone surrogates in JSON: half of a surrogate pair, an escape (``\\ud83d``) or bytes, without the other half.

RFC 8259 (section 8.2) allows the escape; clients that cut text by UTF-16 units write it, encoders that escape non-ASCII
text do, and a model that splits an emoji in a tool's arguments causes it. UTF-8 does not have these characters, and
msgspec and Claude reject them. Not in this module: any other repair of JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from modelmux.wire.sliced_json import decode_sliced, text_slices

#: At each backslash: a surrogate pair; a lone surrogate (the group); any other escape, including an escaped backslash.
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
#: Surrogates encoded as if they were characters: a pair (the group), as CESU-8 has it, or a lone one.
_BYTES: Final = re.compile(rb"(\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf])|\xed[\xa0-\xbf][\x80-\xbf]")
_ANY_BYTES: Final = re.compile(rb"\xed[\xa0-\xbf]")
_REPLACEMENT: Final = "\ufffd"
#: Not characters, so no text has all of them.
_NO_CHARACTERS: Final = tuple(map(chr, range(0xFDD0, 0xFDF0)))
#: Places that are named, and the length of their paths.
_MAX_POSITIONS: Final = 25
_MAX_STEPS: Final = 4
#: The place of what no path leads to. No field has this name.
WHOLE_BODY: Final = "body"
_FIELD: Final = re.compile(r"[a-z_]{1,40}")


def replace_lone_surrogates(data: bytes) -> bytes:
    """The JSON with U+FFFD for each lone surrogate; the same object if there is none.

    A pair in bytes becomes the character it stands for.
    """
    return _replaced(data, _REPLACEMENT)


def _replaced(data: bytes, replacement: str) -> bytes:
    """In slices: one call for all of a large body holds the event loop, in whatever thread it runs."""
    escape, character = b"\\u%04x" % ord(replacement), replacement.encode()
    if b"\\ud" in data or b"\\uD" in data:
        replaced = b"".join(
            _ESCAPE.sub(lambda match: escape if match[1] else match[0], part) for part in text_slices(data)
        )
        data = data if replaced == data else replaced
    if has_surrogate_bytes(data):
        data = b"".join(_BYTES.sub(lambda match: _character(match, character), part) for part in text_slices(data))
    return data


def has_surrogate_bytes(data: bytes) -> bool:
    """Whether there are surrogates in bytes, which decoders do not see in what they skip. Quick: asked every time."""
    return not data.isascii() and b"\xed" in data and _ANY_BYTES.search(data) is not None


def _character(match: re.Match[bytes], replacement: bytes) -> bytes:
    if match[1] is None:
        return replacement
    pair = match[1].decode("utf-8", "surrogatepass")
    return pair.encode("utf-16", "surrogatepass").decode("utf-16").encode()


def positions_of_surrogates(data: bytes) -> list[str]:
    """Dotted paths of the strings with lone surrogates, in order, each once: ``messages.2.content``.

    A path ends where a key may be the client's own; ``WHOLE_BODY`` is that of a key of the body itself, or of a string
    below one. Empty if ``data`` is not JSON, or nested too deeply.

    :param data: as it was before they were replaced.
    """
    mark = next((mark for mark in _NO_CHARACTERS if not _has(data, mark)), _NO_CHARACTERS[0])
    try:
        value = decode_sliced(_replaced(data, mark))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    positions: dict[str, None] = {}
    for position in _positions(value, mark):
        positions[position or WHOLE_BODY] = None
        if len(positions) == _MAX_POSITIONS:
            break
    return list(positions)


def _has(data: bytes, mark: str) -> bool:
    return mark.encode() in data or b"\\u%04x" % ord(mark) in data or b"\\u%04X" % ord(mark) in data


def _positions(root: Any, mark: str) -> Iterator[str]:
    waiting: list[tuple[tuple[str, ...], bool, Any]] = [((), False, root)]  # path, whether it has ended, value
    while waiting:
        path, ended, value = waiting.pop()
        if isinstance(value, str):
            if mark in value:
                yield ".".join(path)
        elif isinstance(value, dict | list):
            if isinstance(value, dict) and mark in "".join(value):
                yield ".".join(path)
            members = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += reversed([(*_below(path, key, ended=ended), member) for key, member in members])


def _below(path: tuple[str, ...], key: str | int, *, ended: bool) -> tuple[tuple[str, ...], bool]:
    if ended or len(path) == _MAX_STEPS or (isinstance(key, str) and not _FIELD.fullmatch(key)):
        return path, True
    return (*path, str(key)), False

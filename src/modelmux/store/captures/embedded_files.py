"""Images and documents inside of a JSON body, in base64 -> their type and size in their place.

All that is searched for are short marks, and the end of a string is the next quote: a body of many megabytes takes
milliseconds, and nothing of it is decoded. The dialects have files in three forms: ``"data": "…"`` beside
``media_type`` (Anthropic) or ``format`` (sound of OpenAI), and ``data:image/png;base64,…`` anywhere in a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: Characters of base64 below which a file is left as it is.
_SHORT: Final = 256
_KEY: Final = b'"data"'
_VALUE: Final = re.compile(rb'"data"[ \t\r\n]*:[ \t\r\n]*"')
_ENCODED: Final = b";base64,"
_KIND: Final = re.compile(rb"[A-Za-z0-9.+/\\-]{0,100}")
_RUN: Final = re.compile(rb"[A-Za-z0-9+/=\\_-]*")
#: Bytes that are searched at once: a search in all of them would hold up the event loop, in whichever thread it is.
_STEP: Final = 262_144
_TYPE: Final = re.compile(rb'"(?:media_type|format)"[ \t\r\n]*:[ \t\r\n]*"([A-Za-z0-9.+/\\-]{1,100})"')
#: Bytes before and after a file in which its type is looked for.
_NEAR: Final = 300


def without_files(body: bytes) -> tuple[bytes, int]:
    """The body with type and size in place of files, and how many it had. It is JSON as before."""
    pieces: list[bytes] = []
    end = count = 0
    for first, last, kind in sorted(_files(body)):
        if first < end:
            continue
        encoded = last - first - body.count(b"\\", first, last)
        size = encoded // 4 * 3 - body.count(b"=", max(first, last - 2), last)
        pieces += [body[end:first], b"(" + (kind.replace(b"\\", b"") or b"file") + b", %d bytes)" % size]
        end, count = last, count + 1
    return (b"".join([*pieces, body[end:]]), count) if count else (body, 0)


def _files(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where the base64 of a file begins and ends, and its type."""
    for mark in _positions(body, _KEY):
        match = _VALUE.match(body, mark)
        if match is None:
            continue
        first, last = match.end(), _end(body, match.end())
        if last - first >= _SHORT and body[last : last + 1] in (b'"', b""):
            kind = _kind(body, mark, last + 1)
            if kind is not None:
                yield first, last, kind
    for mark in _positions(body, _ENCODED):
        first = mark + len(_ENCODED)
        last = _end(body, first)
        last -= body[last - 1 : last] == b"\\"  # of an escaped quote behind it
        _, scheme, parameters = body[max(0, mark - _NEAR) : mark].rpartition(b"data:")
        kind = parameters.partition(b";")[0]
        if last - first >= _SHORT and scheme and _KIND.fullmatch(kind):
            yield first, last, kind


def _positions(body: bytes, mark: bytes) -> Iterator[int]:
    """By ``bytes.find``, which is many times faster than a regular expression."""
    position = 0
    while position < len(body):
        here = body.find(mark, position, position + _STEP)
        if here >= 0:
            yield here
        position = position + _STEP - len(mark) + 1 if here < 0 else here + len(mark)


def _end(body: bytes, first: int) -> int:
    """Of the base64 that begins there."""
    while True:
        run = _RUN.match(body, first, first + _STEP)
        assert run is not None  # it may be empty
        if run.end() < first + _STEP:
            return run.end()
        first = run.end()


def _kind(body: bytes, first: int, last: int) -> bytes | None:
    """The type in the same object as a ``data``: blocks of thinking have a ``data`` as well, and no type."""
    before = body[max(0, first - _NEAR) : first].rpartition(b"{")[2]
    after = body[last : last + _NEAR].partition(b"}")[0]
    mark = _TYPE.search(before) or _TYPE.search(after)
    return None if mark is None else mark[1]

"""Large JSON decoded in slices: one call of the decoder holds the interpreter, and with it the event loop, until it
returns, in whatever thread it runs.

A large value is split into its members first, without decoding them (``msgspec.Raw``). Those are decoded a slice at a
time, and other threads can run in between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

#: Bytes of JSON that one call decodes, but for strings: some 5 ms if it consists of empty objects, the worst there is.
SLICE: Final = 128 * 1024
#: Levels that are split. Each is another pass over the bytes.
_LEVELS: Final = 6
#: The most that one request may hold. Claude reads a million tokens, and each of these takes several.
MAX_OBJECTS: Final = 250_000
#: The same for the values of objects and arrays, commas in texts included.
MAX_VALUES: Final = 1_000_000

T = TypeVar("T")
_OPENING: Final = re.compile(rb"[ \t\r\n]*([{\[])")
_any: Final = msgspec.json.Decoder(Any)
_any_list: Final = msgspec.json.Decoder(list[Any])
_objects: Final = msgspec.json.Decoder(dict[str, Raw])
_arrays: Final = msgspec.json.Decoder(list[Raw])


def count_objects(data: bytes) -> int:
    """Objects and arrays, those in texts included: quick, and never too few."""
    return data.count(b"{") + data.count(b"[")


def count_values(data: bytes) -> int:
    """Values of objects and arrays, without the first of each, and commas in texts."""
    return data.count(b",")


def decode_sliced(data: bytes, level: int = 0) -> Any:
    """The same as ``msgspec.json.decode``.

    :raises msgspec.DecodeError, UnicodeDecodeError, RecursionError: it is not JSON, but not always for the same reason.
    """
    if len(data) <= SLICE or level == _LEVELS:
        return _any.decode(data)
    begin = _OPENING.match(data)
    opening = begin[1] if begin is not None else b""
    if opening == b"{":
        return {key: decode_sliced(bytes(raw), level + 1) for key, raw in _objects.decode(data).items()}
    if opening == b"[":
        return decode_items(_arrays.decode(data), _any_list.decode, lambda part: decode_sliced(part, level + 1))
    return _any.decode(data)


def decode_items(
    items: Iterable[Raw], decode: Callable[[bytes], list[T]], decode_one: Callable[[bytes], T] | None = None
) -> list[T]:
    """The items of an array.

    :param decode: decodes an array of some of them.
    :param decode_one: decodes one that is larger than a slice.
    """
    decoded: list[T] = []
    for part in slices(items):
        if decode_one is not None and len(part) == 1:
            decoded.append(decode_one(bytes(part[0])))
        else:
            decoded += decode(b"[" + b",".join(part) + b"]")
    return decoded


def slices(items: Iterable[Raw]) -> Iterator[list[Raw]]:
    """The items in lists of at most ``SLICE`` bytes, or of one item."""
    part: list[Raw] = []
    size = 0
    for item in items:
        length = memoryview(item).nbytes + 1
        if part and size + length > SLICE:
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part

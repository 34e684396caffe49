"""Large JSON decoded, and long strings encoded, in slices: one call of the decoder or encoder holds the interpreter,
and with it the event loop, until it returns, in whatever thread it runs.

A large value is split into its members first, without decoding them (``msgspec.Raw``). Those are decoded a slice at a
time, and other threads can run in between.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import astuple, replace

#: Bytes of JSON that one call decodes, but for strings: some 5 ms if it consists of empty objects.
SLICE: Final = 128 * 1024
#: What else one call decodes: bytes, some 20 ms if they are one string of escapes, with so many objects and arrays, and
#: values. Each of those takes less than a microsecond, but for numbers below 1e-294, which take seven.
ONE_CALL: Final = 8 * 1024 * 1024
_FEW_OBJECTS: Final = 4_000
_FEW_VALUES: Final = 10_000
#: Marks that are looked for one by one: this is quicker where there are few, as in a long text.
_FEW_MARKS: Final = 200
#: Bytes of a string that one call decodes or encodes: some 10 ms if it consists of escapes.
TEXT_SLICE: Final = 4 * 1024 * 1024
#: Bytes that one call searches: some 2 ms.
_SEARCHED: Final = 4 * 1024 * 1024
#: Levels that are split. Each is another pass over the bytes.
_LEVELS: Final = 6
#: Levels in which strings are looked for.
_ENCODED_LEVELS: Final = 16
#: The most that one request may hold. Claude reads a million tokens, and each of these takes several.
MAX_OBJECTS: Final = 250_000
#: The same for the values of objects and arrays, commas in texts included.
MAX_VALUES: Final = 1_000_000
#: Members of one object, which one call decodes: some 50 ms. A list of as many values takes a tenth of that.
MAX_MEMBERS: Final = 100_000

T = TypeVar("T")
S = TypeVar("S", bound=Struct)
_OPENING: Final = re.compile(rb'[ \t\r\n]*([{\["])')
_LONGEST_ESCAPE: Final = 6  # ``\\u00e9``; a character may take two of them
_LONGEST_CHARACTER: Final = 4
_HIGH_SURROGATE: Final = re.compile(rb"u[dD][89abAB][0-9a-fA-F]{2}")
_MARKS: Final = re.compile(rb"[{}\[\],]")
#: As CESU-8 has it.
_HIGH_SURROGATE_BYTES: Final = re.compile(rb"\xed[\xa0-\xaf]")
_any: Final = msgspec.json.Decoder(Any)
_text: Final = msgspec.json.Decoder(str)
_encode: Final = msgspec.json.Encoder().encode
#: In the place of a long string or object, by its first byte.
_EMPTY: Final = {b'"': Raw(b'""'), b"{": Raw(b"{}")}
_any_list: Final = msgspec.json.Decoder(list[Any])
_objects: Final = msgspec.json.Decoder(dict[str, Raw])
_arrays: Final = msgspec.json.Decoder(list[Raw])


def needs_slices(data: bytes) -> bool:
    """Whether one call would take long to decode it."""
    size = len(data)
    if size <= SLICE or size > ONE_CALL:
        return size > SLICE
    return _has_more(data, b",", _FEW_VALUES) or count_objects(data) > _FEW_OBJECTS


def count_objects(data: bytes) -> int:
    """Objects and arrays, those in texts included: quick, and never too few."""
    return _count(data, b"{") + _count(data, b"[")


def count_values(data: bytes) -> int:
    """Values of objects and arrays, without the first of each, and commas in texts."""
    return _count(data, b",")


def has_larger_object(data: bytes, most: int = MAX_MEMBERS) -> bool:
    """Whether an object of the JSON has more than ``most`` members. Quick only for data with few colons."""
    if _count(data, b":") <= most:
        return False
    commas: list[int] = []  # of each object that is open, and far below 0 for each array
    for mark in _marks(data):
        if mark == b",":
            if commas:
                commas[-1] += 1
                if commas[-1] >= most:
                    return True
        elif mark in b"{[":
            commas.append(0 if mark == b"{" else -len(data))
        elif commas:
            commas.pop()
    return False


def _marks(data: bytes) -> Iterator[bytes]:
    """Braces, brackets and commas that are not in strings."""
    in_string = True
    for part in text_slices(data, SLICE):
        in_string = not in_string  # the last piece of the part before was not ended by a quote
        for piece in part.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"'):
            if not in_string:
                yield from _MARKS.findall(piece)
            in_string = not in_string


def text_slices(data: bytes, size: int = TEXT_SLICE) -> Iterator[bytes]:
    """The data in parts of at most ``size`` bytes. None ends inside of a character, an escape or a surrogate pair."""
    begin = 0
    while begin < len(data):
        cut = min(begin + max(size, 2 * _LONGEST_ESCAPE), len(data))
        if cut < len(data):
            cut = _before_character(data, begin, cut)
            if cut - 3 > begin and _HIGH_SURROGATE_BYTES.match(data, cut - 3, cut):
                cut -= 3
        yield data[begin:cut]
        begin = cut


def _count(data: bytes, mark: bytes) -> int:
    if len(data) <= SLICE:
        return data.count(mark)
    position = -1
    for number in range(_FEW_MARKS):
        position = data.find(mark, position + 1)
        if position < 0:
            return number
    rest = range(position + 1, len(data), _SEARCHED)
    return _FEW_MARKS + sum(data.count(mark, begin, begin + _SEARCHED) for begin in rest)


def _has_more(data: bytes, mark: bytes, most: int) -> bool:
    """Whether there are more than ``most``; where there are, not all of the data is searched."""
    number = 0
    for begin in range(0, len(data), SLICE):
        number += data.count(mark, begin, begin + SLICE)
        if number > most:
            return True
    return False


def decode_sliced(data: bytes | memoryview, level: int = 0) -> Any:
    """The same as ``msgspec.json.decode``.

    :raises msgspec.DecodeError, UnicodeDecodeError, RecursionError: it is not JSON, but not always for the same reason.
    """
    if len(data) <= SLICE or level == _LEVELS:
        return _any.decode(data)
    begin = _OPENING.match(data)
    opening = begin[1] if begin is not None else b""
    if opening == b"{":
        members = _objects.decode(data)
        return dict(zip(members, _decode_values(members.values(), level), strict=True))
    if opening == b"[":
        return _decode_values(_arrays.decode(data), level)
    return decode_text(data) if opening == b'"' else _any.decode(data)


def _decode_values(values: Iterable[Raw], level: int) -> list[Any]:
    return decode_items(values, _any_list.decode, lambda part: decode_sliced(part, level + 1))


def decode_text(data: bytes | memoryview) -> str:
    """A string, decoded in slices: one of 29 MB that consists of escapes takes 80 ms otherwise.

    :param data: its JSON.
    :raises msgspec.DecodeError, UnicodeDecodeError: it is no string.
    """
    if len(data) <= TEXT_SLICE:
        return _text.decode(data)
    data = bytes(data).strip(b" \t\r\n")
    if len(data) <= TEXT_SLICE or data[:1] != b'"' or data[-1:] != b'"':
        return _text.decode(data)
    parts: list[str] = []
    view, begin, end = memoryview(data), 1, len(data) - 1
    while begin < end:
        cut = min(begin + max(TEXT_SLICE, 2 * _LONGEST_ESCAPE), end)
        if cut < end:
            cut = _before_character(data, begin, cut)
        parts.append(_text.decode(b"".join((b'"', view[begin:cut], b'"'))))  # copied once: a copy is most of the time
        begin = cut
    return "".join(parts)


def _before_character(data: bytes, begin: int, cut: int) -> int:
    """The last place up to ``cut`` in a string that is not inside of a character, an escape or a surrogate pair.

    :param begin: such a place. If there is no other one, this is no string, and ``cut`` is returned.
    """
    place = cut
    while place > max(begin, cut - _LONGEST_CHARACTER) and data[place] & 0xC0 == 0x80:  # UTF-8
        place -= 1
    escape = _escape_before(data, begin, place)
    if escape >= 0 and escape + (_LONGEST_ESCAPE if data[escape + 1 : escape + 2] == b"u" else 2) > place:
        place = escape
    escape = _escape_before(data, begin, place)
    if escape == place - _LONGEST_ESCAPE and _HIGH_SURROGATE.match(data, escape + 1):
        place = escape
    return place if place > begin else cut


def _escape_before(data: bytes, begin: int, place: int) -> int:
    """Where the escape begins that may reach up to a place; -1 if none does."""
    backslash = data.rfind(b"\\", max(begin, place - _LONGEST_ESCAPE), place)
    if backslash < 0:
        return -1
    run = data[begin : backslash + 1]
    if (len(run) - len(run.rstrip(b"\\"))) % 2:
        return backslash
    return backslash - 1  # an escaped backslash


def encode_long_texts(values: list[Any]) -> list[Any]:
    """The list with the long strings inside of its items encoded."""
    if not _has_long_text(values):
        return values
    return [encode_texts(value) if _has_long_text(value) else value for value in values]


def _has_long_text(value: Any) -> bool:
    level = [value]
    while level:
        inner: list[Any] = []
        for held in level:
            kind = type(held)
            if held is None:  # most members of a struct
                continue
            if kind is str:
                if len(held) > TEXT_SLICE:
                    return True
            elif kind is dict:
                inner += held.values()
            elif kind is list:
                inner += held
            elif isinstance(held, Struct):
                inner += astuple(held)
        level = inner
    return False


def encode_texts(value: Any, level: int = 0) -> Any:
    """The value with its long strings encoded: one call of the encoder has only to copy those.

    :param value: of lists, dicts, structs and what JSON has besides; is not changed.
    """
    if isinstance(value, str):
        return encode_text(value) if len(value) > TEXT_SLICE else value
    if level == _ENCODED_LEVELS:
        return value
    if isinstance(value, list):
        items = [encode_texts(item, level + 1) for item in value]
        return items if any(map(operator.is_not, items, value)) else value
    if isinstance(value, dict):
        members = {key: encode_texts(member, level + 1) for key, member in value.items()}
        return members if any(map(operator.is_not, members.values(), value.values())) else value
    if isinstance(value, Struct):
        held = {name: getattr(value, name) for name in value.__struct_fields__}
        encoded = encode_texts(held, level)
        return value if encoded is held else replace(value, **encoded)
    return value


def encode_text(text: str) -> Raw:
    """A string, encoded in slices."""
    if len(text) <= TEXT_SLICE:
        return Raw(_encode(text))
    parts = [_encode(text[begin : begin + TEXT_SLICE])[1:-1] for begin in range(0, len(text), TEXT_SLICE)]
    return Raw(b"".join((b'"', *parts, b'"')))


def decode_struct(data: bytes, decoder: msgspec.json.Decoder[S]) -> S:
    """The same as ``decoder.decode``, with long strings and free-form objects of the struct decoded in slices.

    :param decoder: of a struct whose dicts may hold anything.
    :raises msgspec.DecodeError, UnicodeDecodeError, RecursionError:
    """
    try:
        members = _objects.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decoder.decode(data)  # which says more
    long: dict[str, bytes] = {}
    for name, raw in members.items():
        if memoryview(raw).nbytes > SLICE and bytes(memoryview(raw)[:1]) in _EMPTY:
            long[name] = bytes(raw)
    if not long:
        return decoder.decode(data)
    try:
        short = decoder.decode(_encode({**members, **{name: _EMPTY[raw[:1]] for name, raw in long.items()}}))
    except msgspec.ValidationError:
        return decoder.decode(data)
    for name, encoded in zip(short.__struct_fields__, short.__struct_encode_fields__, strict=True):
        if encoded in long:
            text, value = long[encoded], getattr(short, name)
            if isinstance(value, Raw):
                setattr(short, name, Raw(text))
            elif isinstance(value, str | dict):
                setattr(short, name, decode_sliced(text))
            else:  # a struct inside
                return decoder.decode(data)
    return short


def decode_items(
    items: Iterable[Raw], decode: Callable[[bytes], list[T]], decode_one: Callable[[memoryview], T] | None = None
) -> list[T]:
    """The items of an array.

    :param decode: decodes an array of some of them.
    :param decode_one: decodes one that is larger than a slice.
    """
    decoded: list[T] = []
    for part in slices(items):
        if decode_one is not None and len(part) == 1:
            decoded.append(decode_one(memoryview(part[0])))
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

"""Ids that sort by time: UUIDs of version 7 (RFC 9562, 5.7), and their text form ``req_`` and 26 letters and digits.

The 12 bits after the millisecond are its microseconds, so that ids made at different times never depend on chance to
sort; the last 62 bits are random. Text has Crockford's base32 in lower case, which sorts as the bytes do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

#: The prefix of ids of ledger rows.
REQUEST: Final = "req_"
#: Microseconds that a clock may step back and ids still rise; a clock that steps back further was wrong before.
STEP_BACK: Final = 10_000_000

_RANDOM_BYTES: Final = 8
_RANDOM_BLOCK: Final = 64 * _RANDOM_BYTES
#: The last 62 bits.
_LOW: Final = (1 << 62) - 1
_TICKS: Final = 1 << 12  # of a millisecond
#: Of a clock that steps back.
_LATE: Final = STEP_BACK * _TICKS // 1000
#: Ticks that have 48 bits of milliseconds.
_END: Final = 1 << 60
_VERSION: Final = 7 << 76
_VARIANT: Final = 2 << 62
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS: Final = 26
#: Two digits at once, and where in a number they are.
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_SHIFTS: Final = range(5 * (_DIGITS - 2), -1, -10)
_VALUES: Final = {
    **{letter: value for value, letter in enumerate(_ALPHABET)},
    "o": 0,
    "i": 1,
    "l": 1,  # as Crockford has them read
}


def uuid7(at: int, random: bytes) -> bytes:
    """An id of this time.

    :param at: microseconds in UTC.
    :param random: at least 8 bytes, of which the last 62 bits are used.
    :raises ValueError: the time is before 1970 or after 10889.
    """
    return _build(_tick(at), int.from_bytes(random) & _LOW)


class Uuid7s:
    """Makes the ids of one process: each is above the one before, also where the clock stands still or steps back.

    :param random: returns N random bytes. They are used up before it is called again, because a call may be dear; so
        nothing of this must be carried into a forked process.
    """

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._unused: list[int] = []
        self._last = -1

    def new(self, at: int) -> bytes:
        """An id of this time, or of shortly after. :raises ValueError: as ``uuid7``."""
        tick = _tick(at)
        last = self._last
        if tick <= last <= tick + _LATE:
            tick = last + 1
        self._last = tick
        if not self._unused:
            numbers = struct.iter_unpack(">Q", self._random(_RANDOM_BLOCK))
            self._unused = [number & _LOW for (number,) in numbers]
        return _build(tick, self._unused.pop())


def format_id(id: bytes, prefix: str = REQUEST) -> str:
    """16 bytes -> ``req_01jd…``."""
    number = int.from_bytes(id)
    return prefix + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def parse_id(text: str, prefix: str = REQUEST) -> bytes:
    """``req_01jd…``, in upper or lower case -> 16 bytes. :raises ValueError: it is not such an id."""
    written = text.lower()
    values = [_VALUES.get(letter) for letter in written.removeprefix(prefix)]
    number = 0
    for value in values:
        if value is None:
            break
        number = number << 5 | value
    else:
        if written.startswith(prefix) and len(values) == _DIGITS and number < 1 << 128:
            return number.to_bytes(16)
    raise ValueError(f"{text!r} is not an id such as {prefix}01jd0000000000000000000000")


def _tick(at: int) -> int:
    """Microseconds -> units of 1/4096 millisecond."""
    tick = at * _TICKS // 1000
    if not 0 <= tick < _END:
        raise ValueError(f"{at} microseconds do not fit into an id")
    return tick


def _build(tick: int, low: int) -> bytes:
    """:param low: 62 bits."""
    return ((tick >> 12) << 80 | _VERSION | (tick & 0xFFF) << 64 | _VARIANT | low).to_bytes(16)

"""Costs of very many series, packed by blocks of days: which blocks there are, and how they are added up.

A block is of a day, of a third of a month (from the 1st, the 11th and the 21st on), of a month or of a quarter of a
year, in UTC. Those that are added up for a period lie within it: what has usage in one of them has some in the period.
Costs alone may be taken from a third of a month, to read fewer days of it; see ``rests``.

Most series have usage in a longer block. It is *dense*: one long integer, in which the cost of series N counts
2 ** (64 * N). So all series of two blocks are added up by one addition of two numbers.
"""

from __future__ import annotations

import itertools
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import neg
from typing import Final, Literal, NamedTuple

from modelmux.store.ledger.slots import DAY, Part, additive_parts, first_day, month_of

#: Days of a month at which its thirds begin.
_THIRDS: Final = (0, 10, 20)
#: Months of a quarter of a year.
_QUARTER: Final = 3
#: Bytes of the number of a series, and of a cost.
_NUMBER: Final = 4
_COST: Final = 8
#: The sign of a cost alone.
_SIGN: Final = b"\0\0\0\0\0\0\0\x80"
#: A block is dense if more than one in so many series has usage: it has a third more bytes at most.
_DENSE: Final = 2
_ONE: Final = ord("1")
#: Digits of a number in base 2 -> 0 and 1.
_DIGITS: Final = bytes.maketrans(b"01", b"\0\1")


class Block(NamedTuple):
    """:param first: days since 1970. :param days: how many."""

    first: int
    days: int

    @property
    def end(self) -> int:
        return self.first + self.days


class Packed(NamedTuple):
    """See the columns of ``cost_block`` in the migration 0010."""

    series: bytes
    costs: bytes
    present: bytes


def pack(costs: Mapping[int, int]) -> Packed:
    """:param costs: number of a series -> nano-USD, of less than 62 bits."""
    series = sorted(costs)
    count = max(series, default=-1) + 1
    present = bits(series).to_bytes((count + 7) // 8, "little")
    if _DENSE * len(series) > count:
        return Packed(b"", _joined([costs.get(number, 0) for number in range(count)]), present)
    return Packed(
        struct.pack(f"<{len(series)}I", *series),
        struct.pack(f"<{len(series)}q", *(costs[number] for number in series)),
        present,
    )


def is_damaged(packed: Packed) -> bool:
    """Whether the parts of a block do not fit each other."""
    if not packed.series:
        return len(packed.costs) % _COST != 0 or len(packed.present) != (len(packed.costs) // _COST + 7) // 8
    return len(packed.series) % _NUMBER != 0 or len(packed.costs) * _NUMBER != len(packed.series) * _COST


def unpack(packed: Packed) -> dict[int, int]:
    """Number of a series -> nano-USD. :param packed: not damaged."""
    if packed.series:
        return dict(_pairs(packed))
    count = len(packed.costs) // _COST
    costs = _apart(_long(packed), count)
    return {number: costs[number] for number in itertools.compress(range(count), flags(_present(packed), count))}


class Addend(NamedTuple):
    """What is added of a block.

    :param sign: of its costs; 0 if they are added with those of others. :param usage: whether it tells who has usage.
    """

    packed: Packed
    sign: Literal[-1, 0, 1] = 1
    usage: bool = True


class Costs:
    """Sums of costs: of blocks, and of rows. A row is the number of a series, which may have several, and nano-USD.

    :param most: the highest number of a series.
    """

    def __init__(self, most: int, addends: Iterable[Addend] = ()) -> None:
        self._count = most + 1
        self.addends = list(addends)
        self.rows: list[tuple[int, int]] = []

    def sums(self) -> tuple[Sequence[int], bytes]:
        """Of each number, nano-USD, and whether that series has usage: 0 or 1.

        :raises IndexError: something was added of a series that there is not.
        """
        long, present, pairs = 0, bits(series for series, _ in self.rows), [iter(self.rows)]
        for packed, sign, usage in self.addends:
            if usage:
                present |= int.from_bytes(packed.present, "little")
            if packed.series and sign:
                pairs.append(_pairs(packed, sign))
            else:
                long += sign * _long(packed)
        if present.bit_length() > self._count:
            raise IndexError(present.bit_length())
        try:
            costs = _apart(long, self._count)
            for series, cost in itertools.chain.from_iterable(pairs):
                costs[series] += cost
        except OverflowError as error:
            raise IndexError(self._count) from error
        return costs, flags(present, self._count)

    def by_series(self) -> dict[int, int]:
        """Of all that have usage."""
        costs, present = self.sums()
        return dict(itertools.compress(enumerate(costs), present))


def flags(numbers: int, count: int) -> bytes:
    """A byte of 0 or 1 for each of the lowest bits of a number."""
    return f"{numbers:0{count}b}".encode()[::-1].translate(_DIGITS)


def full_days(low: int, high: int, sealed: int) -> tuple[range, list[Part]]:
    """The days within a period, and what of it is before and after them.

    :param low, high: microseconds, on quarters of an hour. :param sealed: see ``additive_parts``.
    """
    first, end = -(-low // DAY), high // DAY
    if first >= end:
        return range(0), additive_parts(low, high, sealed)
    edges = [*additive_parts(low, first * DAY, sealed), *additive_parts(end * DAY, high, sealed)]
    return range(first, end), edges


def chosen(days: range, known: Iterable[Block]) -> tuple[list[Block], list[range]]:
    """The fewest of the blocks that there are for some days, and the days that no block has."""
    longest = {one.first: one for one in sorted(known) if one.end <= days.stop}
    blocks, others, day = list[Block](), list[range](), days.start
    for block in longest.values():
        if block.first > day:
            others.append(range(day, block.first))
        if block.first >= day:  # else it is within the one before
            blocks.append(block)
            day = block.end
    if day < days.stop:
        others.append(range(day, days.stop))
    return blocks, others


def rests(blocks: Iterable[Block], known: Iterable[Block]) -> dict[Block, list[Block]]:
    """Thirds of months of which more days are among some blocks than not -> their other days. Their costs are those of
    the third less those of its other days, which are fewer to read.

    :param known: all that there are, of these months. A day of a third without a block has no usage in it.
    """
    there, chosen_days = set(known), {block for block in blocks if block.days == 1}
    thirds: dict[Block, list[Block]] = {}
    for third in {longer(block.first)[0] for block in chosen_days} & there:
        days = [block for block in (Block(day, 1) for day in range(third.first, third.end)) if block in there]
        rest = [block for block in days if block not in chosen_days]
        if len(rest) + 1 < len(days) - len(rest):  # the third is read as well
            thirds[third] = rest
    return thirds


def longer(day: int) -> list[Block]:
    """The third of a month, the month and the quarter of a year that have a day."""
    month = month_of(day)
    quarter = month // _QUARTER * _QUARTER
    first, after = first_day(month), first_day(month + 1)
    bounds = [*(first + offset for offset in _THIRDS), after]
    start, end = next((low, high) for low, high in itertools.pairwise(bounds) if day < high)
    begin = first_day(quarter)
    return [Block(start, end - start), Block(first, after - first), Block(begin, first_day(quarter + _QUARTER) - begin)]


def missing(known: Iterable[Block], before: int) -> Block | None:
    """A block of several days that can be made of others. :param before: days from this one on have no blocks yet."""
    there = set(known)
    wanted = {block for one in there if one.days == 1 for block in longer(one.first) if block.end <= before}
    return min(wanted - there, key=lambda block: (block.days, block.first), default=None)


def bits(numbers: Iterable[int]) -> int:
    """A number with these bits."""
    some = list(numbers)
    digits = bytearray(b"0") * (max(some, default=0) + 1)
    for number in some:
        digits[number] = _ONE
    digits.reverse()
    return int(digits, 2)


def _pairs(packed: Packed, sign: int = 1) -> Iterator[tuple[int, int]]:
    costs: Iterable[int] = _numbers("q", packed.costs)
    return zip(_numbers("I", packed.series), costs if sign > 0 else map(neg, costs), strict=True)


def _numbers(kind: Literal["I", "q"], packed: bytes) -> array[int]:
    """Of 4 bytes, or of 8 with a sign."""
    numbers = array(kind, packed)
    if sys.byteorder == "big":  # pragma: no cover - which no machine of the tests has
        numbers.byteswap()
    return numbers


def _long(packed: Packed) -> int:
    return int.from_bytes(packed.costs, "little", signed=True)


def _present(packed: Packed) -> int:
    return int.from_bytes(packed.present, "little")


def _joined(costs: Sequence[int]) -> bytes:
    """Costs as one long integer. With its sign inverted, each is a number of 64 bits that is 2 ** 63 too large."""
    signs = int.from_bytes(_SIGN * len(costs), "little")
    number = (int.from_bytes(struct.pack(f"<{len(costs)}q", *costs), "little") ^ signs) - signs
    return number.to_bytes(len(costs) * _COST, "little", signed=True)


def _apart(number: int, count: int) -> array[int]:
    """The costs of a long integer: the inverse of ``_joined``. :raises OverflowError: there are more of them."""
    costs = number.to_bytes(count * _COST, "little", signed=True)
    if not costs[_COST - 1 :: _COST].isascii():  # else no cost has a sign, and none took anything from the one after it
        signs = int.from_bytes(_SIGN * count, "little")
        costs = ((number + signs) ^ signs).to_bytes(count * _COST, "little")
    return _numbers("q", costs)

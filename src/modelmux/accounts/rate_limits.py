"""Counting within any minute: at most a limit in any 60 seconds, whenever they begin.

Time is divided into ticks of half a second. A cell has the sum of all amounts, the last tick in which something was
added, and for each of the last ``RING`` ticks the sum of before it. So what counts in the last minute is one
subtraction, however much happened. It covers the last 120 ticks and the one that runs: an amount counts for 60 to
60.5 seconds, never for less.

A cell has one writer. Several cells of one limit, one of each process, add up, and may be read at any time while others
write. (The time at which a bucket is full again, which GCRA keeps in a float, does not add up.) Cells are slices of any
array of 64-bit integers, which may be shared memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol

TICKS_PER_SECOND: Final = 2
#: Ticks of a minute.
MINUTE: Final = 60 * TICKS_PER_SECOND
#: A few ticks more than are read, because another process may be ahead.
RING: Final = 128
#: Integers of a cell.
CELL: Final = 2 + RING
_TOTAL: Final = 0
#: Of a cell, the index of the last tick in which something was added.
LAST: Final = 1
_RING: Final = 2
_MASK: Final = RING - 1


class Cells(Protocol):
    """An array of 64-bit integers: a ``memoryview``, or a list."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


def tick_at(seconds: float) -> int:
    """:param seconds: of a clock that all processes share and that never goes back."""
    return int(seconds * TICKS_PER_SECOND)


def used(cells: Cells, starts: Sequence[int], tick: int) -> int:
    """What counts at a tick.

    :param starts: index of each cell of the limit.
    """
    first = tick - MINUTE
    amount = 0
    for start in starts:
        if cells[start + 1] >= first:
            amount += cells[start] - cells[start + 2 + (first & _MASK)]
    return amount


def add(cells: Cells, start: int, tick: int, amount: int) -> None:
    """Count an amount from now on. Only the writer of the cell may call this."""
    total, last = cells[start], cells[start + LAST]
    if tick > last:
        for each in range(max(last + 1, tick - RING + 1), tick + 1):
            cells[start + _RING + (each & _MASK)] = total
        cells[start + LAST] = tick
    cells[start + _TOTAL] = total + amount


def correct(cells: Cells, start: int, added: int, tick: int, more: int) -> None:
    """Change what was added before: a part of it was not used, or more was.

    What was not used is taken away from the tick in which it was added, so it is never taken away for longer than it
    counted. What was used in addition counts from now on.

    :param added: the tick of before.
    """
    if more > 0:
        add(cells, start, tick, more)
    elif more < 0 and added >= tick - MINUTE:
        for each in range(added + 1, cells[start + LAST] + 1):  # first these: meanwhile, too much counts
            cells[start + _RING + (each & _MASK)] += more
        cells[start + _TOTAL] += more


def ticks_until(cells: Cells, starts: Sequence[int], tick: int, room: int) -> int:
    """Ticks until no more than an amount counts, if nothing is added; 0 if it is so now.

    :param room: at least 0.
    """
    low, high = 0, MINUTE + 1 + max(max(cells[start + LAST] for start in starts) - tick, 0)
    while low < high:
        middle = (low + high) // 2
        if used(cells, starts, tick + middle) <= room:
            high = middle
        else:
            low = middle + 1
    return low


def seconds_until(ticks: int, now: float) -> float:
    """From now until so many ticks after the one that runs begin; 0 for none."""
    return (math.floor(now * TICKS_PER_SECOND) + ticks) / TICKS_PER_SECOND - now if ticks else 0.0


def is_idle(cells: Cells, starts: Sequence[int], tick: int) -> bool:
    """Whether nothing counts any more, and nothing is left to correct."""
    return all(cells[start + LAST] < tick - RING for start in starts)


def fits(used: int, needed: int, limit: int) -> bool:
    """Whether a request is within a limit. One that is estimated at more than the whole limit is, if it is alone: an
    estimate is too high, and it would be refused for ever."""
    return used + needed <= limit or (used <= 0 and needed > limit)

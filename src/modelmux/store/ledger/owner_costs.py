"""What keys or people cost of which all series count: sums of blocks, and what was used before, after and later.

Blocks of days that are over rarely change, and a page that is loaded again asks for the same ones. To add them up by
key takes most of the time, so the sums of the last two questions are kept. Their key is the bytes of the blocks
themselves: sums of a block that was made anew are never taken for those of before.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from array import array
from collections.abc import Iterable, MutableSequence
from typing import Final, NamedTuple

from modelmux.store.ledger.cost_blocks import Addend, Costs

#: Bytes of the blocks of a question whose sums are kept: a year of 400,000 series has 22 MB.
_MOST_CACHED: Final = 32 * 1024 * 1024
#: Owners that may come until sums of blocks are added up anew.
_SPARE: Final = 4_096


class OwnerCosts(NamedTuple):
    """By number of a key or person: nano-USD, and 1 for one that has usage, else 0."""

    costs: MutableSequence[int]
    used: bytearray


def costs_of_owners(costs: Costs, owners: array[int], count: int) -> OwnerCosts:
    """
    :param owners: by number of a series, that of its key or person. :param count: more than the highest of them.
    :raises IndexError: something was added of a series or an owner that there is not.
    """
    # Series and keys are added all the time: what came after the blocks changes nothing in their sums.
    last = max((8 * len(one.packed.present) for one in costs.addends), default=0)
    is_cached = sum(len(part) for one in costs.addends for part in one.packed) <= _MOST_CACHED
    of_blocks = _of_blocks if is_cached else _of_blocks.__wrapped__
    before = of_blocks(tuple(costs.addends), owners[:last].tobytes(), -(-count // _SPARE) * _SPARE)
    if any(before.used[count:]):
        raise IndexError(count)
    sums = OwnerCosts(before.costs[:count], before.used[:count])
    _add(sums, ((owners[series], cost) for series, cost in costs.rows))
    return sums


def most_expensive(sums: OwnerCosts, most: int) -> dict[int, int]:
    """Those that cost most, and those that cost as much as the last of them: number -> cost."""
    least = heapq.nlargest(most, itertools.compress(sums.costs, sums.used))[-1:]
    if not least:
        return {}
    (limit,) = least
    return {number: cost for number, cost in enumerate(sums.costs) if cost >= limit and sums.used[number]}


@functools.lru_cache(maxsize=2)
def _of_blocks(addends: tuple[Addend, ...], owners: bytes, count: int) -> OwnerCosts:
    """Not to be changed. :raises IndexError: see ``costs_of_owners``."""
    numbers = array("I", owners)
    sums = OwnerCosts([0] * count, bytearray(count))
    costs, used = Costs(len(numbers) - 1, addends).sums()
    _add(sums, zip(itertools.compress(numbers, used), itertools.compress(costs, used), strict=True))
    return sums


def _add(sums: OwnerCosts, some: Iterable[tuple[int, int]]) -> None:
    costs, used = sums
    for number, cost in some:
        costs[number] += cost
        used[number] = 1

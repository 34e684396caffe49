"""The groups that cost most, of very many, without the exact sum of each.

Exact sums of 200,000 groups are as many integers somewhere in memory, and to reach them takes most of the time. So
*rough* sums come first: a byte for each group, in which each series counts its cost in units, rounded up. What a group
costs is below its rough sum. So only those groups are added up exactly whose rough sum is not below what the last of
the most expensive ones costs.
"""

from __future__ import annotations

import heapq
import itertools
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import add
from typing import Final, NamedTuple

#: Bytes of rough sums, at most.
_MOST_SUMS: Final = 8_000_000
#: Groups that are not the first of their owner, before rough sums of owners are too high for those of their groups.
_MOST_OTHERS: Final = 2_000
#: Groups whose exact sums are reached soon enough.
_FEW_SUMS: Final = 32_768
#: Bits of a sum of series of which one in 100 costs more, in units. The unit is doubled where sums get too large.
_BITS: Final = 8
#: Groups whose rough sums do not fit into a byte, before the unit is doubled.
_MOST_LARGE: Final = 250
_SAMPLE: Final = 1_000
#: Of one owner.
_BYTES: Final = 4
_LARGEST: Final = 255
_HALVED: Final = bytes((value + 1) // 2 for value in range(_LARGEST + 1))


class OfSeries(NamedTuple):
    """By number of a series.

    :param owners: numbers of its key or person, of 4 bytes; one or two such columns.
    :param groups: the number of its team, model and tags. :param costs: nano-USD.
    :param used: 1 if it has usage, else 0.
    """

    owners: Sequence[array[int]]
    groups: Sequence[int]
    costs: Sequence[int]
    used: bytes


class Expensive(NamedTuple):
    """
    :param costs: those that cost most and those that cost as much as the last of them: a series of each -> nano-USD.
    :param groups: how many there are with usage.
    """

    costs: dict[int, int]
    groups: int


def most_expensive(of: OfSeries, count: int, parts: int, part_of: Sequence[int], most: int) -> Expensive:
    """A group is an owner, or a pair of them, with a part: some teams, models and tags.

    :param count: more than the highest number of the first owners. :param parts: how many.
    :param part_of: by number of teams, models and tags; -1 if they do not count. :param most: groups, at least 1.
    """
    owners = of.owners[0]
    values: Sequence[int] = owners if len(of.owners) == 1 else _joined(*of.owners)
    if min(part_of, default=0) < 0:
        counts = bytes(map([part >= 0 for part in part_of].__getitem__, of.groups))
        of = of._replace(used=_both(of.used, counts))
    if count * parts <= _FEW_SUMS:
        exact = _ExactSums(of, values, part_of)
        return Expensive(exact.of_series(most), len(exact))
    groups = _groups(of, values, count, parts, part_of)
    if groups is not None:
        rough = _RoughSums(of, owners, count, 1, part_of)  # of all groups of an owner, which are enough
    else:
        rough = _rough_sums(of, values, count, parts, part_of)
    rough.add_all()
    levels = rough.levels()
    costs = _exact_costs(of, values, part_of, rough, _level(levels, most, of.used.count(1)), most)
    return Expensive(costs, levels.total() if groups is None else groups)


def _groups(of: OfSeries, values: Sequence[int], count: int, parts: int, part_of: Sequence[int]) -> int | None:
    """How many groups have usage, if about as many as first owners: most keys have one person, most people one team.

    :param values: of owners, or of pairs. :returns: None if they are more, or are counted with their sums.
    """
    if len(of.owners) > 1:
        return len(set(itertools.compress(values, of.used))) if parts == 1 else None
    if parts == 1:
        return None
    first, others = [-1] * count, set[tuple[int, int]]()
    columns = (of.owners[0], map(part_of.__getitem__, of.groups))
    for owner, part in zip(*(itertools.compress(column, of.used) for column in columns), strict=True):
        if first[owner] != part:
            if first[owner] < 0:
                first[owner] = part
                continue
            others.add((owner, part))
            if len(others) > _MOST_OTHERS:
                return None
    return count - first.count(-1) + len(others)


def _rough_sums(of: OfSeries, values: Sequence[int], count: int, parts: int, part_of: Sequence[int]) -> _RoughSums:
    """A byte for each group that there may be; for each that there is, if those are too many."""
    owners = of.owners[0]
    if len(of.owners) > 1:
        owners = _first_with(values)
        count = len(owners)
    if count * parts <= _MOST_SUMS:
        return _RoughSums(of, owners, count, parts, part_of)
    with_parts = _joined(owners, array("I", map([max(0, part) for part in part_of].__getitem__, of.groups)))
    return _RoughSums(of, _first_with(with_parts), len(owners), 1, part_of)


class _RoughSums:
    """Of each owner and part, a byte: no group costs as many units, and what has no usage has 0.

    :param count: more than the highest number of an owner.
    """

    def __init__(self, of: OfSeries, owners: array[int], count: int, parts: int, part_of: Sequence[int]) -> None:
        self._of, self.owners = of, owners
        self._sums = [bytearray(count) for _ in range(parts)]
        #: By number of teams, models and tags; the first of all if there is one part.
        self._sums_of = [self._sums[part] for part in part_of] if parts > 1 else self._sums
        #: Of a unit, as a power of two.
        self.unit = _unit(of, count * parts)
        #: Owners whose sums were too large, and began again.
        self._large: set[int] = set()

    def add_all(self) -> None:
        groups = self._of.groups if len(self._sums) > 1 else bytes(len(self.owners))
        columns = (itertools.compress(column, self._of.used) for column in (self.owners, groups, self._of.costs))
        sums_of, unit, most = self._sums_of, self.unit, _MOST_LARGE
        for owner, group, cost in zip(*columns, strict=True):
            try:
                sums_of[group][owner] += (cost >> unit) + 1 if cost > 0 else 1
            except ValueError:
                sums_of[group][owner] = 1
                self._large.add(owner)
                if len(self._large) > most:
                    most += _MOST_LARGE
                    unit += 1
                    for sums in self._sums:
                        sums[:] = sums.translate(_HALVED)
        self.unit = unit

    def levels(self) -> Counter[int]:
        """How many groups with usage have each sum."""
        return Counter(b"".join(sums.translate(None, b"\0") for sums in self._sums))

    def at_least(self, level: int) -> list[int]:
        """Series whose owner has a sum that is as large, or was too large."""
        table = bytes(value >= level for value in range(_LARGEST + 1))
        owners = bytearray(self._sums[0].translate(table))
        for sums in self._sums[1:]:
            owners[:] = _either(owners, sums.translate(table))
        for owner in self._large:
            owners[owner] = 1
        found = bytes(map(list(owners).__getitem__, self.owners))
        return [match.start() for match in re.finditer(b"\1", _both(found, self._of.used))]


class _ExactSums:
    """What groups cost, of some series.

    :param of: of each of the series. :param owners: of each, as one number. :param part_of: see ``most_expensive``.
    """

    def __init__(self, of: OfSeries, owners: Sequence[int], part_of: Sequence[int]) -> None:
        self._of, self._owners = of, owners
        most = max(owners, default=0) + 1
        self._offsets = [part * most for part in part_of]
        sums: dict[int, int] = {}
        get = sums.get
        for group, cost in zip(*(itertools.compress(one, of.used) for one in (self._groups(), of.costs)), strict=True):
            sums[group] = get(group, 0) + cost
        self._sums = {group: cost for group, cost in sums.items() if group >= 0}  # others do not count

    def __len__(self) -> int:
        return len(self._sums)

    def least(self, most: int) -> int:
        """What the last of the most expensive costs. There is one."""
        return heapq.nlargest(most, self._sums.values())[-1]

    def of_series(self, most: int) -> dict[int, int]:
        """See ``Expensive.costs``; series by their index here."""
        least = self.least(most) if self._sums else 0
        costs = {group: cost for group, cost in self._sums.items() if cost >= least}
        series: dict[int, int] = {}
        for index, group in itertools.compress(enumerate(self._groups()), self._of.used):
            if group in costs:
                series[index] = costs.pop(group)
                if not costs:
                    break
        return series

    def _groups(self) -> Iterator[int]:
        return map(add, map(self._offsets.__getitem__, self._of.groups), self._owners)


def _exact_costs(
    of: OfSeries, owners: Sequence[int], part_of: Sequence[int], rough: _RoughSums, level: int, most: int
) -> dict[int, int]:
    """See ``Expensive.costs``. :param level: the rough sum from which on they are looked for first."""
    while True:
        series = rough.at_least(level)
        groups, costs = (list(map(column.__getitem__, series)) for column in (of.groups, of.costs))
        some = OfSeries(of.owners, groups, costs, b"\1" * len(series))
        sums = _ExactSums(some, list(map(owners.__getitem__, series)), part_of)
        # A group with a smaller rough sum than this costs less.
        needed = max(1, (sums.least(most) >> rough.unit) + 1) if len(sums) >= most else 1
        if needed >= level:
            return {series[index]: cost for index, cost in sums.of_series(most).items()}
        level = needed


def _unit(of: OfSeries, groups: int) -> int:
    """Any is right: if it is too small, it is doubled, and if it is too large, more groups are added up exactly."""
    step = len(of.used) // _SAMPLE + 1
    some = sorted(cost for cost in itertools.compress(of.costs[::step], of.used[::step]) if cost > 0)
    if not some:
        return 0
    return max(0, (some[len(some) * 99 // 100] * max(1, of.used.count(1) // groups)).bit_length() - _BITS)


def _level(levels: Counter[int], most: int, series: int) -> int:
    """The rough sum that the most expensive groups have at least, most likely. :param series: how many there are."""
    count = level = 0
    for level in range(_LARGEST, 0, -1):
        count += levels[level]
        if count >= most:
            break
    return max(1, level - series // max(1, levels.total()) // 2 - 2)


def _joined(one: array[int], other: array[int]) -> memoryview:
    """Two numbers of 4 bytes each as one of 8."""
    both = memoryview(bytearray(2 * _BYTES * len(one))).cast("I")
    both[::2], both[1::2] = memoryview(one), memoryview(other)
    return both.cast("B").cast("Q")


def _first_with(numbers: Iterable[int]) -> array[int]:
    """By number of a series, that of the first one with the same."""
    first: dict[int, int] = {}
    return array("I", map(first.setdefault, numbers, itertools.count()))


def _both(one: bytes, other: bytes) -> bytes:
    """Of bytes that are 0 or 1."""
    return (int.from_bytes(one, "big") & int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _either(one: bytes | bytearray, other: bytes | bytearray) -> bytes:
    return (int.from_bytes(one, "big") | int.from_bytes(other, "big")).to_bytes(len(one), "big")

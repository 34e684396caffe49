"""Sums of rows by series, by group and by slot of time, and where a row counts: the same in every engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import add
from typing import Final, NamedTuple, TypeVar

from modelmux.store.ledger.slots import OF_SLICES, QUARTER, QUARTERS, QUARTERS_OF_HOUR, SliceTable, Table, month_of
from modelmux.store.ledger.sqlite_rows import COSTS, COUNTS, KINDS, Row, is_displaced, is_failed, pack, rest_of

#: Different sets of tags that rollups have for one day; further ones are added up as ``OTHER``.
MOST_TAG_SETS: Final = 1_000
#: In the column ``tags`` of a series; JSON, but not of pairs.
OTHER: Final = '"other"'
#: Contexts after which those of new rows lack what clients choose, which each row has then for itself.
MOST_CONTEXTS: Final = 20_000
#: Numbers of texts in memory. The cache is emptied when it has so many.
_MOST_CACHED: Final = 50_000

#: Columns of a rollup that are sums, in the order of its table.
SUMS: Final = ("requests", "errors", "unpriced", *COUNTS, *COSTS)
UNPRICED: Final = SUMS.index("unpriced")
#: Of a series that there is not, which only a damaged database has.
NO_GROUP: Final = 0
_ZERO_COST: Final = (0,) * len(COSTS)
#: Table -> the slot of a quarter of an hour in it.
_SLOT_OF: Final[dict[Table, Callable[[int], int]]] = {
    "usage_quarter": lambda slot: slot,
    "usage_hour": lambda slot: slot // QUARTERS_OF_HOUR,
    "usage_day": lambda slot: slot // QUARTERS,
    "usage_month": lambda slot: month_of(slot // QUARTERS),
}

Key = TypeVar("Key")
Value = TypeVar("Value")
#: (slot, series) -> values of ``SUMS``.
Rollup = dict[tuple[int, int], list[int]]


class Series(NamedTuple):
    """Where a row counts.

    :param row_tags: all tags of the row, if they are others than those of the series.
    """

    key: int
    number: int
    row_tags: str | None


def new_rollup() -> Rollup:
    return defaultdict(lambda: [0] * len(SUMS))


def columns_of(row: Row, series: Series, context: int, *, with_choices: bool) -> tuple[object, ...]:
    """The values of the columns of a row.

    :param with_choices: the row has what the client chose, which its context lacks.
    """
    entry, numbers = row
    return (
        entry.id, entry.at, series.key, series.number, context, KINDS.index(entry.kind), is_failed(entry),
        is_displaced(entry), entry.corrects, pack(entry.end_user), series.row_tags, *numbers,
        rest_of(entry, with_choices=with_choices),
    )  # fmt: skip


def count(quarters: Rollup, row: Row, series: int) -> None:
    """Add a row to the rollups by quarter of an hour."""
    entry, numbers = row
    counted = numbers if entry.cost is not None else numbers[: -len(COSTS)] + _ZERO_COST
    sums = quarters[entry.at // QUARTER, series]
    sums[:] = map(add, sums, (entry.corrects is None, is_failed(entry), 0, *counted))


def priced_targets(new: Mapping[bytes, Row]) -> set[bytes]:
    """Requests that may lack a price, or may have one, since the new rows came: they or corrections of them."""
    targets = set()
    for id, row in new.items():
        corrects, is_priced = row.entry.corrects, row.entry.cost is not None
        if corrects is None and not is_priced:
            targets.add(id)
        elif corrects is not None and is_priced:
            targets.add(corrects)
    return targets


def unpriced_change(target: bytes, corrections: Collection[bytes], new: Mapping[bytes, Row]) -> int:
    """What the number of requests without a price changes by.

    :param target: a request without a price of its own. :param corrections: all with a price, of it.
    """
    was_counted = target not in new and all(id in new for id in corrections)
    return (not corrections) - was_counted


def grouped(rollup: Rollup, groups: Mapping[int, int]) -> Rollup:
    """A rollup by series -> by group, which has all keys and people. :param groups: of all of its series."""
    totals: Rollup = {}
    for (slot, series), sums in rollup.items():
        group = groups[series]
        total = totals.get((slot, group))
        totals[slot, group] = sums if total is None else list(map(add, total, sums))
    return totals


def of_slices(groups: Rollup, slices: Mapping[int, Sequence[int]]) -> dict[SliceTable, Rollup]:
    """Sums by quarter of an hour and group -> table -> its sums of slices. :param slices: of all of the groups."""
    quarters: Rollup = {}
    for (slot, group), sums in groups.items():
        for number in slices[group]:
            total = quarters.get((slot, number))
            quarters[slot, number] = sums if total is None else list(map(add, total, sums))
    return {table: coarser(quarters, of) for of, table in OF_SLICES.items()}


def coarser(quarters: Rollup, table: Table) -> Rollup:
    """Sums by quarter of an hour -> by the slots of a table."""
    return _coarser(quarters, _SLOT_OF[table])


def by_month(days: Rollup) -> Rollup:
    """Sums by day -> by month."""
    return _coarser(days, month_of)


def _coarser(rollup: Rollup, unit_of: Callable[[int], int]) -> Rollup:
    units = {slot: unit_of(slot) for slot in {slot for slot, _ in rollup}}
    summed: Rollup = {}
    for (slot, series), sums in rollup.items():
        key = (units[slot], series)
        total = summed.get(key)
        summed[key] = sums if total is None else list(map(add, total, sums))
    return summed


def remember(cache: dict[Key, Value], key: Key, value: Value) -> None:
    if len(cache) >= _MOST_CACHED:
        cache.clear()
    cache[key] = value

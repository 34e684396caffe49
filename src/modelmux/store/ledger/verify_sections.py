"""What is compared when rollups are verified, and how differences are told: the same in every engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from modelmux.store.ledger.base import Difference
from modelmux.store.ledger.rollups import SUMS, Rollup, coarser
from modelmux.store.ledger.slots import (
    DAY,
    HOURS,
    OF_SLICES,
    QUARTER,
    QUARTERS,
    GroupTable,
    SliceTable,
    Table,
    first_day,
    month_of,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: What is added to the number of a month: more than any day has, in a year that an id can have.
MONTHS: Final = 1 << 40
_NOTHING: Final = [0] * len(SUMS)
#: Sums that a row of the audit log names.
_AUDITED: Final = 100
_UNITS: Final = {"day": (DAY, "%Y-%m-%d"), "hour": (DAY // HOURS, "%Y-%m-%dT%HZ")}
#: Part of the name of a table -> what the names of its sums are, and what they are of.
_LABELS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "usage": (("key", "person", "team", "model", "tags"), ""),
    "group": (("team", "model", "tags"), " of all keys"),
    "slice": (("slice", "value"), " of a slice"),
}


class Section(NamedTuple):
    """Slots of a table, ``high`` not included, and all that they have to have."""

    table: Table | GroupTable | SliceTable
    low: int
    high: int
    rollup: Rollup


def kind_of(table: str) -> str:
    """What a table has sums of: ``usage`` of series, ``group`` over all keys and people, ``slice``."""
    return table.partition("_")[0]


def day_sections(
    day: int, quarters: Rollup, groups: Rollup, slices: Mapping[SliceTable, Rollup] | None
) -> list[Section]:
    """What the tables have to have of a day.

    :param quarters, groups: by series and by group. :param slices: None if the day is not sealed.
    """
    first, hours = day * QUARTERS, (day * HOURS, (day + 1) * HOURS)
    sections = [
        Section("usage_quarter", first, first + QUARTERS, quarters),
        Section("usage_day", day, day + 1, coarser(quarters, "usage_day")),
        Section("group_quarter", first, first + QUARTERS, groups),
        Section("group_day", day, day + 1, coarser(groups, "usage_day")),
    ]
    if slices is None:
        return sections
    sections.append(Section("usage_hour", *hours, coarser(quarters, "usage_hour")))
    sections.append(Section("group_hour", *hours, coarser(groups, "usage_hour")))
    for table, scale in zip(OF_SLICES.values(), (QUARTERS, HOURS, 1), strict=True):
        sections.append(Section(table, day * scale, (day + 1) * scale, slices[table]))
    return sections


def differing_sums(stored: Rollup, rollup: Rollup) -> Iterator[tuple[tuple[int, int], list[int], list[int]]]:
    """(slot, series), what is stored and what it has to be, where they differ."""
    for key in sorted(stored.keys() | rollup.keys()):
        before, after = stored.get(key, _NOTHING), rollup.get(key, _NOTHING)
        if before != after:
            yield key, before, after


def when(table: str, slot: int) -> str:
    """When a slot of a table begins. A damaged one may be in no year that there can be: then its number."""
    try:
        if table.endswith("_month"):
            begin, unit, form = first_day(slot), DAY, "%Y-%m"
        else:
            begin = slot
            unit, form = _UNITS.get(table.rpartition("_")[2], (QUARTER, "%Y-%m-%dT%H:%MZ"))
        return (_EPOCH + timedelta(microseconds=begin * unit)).strftime(form)
    except (ValueError, OverflowError):
        return f"slot {slot} of {table}"


def months_of(days: Iterable[int]) -> set[int]:
    """The months of days, without those of days in no year that there can be."""
    months = set[int]()
    for day in days:
        with contextlib.suppress(ValueError, OverflowError):
            months.add(month_of(day))
    return months


def days_of(month: int) -> range:
    """The days of a month; none of one in no year that there can be."""
    try:
        return range(first_day(month), first_day(month + 1))
    except (ValueError, OverflowError):
        return range(0)


def instants_of(day: int) -> tuple[int, int]:
    """The begin of a day and its end: microseconds in UTC, as far as databases have them."""
    begin, end = (min(max(one * DAY, -(2**63)), 2**63 - 1) for one in (day, day + 1))
    return begin, end


def describe(
    table: str, slot: int, labels: Sequence[str], stored: list[int], recomputed: list[int]
) -> Iterator[Difference]:
    """:param labels: of the series, group or slice, in the order of its columns; none if it is unknown."""
    begin = when(table, slot)
    names, of = _LABELS[kind_of(table)]
    text = of + "".join(f" {name}={value}" for name, value in zip(names, labels, strict=False) if value)
    for name, before, after in zip(SUMS, stored, recomputed, strict=True):
        if before != after:
            yield Difference(f"{begin}{text} {name}", before, after)


def audit_records(differing: Sequence[Difference]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What an audit row shows of a repair: the sums before and after it."""
    before = {one.what: one.stored for one in differing[:_AUDITED]}
    after = {one.what: one.recomputed for one in differing[:_AUDITED]}
    return {"ledger": before}, {"ledger": after}

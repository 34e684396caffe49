"""How a period is divided into buckets, and which rollups add up to them.

Rollups are by quarter of an hour, hour, day and month, all in UTC. The offset of every time zone is a multiple of a
quarter of an hour (as long as there are ledgers), so days and months of any zone are sums of quarters, exactly. A year
has 35,040 of them, too many to read for each report. So an hour, day or month in UTC that is mostly within a bucket is
read at once, and what is outside is taken from it: sums are integers, which can be subtracted without an error. Hours
are there of days that are sealed: see ``sqlite_sealed``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Literal, NamedTuple

from modelmux.accounts.periods import day_start
from modelmux.accounts.usage_query import Bucket

#: Microseconds.
QUARTER: Final = 900_000_000
DAY: Final = 86_400_000_000
#: Quarters of a day, and of an hour; hours of a day.
QUARTERS: Final = 96
QUARTERS_OF_HOUR: Final = 4
HOURS: Final = 24

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_STEP: Final = timedelta(minutes=15)
_HOUR: Final = timedelta(hours=1)


#: Sums by series, of one key each, and by group, over all keys and people.
Table = Literal["usage_quarter", "usage_hour", "usage_day", "usage_month"]
GroupTable = Literal["group_quarter", "group_hour", "group_day", "group_month"]
#: Sums of one team, model or set of tags, or of all there is.
SliceTable = Literal["slice_quarter", "slice_hour", "slice_day"]
#: What a slice is of.
SliceKind = Literal["all", "team", "model", "tags"]
#: The same sums by group.
OF_GROUPS: Final[dict[Table, GroupTable]] = {
    "usage_quarter": "group_quarter", "usage_hour": "group_hour", "usage_day": "group_day",
    "usage_month": "group_month",
}  # fmt: skip
#: The same sums by slice.
OF_SLICES: Final[dict[Table, SliceTable]] = {
    "usage_quarter": "slice_quarter", "usage_hour": "slice_hour", "usage_day": "slice_day",
}  # fmt: skip


#: Slots of a day.
_IN_DAY: Final[dict[Table, int]] = {"usage_quarter": QUARTERS, "usage_hour": HOURS, "usage_day": 1}
#: What a sealed day has by slice: the table, that of the groups it is made from, and slots of a day.
SLICED: Final = tuple((OF_SLICES[table], OF_GROUPS[table], _IN_DAY[table]) for table in OF_SLICES)


class Part(NamedTuple):
    """Slots of one table that are added to a bucket, or taken from it; ``high`` is not included."""

    table: Table
    low: int
    high: int
    bucket: int
    sign: int


def bucket_bounds(start: int, end: int, bucket: Bucket, zone: tzinfo) -> list[int]:
    """Microseconds in UTC at which the buckets of a period begin, and its end. The first and the last may be cut."""
    if start >= end:
        return []
    first, last = _at(start).astimezone(zone), _at(end)
    match bucket:
        case "all":
            inner: Iterator[datetime] = iter(())
        case "1h":
            inner = _hours(first, last)
        case "1d":
            inner = _days(first.date(), last, zone, _next_day)
        case "1w":
            inner = _days(first.date() - timedelta(first.weekday()), last, zone, _next_week)
        case "1mo":
            inner = _days(first.date().replace(day=1), last, zone, _next_month)
    instants = ((instant - _EPOCH) // _MICROSECOND for instant in inner)
    return sorted({start, end, *(instant for instant in instants if start < instant < end)})


def parts_of(bounds: list[int], *, hours_before: int = 0) -> list[Part]:
    """What to add and to take for the buckets between the bounds, which are on quarters of an hour.

    :param hours_before: days since 1970; days before it have sums by hour.
    """
    slots = [bound // QUARTER for bound in bounds]
    parts: list[Part] = []
    for bucket, (low, high) in enumerate(itertools.pairwise(slots)):
        parts.extend(_by_month(low, high, bucket, 1, hours_before))
    return _merged(parts)


def additive_parts(low: int, high: int, hours_before: int) -> list[Part]:
    """What to add up for a period, with nothing that is taken from it: what has usage in it has some in the period.

    :param low, high: microseconds, on quarters of an hour. :param hours_before: see ``parts_of``.
    """
    parts: list[Part] = []
    slot, end = low // QUARTER, high // QUARTER
    while slot < end:
        day = slot // QUARTERS
        month = month_of(day)
        units: list[tuple[Table, int, int, int]] = [
            ("usage_month", month, first_day(month) * QUARTERS, first_day(month + 1) * QUARTERS),
            ("usage_day", day, day * QUARTERS, (day + 1) * QUARTERS),
        ]
        if day < hours_before:
            hour = slot // QUARTERS_OF_HOUR
            units.append(("usage_hour", hour, hour * QUARTERS_OF_HOUR, (hour + 1) * QUARTERS_OF_HOUR))
        units.append(("usage_quarter", slot, slot, slot + 1))
        table, unit, _, after = next(one for one in units if one[2] == slot and one[3] <= end)
        parts.append(Part(table, unit, unit + 1, 0, 1))
        slot = after
    return _merged(parts)


def split_at(parts: list[Part], day: int) -> tuple[list[Part], list[Part]]:
    """The parts of quarters, hours and days before a day, and all others: those of it and later, and months.

    :param day: days since 1970.
    """
    before, others = [], []
    for part in parts:
        scale = _IN_DAY.get(part.table)
        cut = part.low if scale is None else min(max(part.low, day * scale), part.high)
        before += [part._replace(high=cut)] if part.low < cut else []
        others += [part._replace(low=cut)] if cut < part.high else []
    return before, others


def month_of(day: int) -> int:
    """Days since 1970 -> months since January 1970."""
    at = date.fromordinal(_EPOCH.toordinal() + day)
    return (at.year - _EPOCH.year) * 12 + at.month - 1


def first_day(month: int) -> int:
    """Months since January 1970 -> days since 1970, of its first."""
    return date(_EPOCH.year + month // 12, month % 12 + 1, 1).toordinal() - _EPOCH.toordinal()


def _by_month(low: int, high: int, bucket: int, sign: int, hours_before: int) -> Iterator[Part]:
    """Quarters of an hour as months, and what is to be added to those or taken from them."""
    if low < high:
        for month in range(month_of(low // QUARTERS), month_of((high - 1) // QUARTERS) + 1):
            first, after = first_day(month) * QUARTERS, first_day(month + 1) * QUARTERS
            quarters = (first, max(first, low), min(after, high), after)
            yield from _unit("usage_month", month, quarters, bucket, sign, hours_before)


def _by_day(low: int, high: int, bucket: int, sign: int, hours_before: int) -> Iterator[Part]:
    if low < high:
        for day in range(low // QUARTERS, (high - 1) // QUARTERS + 1):
            first, after = day * QUARTERS, (day + 1) * QUARTERS
            quarters = (first, max(first, low), min(after, high), after)
            yield from _unit("usage_day", day, quarters, bucket, sign, hours_before)


def _by_hour(low: int, high: int, bucket: int, sign: int, hours_before: int) -> Iterator[Part]:
    """A part of one day."""
    if low // QUARTERS >= hours_before:
        yield from _by_quarter(low, high, bucket, sign, hours_before)
    elif low < high:
        for hour in range(low // QUARTERS_OF_HOUR, (high - 1) // QUARTERS_OF_HOUR + 1):
            first, after = hour * QUARTERS_OF_HOUR, (hour + 1) * QUARTERS_OF_HOUR
            quarters = (first, max(first, low), min(after, high), after)
            yield from _unit("usage_hour", hour, quarters, bucket, sign, hours_before)


def _by_quarter(low: int, high: int, bucket: int, sign: int, hours_before: int) -> Iterator[Part]:
    del hours_before
    if low < high:
        yield Part("usage_quarter", low, high, bucket, sign)


_SMALLER: Final = {"usage_month": _by_day, "usage_day": _by_hour, "usage_hour": _by_quarter}


def _unit(
    table: Table, slot: int, quarters: tuple[int, int, int, int], bucket: int, sign: int, hours_before: int
) -> Iterator[Part]:
    """A part of a month, day or hour: all of it without the rest, if the part is most of it.

    :param quarters: where the unit begins, the part, the part ends, and the unit.
    """
    first, low, high, after = quarters
    smaller = _SMALLER[table]
    if 2 * (high - low) <= after - first:
        yield from smaller(low, high, bucket, sign, hours_before)
        return
    yield Part(table, slot, slot + 1, bucket, sign)
    yield from smaller(first, low, bucket, -sign, hours_before)
    yield from smaller(high, after, bucket, -sign, hours_before)


def _merged(parts: list[Part]) -> list[Part]:
    """With parts that follow each other as one."""
    merged: dict[tuple[str, int, int, int], Part] = {}
    for part in parts:
        before = merged.pop((part.table, part.bucket, part.sign, part.low), None)
        joined = part if before is None else part._replace(low=before.low)
        merged[part.table, part.bucket, part.sign, part.high] = joined
    return list(merged.values())


def _at(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND


def _hours(first: datetime, last: datetime) -> Iterator[datetime]:
    """Instants in UTC at which a clock in the zone of ``first`` shows a full hour."""
    zone = first.tzinfo
    instant = first.astimezone(UTC)
    while instant < last:
        local = instant.astimezone(zone)
        if local.minute == 0:
            yield instant
        following = instant + _HOUR - timedelta(minutes=local.minute)
        same = following.astimezone(zone).utcoffset() == local.utcoffset()
        instant = following if same else instant + _STEP  # the clocks change within the hour


def _next_day(day: date) -> date:
    return day + timedelta(1)


def _next_week(day: date) -> date:
    return day + timedelta(7)


def _next_month(first: date) -> date:
    return (first + timedelta(31)).replace(day=1)


def _days(day: date, last: datetime, zone: tzinfo, following: Callable[[date], date]) -> Iterator[datetime]:
    """Instants in UTC at which days begin in a zone: the first, and those that follow until the last instant."""
    while True:
        instant = day_start(day, zone)
        if instant >= last:
            return
        yield instant
        day = following(day)

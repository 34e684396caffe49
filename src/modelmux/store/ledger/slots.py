"""How a period is divided into buckets, and which rollups add up to them.

Rollups are by quarter of an hour, day and month, all in UTC. The offset of every time zone is a multiple of a quarter
of an hour (as long as there are ledgers), so days and months of any zone are sums of quarters, exactly. A year has
35,040 of them, too many to read for each report. So a day or month in UTC that is mostly within a bucket is read at
once, and what is outside is taken from it: sums are integers, which can be subtracted without an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Literal, NamedTuple

from modelmux.accounts.periods import day_start
from modelmux.accounts.usage_query import Bucket

#: Microseconds.
QUARTER: Final = 900_000_000
DAY: Final = 86_400_000_000
#: Quarters of a day.
QUARTERS: Final = 96

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_STEP: Final = timedelta(minutes=15)
_HOUR: Final = timedelta(hours=1)


#: Sums by series, of one key each, and by group, over all keys and people.
Table = Literal["usage_quarter", "usage_day", "usage_month"]
GroupTable = Literal["group_quarter", "group_day", "group_month"]
#: The same sums by group.
OF_GROUPS: Final[dict[Table, GroupTable]] = {
    "usage_quarter": "group_quarter", "usage_day": "group_day", "usage_month": "group_month",
}  # fmt: skip


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
            inner = _days(first.date(), last, zone, months=False)
        case "1mo":
            inner = _days(first.date().replace(day=1), last, zone, months=True)
    instants = ((instant - _EPOCH) // _MICROSECOND for instant in inner)
    return sorted({start, end, *(instant for instant in instants if start < instant < end)})


def parts_of(bounds: list[int]) -> list[Part]:
    """What to add and to take for the buckets between the bounds, which are on quarters of an hour."""
    slots = [bound // QUARTER for bound in bounds]
    parts: list[Part] = []
    for bucket, (low, high) in enumerate(itertools.pairwise(slots)):
        parts.extend(_by_month(low, high, bucket, 1))
    return _merged(parts)


def month_of(day: int) -> int:
    """Days since 1970 -> months since January 1970."""
    at = date.fromordinal(_EPOCH.toordinal() + day)
    return (at.year - _EPOCH.year) * 12 + at.month - 1


def first_day(month: int) -> int:
    """Months since January 1970 -> days since 1970, of its first."""
    return date(_EPOCH.year + month // 12, month % 12 + 1, 1).toordinal() - _EPOCH.toordinal()


def _by_month(low: int, high: int, bucket: int, sign: int) -> Iterator[Part]:
    """Quarters of an hour as months, and what is to be added to those or taken from them."""
    if low < high:
        for month in range(month_of(low // QUARTERS), month_of((high - 1) // QUARTERS) + 1):
            first, after = first_day(month) * QUARTERS, first_day(month + 1) * QUARTERS
            yield from _unit("usage_month", month, (first, max(first, low), min(after, high), after), bucket, sign)


def _by_day(low: int, high: int, bucket: int, sign: int) -> Iterator[Part]:
    if low < high:
        for day in range(low // QUARTERS, (high - 1) // QUARTERS + 1):
            first, after = day * QUARTERS, (day + 1) * QUARTERS
            yield from _unit("usage_day", day, (first, max(first, low), min(after, high), after), bucket, sign)


def _by_quarter(low: int, high: int, bucket: int, sign: int) -> Iterator[Part]:
    if low < high:
        yield Part("usage_quarter", low, high, bucket, sign)


def _unit(table: Table, slot: int, quarters: tuple[int, int, int, int], bucket: int, sign: int) -> Iterator[Part]:
    """A part of a month or day: all of it without the rest, if the part is most of it.

    :param quarters: where the unit begins, the part, the part ends, and the unit.
    """
    first, low, high, after = quarters
    smaller = _by_day if table == "usage_month" else _by_quarter
    if 2 * (high - low) <= after - first:
        yield from smaller(low, high, bucket, sign)
        return
    yield Part(table, slot, slot + 1, bucket, sign)
    yield from smaller(first, low, bucket, -sign)
    yield from smaller(high, after, bucket, -sign)


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


def _days(day: date, last: datetime, zone: tzinfo, *, months: bool) -> Iterator[datetime]:
    """Instants in UTC at which days, or months, begin in a zone."""
    while True:
        instant = day_start(day, zone)
        if instant >= last:
            return
        yield instant
        day = (day + timedelta(31)).replace(day=1) if months else day + timedelta(1)

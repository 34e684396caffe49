"""How a period is divided into buckets, and which rollups add up to them.

Rollups are by quarter of an hour and by day, both in UTC. The offset of every time zone is a multiple of a quarter of
an hour (as long as there are ledgers), so days and months of any zone are sums of quarters, exactly. A year has 35,040
of them, too many to read for each report; so a day in UTC is read at once for the bucket that has most of it, and the
quarters of its other buckets are taken from that one: sums are integers, which can be subtracted without an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Literal, NamedTuple

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


class Part(NamedTuple):
    """Slots of one table that are added to a bucket, or taken from it; ``high`` is not included."""

    table: Literal["usage_quarter", "usage_day"]
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
    parts: list[Part] = []
    slots = [bound // QUARTER for bound in bounds]
    low = 0  # the first bucket that ends after the begin of the day
    for day in range(slots[0] // QUARTERS, -(-slots[-1] // QUARTERS)) if slots else ():
        first, after = day * QUARTERS, (day + 1) * QUARTERS
        while slots[low + 1] <= first:
            low += 1
        pieces = []
        bucket = low
        while bucket < len(slots) - 1 and slots[bucket] < after:
            pieces.append((bucket, max(first, slots[bucket]), min(after, slots[bucket + 1])))
            bucket += 1
        parts.extend(_day_parts(day, pieces))
    return _merged(parts)


def _day_parts(day: int, pieces: list[tuple[int, int, int]]) -> Iterator[Part]:
    """:param pieces: buckets of the day, each with its slots."""
    first, after = day * QUARTERS, (day + 1) * QUARTERS
    main, low, high = max(pieces, key=lambda piece: piece[2] - piece[1])
    covered = sum(piece[2] - piece[1] for piece in pieces)
    if 2 * (QUARTERS - (high - low)) >= covered:  # to read each piece is less
        for bucket, begin, end in pieces:
            yield Part("usage_quarter", begin, end, bucket, 1)
        return
    yield Part("usage_day", day, day + 1, main, 1)
    for begin, end in ((first, low), (high, after)):
        if begin < end:
            yield Part("usage_quarter", begin, end, main, -1)
    for bucket, begin, end in pieces:
        if bucket != main:
            yield Part("usage_quarter", begin, end, bucket, 1)


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
        instant = _begin(day, zone)
        if instant >= last:
            return
        yield instant
        day = (day + timedelta(31)).replace(day=1) if months else day + timedelta(1)


def _begin(day: date, zone: tzinfo) -> datetime:
    """The first instant of a day.

    Of a midnight that a clock change leaves out, Python takes the offset of before: the instant of the change. Of one
    that comes twice it is the first.
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)

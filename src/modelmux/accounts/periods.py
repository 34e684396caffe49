"""Periods as people write them, ``30d``, ``2026-11``, ``today``, and the instants at which they begin and end.

A day begins with its first instant in the zone, which is not midnight where a clock change leaves that out; days,
months and years follow each other without gap or overlap.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from msgspec import Struct

#: One of each kind, for messages.
EXAMPLES: Final = ("30d", "24h", "2w", "today", "yesterday", "this-month", "last-month", "2026-11", "2026-11-15",
                   "2026-11-01..2026-11-15")  # fmt: skip

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR
_FIRST_DAY: Final = _EPOCH.toordinal()
#: No period is longer: ten years and the leap days.
_MOST_DAYS: Final = 3_653
_COUNT: Final = re.compile(r"([0-9]{1,6})([hdw])")
_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9998  # a zone may be a day ahead of UTC, and 9999 is the last year that datetime has


class Period(Struct, frozen=True):
    """Microseconds in UTC; ``start`` is included, ``end`` is not."""

    start: int
    end: int


def parse_period(text: str, now: int, zone: tzinfo) -> Period:
    """The period that a text means.

    ``30d`` is today and the 29 days before, ``2w`` the same in weeks, ``24h`` this hour of the zone and the 23 before.
    Of ``2026-11-01..2026-11-15`` both days are included.

    :param now: microseconds in UTC.
    :raises ValueError: it is not a period; the message has examples.
    """
    written = text.strip().lower()
    today = (_EPOCH + now * _MICROSECOND).astimezone(zone).date()
    count = _COUNT.fullmatch(written)
    if count is not None and count[2] == "h" and 1 <= int(count[1]) <= 24 * _MOST_DAYS:
        offset = (_EPOCH + now * _MICROSECOND).astimezone(zone).utcoffset() or timedelta()
        end = now - (now + offset // _MICROSECOND) % _HOUR + _HOUR
        return Period(end - int(count[1]) * _HOUR, end)
    days = _days(written, today)
    if days is None:
        raise ValueError(f"{text!r} is not a period such as {', '.join(EXAMPLES[:-1])} or {EXAMPLES[-1]}")
    start, end = ((day_start(day, zone) - _EPOCH) // _MICROSECOND for day in days)
    return Period(start, end)


def parse_instant(text: str) -> int:
    """ISO 8601, UTC unless it says otherwise -> microseconds in UTC. :raises ValueError:"""
    moment = datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def format_instant(at: int, zone: tzinfo) -> str:
    """RFC 3339 in a zone: ``2026-11-01T00:00:00+01:00``, ``…Z`` in UTC."""
    return (_EPOCH + at * _MICROSECOND).astimezone(zone).isoformat().replace("+00:00", "Z")


def day_of(at: int) -> date:
    """The day in UTC of an instant: that of the prices of a request. :param at: microseconds in UTC."""
    return _day(at // _DAY)


@lru_cache(1_000)
def _day(number: int) -> date:
    return date.fromordinal(_FIRST_DAY + number)


def day_start(day: date, zone: tzinfo) -> datetime:
    """The first instant of a day in a zone, in UTC.

    Of a midnight that a clock change leaves out, Python takes the offset of before: the instant of the change. Of one
    that comes twice it is the first.
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _days(written: str, today: date) -> tuple[date, date] | None:
    """The first day, and the day after the last; None if it is not a period of days."""
    month = today.replace(day=1)
    match written:
        case "today":
            return today, today + timedelta(1)
        case "yesterday":
            return today - timedelta(1), today
        case "this-month":
            return month, _month_after(month)
        case "last-month":
            return (month - timedelta(1)).replace(day=1), month
    count = _COUNT.fullmatch(written)
    if count is not None:
        days = int(count[1]) * {"h": 0, "d": 1, "w": 7}[count[2]]
        return (today + timedelta(1 - days), today + timedelta(1)) if 1 <= days <= _MOST_DAYS else None
    first, dots, last = written.partition("..")
    begin, end = _span(first), _span(last if dots else first)
    return (begin[0], end[1]) if begin and end and begin[0] < end[1] else None


def _span(written: str) -> tuple[date, date] | None:
    """The first day of a year, month or day, and the day after its last."""
    parts = _DATE.fullmatch(written)
    if parts is None or not _FIRST_YEAR <= int(parts[1]) <= _LAST_YEAR:
        return None
    try:
        first = date(int(parts[1]), int(parts[2] or 1), int(parts[3] or 1))
    except ValueError:
        return None
    if parts[3]:
        return first, first + timedelta(1)
    return first, _month_after(first) if parts[2] else first.replace(year=first.year + 1)


def _month_after(first: date) -> date:
    return (first + timedelta(31)).replace(day=1)

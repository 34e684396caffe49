"""The window of a budget at an instant: a pure function, so that nothing is ever reset.

Windows of one rule follow each other without gap or overlap. An hour is one of UTC; all others begin on a calendar day
of their zone, at an hour of it. Where a clock change leaves that hour out, the window begins with the change; where it
comes twice, with the first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal, get_args

from msgspec import Struct

Every = Literal["hour", "day", "week", "month", "quarter", "year", "lifetime"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_HOUR: Final = 3_600_000_000
#: Pairs of rule and zone that are remembered.
_MOST_WINDOWS: Final = 1_000


class WindowRule(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """When a budget begins anew.

    :param zone: IANA name; None for that of the team or of ``accounts.zone``.
    :param starts: of weeks.
    :param hour: of the day at which a day, and so a week, month, quarter and year, begins.
    """

    every: Every
    zone: str | None = None
    starts: Weekday = "monday"
    hour: int = 0


class Window(Struct, frozen=True):
    """Microseconds in UTC; ``start`` is included, ``end`` is not, and is None for a lifetime."""

    start: int
    end: int | None


def window_at(rule: WindowRule, at: int, zone: tzinfo) -> Window:
    """The window of an instant.

    :param at: microseconds in UTC.
    :param zone: of the rule.
    """
    if rule.every == "lifetime":
        return Window(0, None)
    if rule.every == "hour":
        start = at - at % _HOUR
        return Window(start, start + _HOUR)
    floor, following = _CALENDAR[rule.every]
    shift = get_args(Weekday).index(rule.starts) if rule.every == "week" else 0
    # From a day that may be too late: a clock change can make a later day begin before an earlier one is over.
    first = floor((_EPOCH + at * _MICROSECOND).astimezone(zone).date() + _DAY, shift)
    while (start := _begin(first, rule.hour, zone)) > at:
        first = floor(first - _DAY, shift)
    return Window(start, _begin(following(first), rule.hour, zone))


class CurrentWindows:
    """``window_at`` for instants that mostly are in the window of the one before."""

    def __init__(self) -> None:
        self._windows: dict[tuple[WindowRule, tzinfo], Window] = {}

    def at(self, rule: WindowRule, at: int, zone: tzinfo) -> Window:
        window = self._windows.get((rule, zone))
        if window is None or at < window.start or (window.end is not None and at >= window.end):
            if len(self._windows) >= _MOST_WINDOWS:
                self._windows.clear()
            window = self._windows[rule, zone] = window_at(rule, at, zone)
        return window


def _begin(day: date, hour: int, zone: tzinfo) -> int:
    # Of an hour that is left out, Python takes the offset of before: the instant of the change, and what is left of it.
    return (datetime.combine(day, time(hour), zone).astimezone(UTC) - _EPOCH) // _MICROSECOND


def _quarter(day: date, _: int) -> date:
    return day.replace(month=day.month - (day.month - 1) % 3, day=1)


def _months_later(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    return day.replace(year=day.year + years, month=month + 1)


#: Kind of a window -> the first day of the one that a day is in, and that of the next one.
_CALENDAR: Final[dict[str, tuple[Callable[[date, int], date], Callable[[date], date]]]] = {
    "day": (lambda day, _: day, lambda day: day + _DAY),
    "week": (lambda day, starts: day - (day.weekday() - starts) % 7 * _DAY, lambda day: day + 7 * _DAY),
    "month": (lambda day, _: day.replace(day=1), lambda day: _months_later(day, 1)),
    "quarter": (_quarter, lambda day: _months_later(day, 3)),
    "year": (lambda day, _: day.replace(month=1, day=1), lambda day: _months_later(day, 12)),
}

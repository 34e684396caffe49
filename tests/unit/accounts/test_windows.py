"""Risk: a window begins late by the offset of its zone, lasts too long, or two follow each other with a gap."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.windows import CurrentWindows, Every, Weekday, Window, WindowRule, window_at

ZONES = sorted(zoneinfo.available_timezones() - {"localtime"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000
weekdays = st.sampled_from(get_args(Weekday))
rules = st.builds(WindowRule, every=st.sampled_from(get_args(Every)), starts=weekdays, hour=st.integers(0, 23))
instants = st.integers(946_684_800_000_000, 2_240_000_000_000_000)  # 2000 to 2040


def micros(text: str, zone: str = "UTC") -> int:
    when = datetime.fromisoformat(text)
    return (when.replace(tzinfo=when.tzinfo or ZoneInfo(zone)).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def shown(at: int | None, zone: str) -> str | None:
    return None if at is None else f"{(EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def window(at: str, zone: str = "UTC", **rule: Any) -> tuple[str | None, str | None]:
    one = window_at(WindowRule(**rule), micros(at, zone), ZoneInfo(zone))
    return shown(one.start, zone), shown(one.end, zone)


@pytest.mark.parametrize(
    ("rule", "start", "end"),
    [
        ({"every": "hour"}, "2026-11-29 12:00", "2026-11-29 13:00"),
        ({"every": "day"}, "2026-11-29 00:00", "2026-11-30 00:00"),
        ({"every": "day", "hour": 13}, "2026-11-28 13:00", "2026-11-29 13:00"),
        ({"every": "week"}, "2026-11-23 00:00", "2026-11-30 00:00"),
        ({"every": "week", "starts": "sunday"}, "2026-11-29 00:00", "2026-12-06 00:00"),
        ({"every": "week", "starts": "sunday", "hour": 13}, "2026-11-22 13:00", "2026-11-29 13:00"),
        ({"every": "month"}, "2026-11-01 00:00", "2026-12-01 00:00"),
        ({"every": "quarter"}, "2026-10-01 00:00", "2027-01-01 00:00"),
        ({"every": "year"}, "2026-01-01 00:00", "2027-01-01 00:00"),
        ({"every": "lifetime"}, "1970-01-01 00:00", None),
    ],
)
def test_a8_a9_windows_of_each_rule(rule: dict[str, Any], start: str, end: str | None) -> None:
    assert window("2026-11-29T12:34:56.789", **rule) == (start, end)


@pytest.mark.parametrize(
    ("at", "zone", "rule", "start", "end"),
    [
        ("2026-03-29T12:00", "Europe/Berlin", {"every": "day"}, "2026-03-29 00:00", "2026-03-30 00:00"),
        ("2026-03-29T12:00", "Europe/Berlin", {"every": "day", "hour": 2}, "2026-03-29 03:00", "2026-03-30 02:00"),
        ("2026-10-25T12:00", "Europe/Berlin", {"every": "day", "hour": 2}, "2026-10-25 02:00", "2026-10-26 02:00"),
        ("2028-02-29T12:00", "UTC", {"every": "month"}, "2028-02-01 00:00", "2028-03-01 00:00"),
        ("2011-12-31T00:00", "Pacific/Apia", {"every": "day"}, "2011-12-31 00:00", "2012-01-01 00:00"),
        ("2026-12-31T23:59:59.999999", "Asia/Kolkata", {"every": "year"}, "2026-01-01 00:00", "2027-01-01 00:00"),
    ],
)
def test_a7_clock_changes_and_leap_days(at: str, zone: str, rule: dict[str, Any], start: str, end: str) -> None:
    assert window(at, zone, **rule) == (start, end)


def test_an_hour_is_one_of_utc() -> None:
    assert window("2026-11-29T12:34", "Asia/Kolkata", every="hour") == ("2026-11-29 12:30", "2026-11-29 13:30")


@given(rules, instants, st.sampled_from(ZONES))
def test_windows_follow_each_other(rule: WindowRule, at: int, name: str) -> None:
    zone = ZoneInfo(name)
    one = window_at(rule, at, zone)
    assert one.start <= at
    if one.end is None:
        assert rule.every == "lifetime"
        return
    assert at < one.end
    assert window_at(rule, one.start, zone) == one == window_at(rule, one.end - 1, zone)
    assert window_at(rule, one.end, zone).start == one.end
    assert (window_at(rule, one.start - 1, zone).end or 0) == one.start


@pytest.mark.parametrize("every", ["day", "week", "month"])
def test_a7_every_zone_for_four_hundred_days(every: Any) -> None:
    """Both clock changes, each zone: every window ends where the next one begins."""
    begin = micros("2026-01-01T00:00")
    for name in ZONES:
        zone, at, windows = ZoneInfo(name), begin, list[Window]()
        while at < begin + 400 * DAY:
            windows.append(window_at(WindowRule(every=every), at, zone))
            assert windows[-1].end is not None
            assert windows[-1].end > at, name
            at = windows[-1].end
        assert all(left.end == right.start for left, right in pairwise(windows)), name
        if every == "day":
            assert {(one.end or 0) - one.start for one in windows} <= {DAY + n * DAY // 48 for n in range(-4, 5)}, name


@given(rule=rules, first=instants, steps=st.lists(st.integers(-40 * DAY, 40 * DAY), max_size=8))
def test_a_window_that_is_remembered_is_the_one_of_the_instant(rule: WindowRule, first: int, steps: list[int]) -> None:
    windows, zones = CurrentWindows(), (ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"))
    at = first
    for step in (0, 0, *steps):
        at += step
        for zone in zones:
            assert windows.at(rule, at, zone) == window_at(rule, at, zone)


def test_not_all_windows_are_remembered() -> None:
    windows = CurrentWindows()
    for number in range(2_500):
        windows.at(WindowRule(every="day", zone=str(number)), micros("2026-11-29"), ZoneInfo("UTC"))
    assert len(windows._windows) == 500

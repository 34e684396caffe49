"""Risk: a day or month of a report begins at another moment than in the zone that was asked for, or lasts too long."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.periods import EXAMPLES, Period, day_of, format_instant, parse_period

ZONES = sorted(zoneinfo.available_timezones() - {"localtime"})
zones = st.sampled_from(ZONES).map(ZoneInfo)
days = st.dates(date(2000, 1, 1), date(2040, 12, 31))
instants = st.integers(946_684_800_000_000, 2_240_000_000_000_000)  # 2000 to 2040
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 29, 12, 34, 56, 789, UTC)
HOUR = 3_600_000_000


def micros(when: datetime) -> int:
    return (when.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def period(text: str, zone: tzinfo = UTC, now: datetime = NOW) -> tuple[str, str]:
    """Begin and end in the zone, as people write them."""
    one = parse_period(text, micros(now), zone)
    return shown(one.start, zone), shown(one.end, zone)


def shown(at: int, zone: tzinfo) -> str:
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    return f"{when.astimezone(zone):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("today", "2026-11-29 00:00", "2026-11-30 00:00"),
        ("yesterday", "2026-11-28 00:00", "2026-11-29 00:00"),
        ("this-month", "2026-11-01 00:00", "2026-12-01 00:00"),
        ("last-month", "2026-10-01 00:00", "2026-11-01 00:00"),
        ("1d", "2026-11-29 00:00", "2026-11-30 00:00"),
        ("30d", "2026-10-31 00:00", "2026-11-30 00:00"),
        ("2w", "2026-11-16 00:00", "2026-11-30 00:00"),
        ("2026", "2026-01-01 00:00", "2027-01-01 00:00"),
        ("2026-02", "2026-02-01 00:00", "2026-03-01 00:00"),
        ("2024-02-29", "2024-02-29 00:00", "2024-03-01 00:00"),
        ("2026-11-01..2026-11-15", "2026-11-01 00:00", "2026-11-16 00:00"),
        ("2026-11..2026-12", "2026-11-01 00:00", "2027-01-01 00:00"),
        ("2025-12-31..2026", "2025-12-31 00:00", "2027-01-01 00:00"),
        (" 30D ", "2026-10-31 00:00", "2026-11-30 00:00"),
    ],
)
def test_periods_of_days(text: str, start: str, end: str) -> None:
    assert period(text) == (start, end)
    assert period(text, BERLIN) == (start, end), "the same days, at other instants"
    assert parse_period(text, micros(NOW), BERLIN) != parse_period(text, micros(NOW), UTC)


def test_the_day_is_that_of_the_zone() -> None:
    assert period("today", ZoneInfo("Pacific/Auckland"))[0] == "2026-11-30 00:00"
    assert period("today", ZoneInfo("Pacific/Honolulu"))[0] == "2026-11-29 00:00"


def test_hours_end_with_the_present_one() -> None:
    assert period("24h") == ("2026-11-28 13:00", "2026-11-29 13:00")
    assert period("1h") == ("2026-11-29 12:00", "2026-11-29 13:00")
    on_the_hour = datetime(2026, 11, 29, 12, tzinfo=UTC)
    assert period("1h", now=on_the_hour) == ("2026-11-29 12:00", "2026-11-29 13:00")


def test_hours_are_those_of_the_zone() -> None:
    """Half hours from those of UTC: no hour at an end is cut."""
    assert period("24h", ZoneInfo("Asia/Kolkata")) == ("2026-11-28 19:00", "2026-11-29 19:00")
    assert period("1h", ZoneInfo("Asia/Kathmandu")) == ("2026-11-29 18:00", "2026-11-29 19:00")


def clock_changes(now: int, zone: tzinfo) -> bool:
    """Whether the clocks change within the hour."""
    hour = [datetime.fromtimestamp(at / 1e6, zone).utcoffset() for at in (now, now + HOUR)]
    return hour[0] != hour[1]


def test_a_day_of_a_clock_change_has_23_or_25_hours() -> None:
    spring, autumn = (parse_period(day, 0, BERLIN) for day in ("2026-03-29", "2026-10-25"))
    assert [(one.end - one.start) // HOUR for one in (spring, autumn)] == [23, 25]


def test_a_day_without_midnight_begins_with_its_first_instant() -> None:
    assert period("2026-04-24", ZoneInfo("Africa/Cairo")) == ("2026-04-24 01:00", "2026-04-25 00:00")


@pytest.mark.parametrize(
    "text",
    ["", "x", "30", "d", "0d", "-1d", "1.5d", "30 days", "2026-13", "2026-02-30", "2026-11-15..2026-11-01", "..",
     "2026-11..", "today..2026", "2026-1", "99999d", "99999999999h", "０d", "9999",
     "9999-12", "9999-12-31", "0000", "1969"],
)  # fmt: skip
def test_what_is_not_a_period_is_an_error_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="30d, 24h") as caught:
        parse_period(text, micros(NOW), UTC)
    assert repr(text) in str(caught.value)


def test_the_examples_are_periods() -> None:
    for text in EXAMPLES:
        assert parse_period(text, micros(NOW), BERLIN).start < micros(NOW)


@given(zones, days)
def test_days_follow_each_other_without_gap_or_overlap(zone: ZoneInfo, day: date) -> None:
    run = [parse_period((day + timedelta(n)).isoformat(), 0, zone) for n in range(3)]
    for one, following in pairwise(run):
        assert one.end == following.start
        assert one.start <= one.end


@given(zones, days)
def test_a_day_begins_with_its_first_instant(zone: ZoneInfo, day: date) -> None:
    one = parse_period(day.isoformat(), 0, zone)
    assert shown(one.start - 1, zone) < day.isoformat() <= shown(one.start, zone)
    if one.start < one.end:  # Samoa had no 30 December 2011
        assert shown(one.start, zone)[:10] == day.isoformat()


@given(zones, instants, st.integers(1, 500))
def test_what_is_relative_contains_the_present(zone: ZoneInfo, now: int, count: int) -> None:
    for text in ("today", "this-month", f"{count}d", f"{count}h", f"{count}w"):
        one = parse_period(text, now, zone)
        assert one.start <= now < one.end
    hours = parse_period("24h", now, zone)
    assert hours.end - hours.start == 24 * HOUR
    assert shown(hours.end, zone).endswith(":00") or clock_changes(now, zone), "whole hours of the zone"
    assert parse_period("yesterday", now, zone).end == parse_period("today", now, zone).start
    assert parse_period("last-month", now, zone).end == parse_period("this-month", now, zone).start


def test_an_instant_for_people_has_its_offset() -> None:
    at = micros(datetime(2026, 7, 1, 22, tzinfo=UTC))
    assert format_instant(at, BERLIN) == "2026-07-02T00:00:00+02:00"
    assert format_instant(at, UTC) == "2026-07-01T22:00:00Z"
    assert format_instant(at + 1500, UTC) == "2026-07-01T22:00:00.001500Z"
    assert Period(0, 1) == Period(0, 1)


def test_the_day_of_an_instant_is_that_of_utc() -> None:
    midnight = micros(datetime(2026, 11, 1, tzinfo=UTC))
    assert day_of(midnight) == date(2026, 11, 1)
    assert day_of(midnight - 1) == date(2026, 10, 31)
    assert day_of(0) == date(1970, 1, 1)
    assert day_of(-1) == date(1969, 12, 31)

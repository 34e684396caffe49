"""Risk: a quarter of an hour counts twice or not at all, or a report of a year reads every quarter of it."""

from __future__ import annotations

from collections import Counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.store.ledger.slots import (
    DAY,
    QUARTER,
    QUARTERS,
    QUARTERS_OF_HOUR,
    Part,
    additive_parts,
    bucket_bounds,
    first_day,
    month_of,
    parts_of,
    split_at,
)
from support.ledgers import at

YEAR = (at("2026-01-01T00:00Z"), at("2027-01-01T00:00Z"))


def quarters_of(part: Part) -> range:
    if part.table == "usage_month":
        return range(first_day(part.low) * QUARTERS, first_day(part.high) * QUARTERS)
    scale = {"usage_day": QUARTERS, "usage_hour": QUARTERS_OF_HOUR}.get(part.table, 1)
    return range(part.low * scale, part.high * scale)


@given(
    st.lists(st.integers(-3 * 30 * QUARTERS, 5 * 31 * QUARTERS), min_size=2, max_size=6, unique=True).map(sorted),
    st.integers(-70, 130),
)
def test_the_parts_of_buckets_add_up_to_every_quarter_once(slots: list[int], day: int) -> None:
    expected = Counter({
        (bucket, slot): 1 for bucket, low in enumerate(slots[:-1]) for slot in range(low, slots[bucket + 1])
    })  # fmt: skip
    added: Counter[tuple[int, int]] = Counter()
    before, others = split_at(parts_of([slot * QUARTER for slot in slots], hours_before=day), day)
    for part in (*before, *others):
        for slot in quarters_of(part):
            added[part.bucket, slot] += part.sign
            assert part.table != "usage_hour" or slot < day * QUARTERS
            assert part.table == "usage_month" or (part in before) == (slot < day * QUARTERS)
    assert {key: count for key, count in added.items() if count} == expected
    assert "usage_month" not in {part.table for part in before}


@given(st.integers(-100 * QUARTERS, 200 * QUARTERS), st.integers(0, 120 * QUARTERS), st.integers(-70, 130))
def test_a_period_is_a_sum_of_what_is_within_it(low: int, length: int, day: int) -> None:
    parts = additive_parts(low * QUARTER, (low + length) * QUARTER, day)
    assert sorted(slot for part in parts for slot in quarters_of(part)) == list(range(low, low + length))
    assert {(part.bucket, part.sign) for part in parts} <= {(0, 1)}
    assert all(part.table != "usage_hour" or part.high * QUARTERS_OF_HOUR <= day * QUARTERS for part in parts)


def test_a_period_of_whole_months_reads_months() -> None:
    assert [part.table for part in additive_parts(*YEAR, 0)] == ["usage_month"]


def test_no_bucket_has_no_parts() -> None:
    assert parts_of([]) == parts_of([YEAR[0]]) == []
    assert bucket_bounds(YEAR[0], YEAR[0], "1d", ZoneInfo("UTC")) == []


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Kiritimati"])
def test_a_year_by_month_reads_few_slots(zone: str) -> None:
    parts = parts_of(bucket_bounds(*YEAR, "1mo", ZoneInfo(zone)))
    read = Counter[str]()
    for part in parts:
        read[part.table] += part.high - part.low
    assert read["usage_month"] <= 13
    assert read["usage_day"] <= 26
    assert read["usage_quarter"] <= 26 * QUARTERS // 2
    if zone == "UTC":
        assert set(read) == {"usage_month"}


@pytest.mark.parametrize(("zone", "quarters"), [("Asia/Kolkata", 5), ("Asia/Kathmandu", 3), ("America/New_York", 0)])
def test_a_year_by_day_reads_hours_and_few_quarters(zone: str, quarters: int) -> None:
    parts = parts_of(bucket_bounds(*YEAR, "1d", ZoneInfo(zone)), hours_before=10**6)
    read = Counter[str]()
    for part in parts:
        read[part.table] += part.high - part.low
    assert read["usage_day"] <= 367
    assert read["usage_hour"] <= 366 * 14
    assert read["usage_quarter"] <= 366 * quarters


def test_a_period_that_is_not_on_days_reads_whole_days_where_it_can() -> None:
    parts = parts_of([YEAR[0] + QUARTER, YEAR[0] + 3 * DAY - QUARTER])
    assert sorted((part.table, part.high - part.low, part.sign) for part in parts) == [
        ("usage_day", 3, 1), ("usage_quarter", 1, -1), ("usage_quarter", 1, -1),
    ]  # fmt: skip


@given(st.integers(-700_000, 2_900_000))
def test_months_begin_with_their_first_day(day: int) -> None:
    month = month_of(day)
    first = first_day(month)
    assert month_of(first) == month
    assert month_of(first - 1) == month - 1

"""Risk: a top-up of last month still counts, an override outlives its end, or one is lost at a change of clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.adjustments import Adjustment, limit_of, unchanged_between
from modelmux.accounts.amounts import MAX_AMOUNT
from modelmux.accounts.budget_windows import budgets_of_key, current_adjustments, window_of, zone_of_budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.windows import Window, WindowRule
from support.directories import NOW, adjustment, budget, directory_of, key, team

HOUR = 3_600_000_000
DAY = 24 * HOUR


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


def limit(*adjustments: Any, subject: str = "", now: int = NOW, record: Any = None) -> int:
    record = record or budget()
    return limit_of(record, adjustments, subject, window_of(Directory(), record, now, UTC), now)


def test_without_any_it_is_that_of_the_budget() -> None:
    assert limit() == 50


def test_a_top_up_counts_in_the_window_in_which_it_was_made() -> None:
    one = adjustment(created=at("2026-11-30T23:59:59+00:00"))
    assert limit(one, now=at("2026-11-01T00:00:00+00:00")) == 60
    assert limit(one, now=at("2026-11-30T23:59:59+00:00")) == 60
    assert limit(one, now=at("2026-12-01T00:00:00+00:00")) == 50, "that of last month is over"
    assert limit(one, now=at("2026-10-31T23:59:59+00:00")) == 50
    assert limit(one, record=budget(every="lifetime"), now=at("2036-01-01T00:00:00+00:00")) == 60


def test_a_request_of_the_window_before_still_has_its_top_up() -> None:
    record, november = budget(), NOW
    window = window_of(Directory(), record, november, UTC)
    assert limit_of(record, [adjustment()], "", window, at("2026-12-01T00:00:05+00:00")) == 60


def test_a20_one_with_an_end_counts_until_then_in_every_window() -> None:
    one = adjustment(until=NOW + 30 * DAY)
    assert limit(one, now=NOW + 10 * DAY) == 60
    assert limit(one, now=NOW + 30 * DAY - 1) == 60
    assert limit(one, now=NOW + 30 * DAY) == 50


def test_an_override_that_ended_leaves_the_limit_as_it_was() -> None:
    one = adjustment(kind="override", amount=80, until=NOW + HOUR)
    assert limit(one) == 80
    assert limit(one, now=NOW + HOUR) == 50


def test_they_apply_in_the_order_in_which_they_were_made() -> None:
    top_up = adjustment("adj_a", created=NOW)
    override = adjustment("adj_b", "override", 80, created=NOW + 1, until=NOW + HOUR)
    later = adjustment("adj_c", amount=-5, created=NOW + 2)
    assert limit(later, override, top_up) == 75, "an override says what the limit is, whatever was added before"
    assert limit(later, override, top_up, now=NOW + HOUR) == 55
    same = [adjustment("adj_1", "override", 1, until=NOW + 1), adjustment("adj_2", "override", 2, until=NOW + 1)]
    assert limit(*reversed(same)) == 2


def test_those_of_other_subjects_do_not_count() -> None:
    each = budget(each="person")
    ann, all_of_them = adjustment("adj_a", subject="usr_a"), adjustment("adj_b", amount=1)
    assert limit(ann, all_of_them, subject="usr_a", record=each) == 61
    assert limit(ann, all_of_them, subject="usr_b", record=each) == 51


def test_a_limit_is_never_below_zero_or_above_what_fits() -> None:
    assert limit(adjustment(amount=-60)) == 0
    assert limit(*(adjustment(f"adj_{n}", amount=MAX_AMOUNT) for n in range(12))) == MAX_AMOUNT


@pytest.mark.parametrize(
    ("now", "window"),
    [
        ("2026-03-29T12:00:00+02:00", ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00")),  # 23 hours
        ("2026-10-25T12:00:00+01:00", ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00")),  # 25 hours
    ],
)
def test_a_top_up_on_a_day_on_which_clocks_change(now: str, window: tuple[str, str]) -> None:
    berlin = budget(window=WindowRule(every="day", zone="Europe/Berlin"))
    start, end = map(at, window)
    assert window_of(Directory(), berlin, at(now), UTC) == Window(start, end)
    for created, counts in ((start - 1, False), (start, True), (end - 1, True), (end, False)):
        one = adjustment(created=created)
        assert limit_of(berlin, [one], "", Window(start, end), at(now)) == (60 if counts else 50)


def test_the_zone_of_a_budget() -> None:
    directory = directory_of(
        team("team_top", "Top", zone="Asia/Tokyo"), team("team_a", parent="team_top"), team("team_b", "B"),
        key(team="team_a"), key("key_b", "B"),
    )  # fmt: skip

    def zone(**selector: Any) -> str:
        return str(zone_of_budget(directory, budget(**selector), ZoneInfo("Europe/Paris")))

    assert zone(window=WindowRule(every="day", zone="America/Lima"), team="team_a") == "America/Lima"
    assert zone(team="team_a") == zone(key="key_a") == zone(team="team_a", each="key") == "Asia/Tokyo"
    assert zone(team="team_b") == zone(key="key_b") == zone() == zone(each="person") == "Europe/Paris"


def test_the_budgets_of_a_key() -> None:
    mine = key(team="team_a", person="usr_a")
    directory = directory_of(
        team("team_top", "Top"), team("team_a", parent="team_top"), mine,
        budget("bud_a", team="team_top", model="claude-*", route="fast", tag="app"), budget("bud_b", key="key_b"),
        budget("bud_c", each="person"), budget("bud_d", status="disabled"), budget("bud_e", each="end_user"),
    )  # fmt: skip
    chosen = budgets_of_key(directory, mine)
    assert [(one.id, subject) for one, subject in chosen] == [("bud_a", ""), ("bud_c", "usr_a")]
    assert chosen[0][0] is directory.budgets["bud_a"]


def test_adjustments_that_count_now_come_in_their_order() -> None:
    records = [
        adjustment("adj_b", created=NOW + 1), adjustment("adj_a", created=NOW + 1), adjustment("adj_c", created=NOW),
        adjustment("adj_old", created=NOW - 90 * 24 * 3_600_000_000), adjustment("adj_over", until=NOW + 5),
    ]  # fmt: skip
    directory = directory_of(budget(), *records)
    current = current_adjustments(directory, directory.budgets["bud_a"], NOW + 10, UTC)
    assert [one.id for one in current] == ["adj_c", "adj_a", "adj_b"]


@given(
    st.lists(
        st.builds(
            adjustment,
            created=st.integers(0, 40),
            until=st.none() | st.integers(0, 60),
            amount=st.integers(-20, 20),
            kind=st.sampled_from(["top_up", "override"]),
        ),
        max_size=5,
    ),
    st.sampled_from([Window(10, 30), Window(0, None)]),
    st.integers(10, 29),
    st.integers(0, 60),
)
def test_a_limit_stays_what_it_is_between_two_instants(
    adjustments: list[Adjustment], window: Window, now: int, other: int
) -> None:
    record = budget()
    since, until = unchanged_between(adjustments, window, now)
    assert since <= now < until
    if since <= other < until:
        assert limit_of(record, adjustments, "", window, other) == limit_of(record, adjustments, "", window, now)

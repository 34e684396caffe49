"""Budgets, their windows and what changed their limits, as JSON has them."""

import pytest

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budget_views import WindowState, adjustment_json, adjustments_now, budget_json, state_json
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.periods import parse_instant
from modelmux.accounts.windows import Window, WindowRule
from modelmux.config.accounts_check import zone_of

UTC = zone_of("UTC")
NOW = parse_instant("2026-11-15T12:00:00Z")


def budget(**fields):
    return Budget(
        **{"id": "bud_1", "name": "all", "limit": 1_500_000_000, "window": WindowRule(every="month"), **fields}
    )


def test_amounts_are_plain_decimals_in_the_unit_of_the_budget():
    state = WindowState(subject="", window=Window(0, None), limit=50_000_000_000, spent=12_345_678, held=0)
    shown = state_json(budget(), state)
    assert (shown["limit"], shown["spent"], shown["held"]) == ("50", "0.012345678", "0")
    assert (shown["subject"], shown["start"], shown["resets_at"]) == (None, "1970-01-01T00:00:00Z", None)
    assert state_json(budget(unit="tokens"), state)["spent"] == "12345678"


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        (WindowRule(every="month"), "month"),
        (WindowRule(every="lifetime"), "lifetime"),
        (WindowRule(every="day", zone="Asia/Tokyo"), {"every": "day", "zone": "Asia/Tokyo"}),
        (WindowRule(every="week", starts="sunday", hour=6), {"every": "week", "starts": "sunday", "hour": 6}),
    ],
)
def test_a_window_is_one_word_unless_more_is_set(rule, shown):
    assert budget_json(budget(window=rule))["window"] == shown


def test_a_budget_shows_the_conditions_that_it_has():
    shown = budget_json(budget(applies_to=Selector(team="team_1", each="person"), alerts=(50, 100)))
    assert shown["applies_to"] == {"team": "team_1", "each": "person"}
    assert (shown["limit"], shown["unit"], shown["alerts"]) == ("1.5", "usd", [0.5, 1.0])


def test_only_adjustments_that_count_now_are_shown_in_the_order_in_which_they_apply():
    def adjustment(id, created, until=None, **fields):
        at = parse_instant(created)
        return Adjustment(id=id, budget="bud_1", kind="top_up", amount=10**9, created=at, until=until, **fields)

    directory = Directory().updated(Changes(
        version=1, budgets=[budget()],
        adjustments=[
            adjustment("adj_3", "2026-11-14"), adjustment("adj_2", "2026-11-02", subject="usr_1"),
            adjustment("adj_1", "2026-10-31"), adjustment("adj_0", "2026-11-01", until=NOW),
        ],
    ))  # fmt: skip
    current = adjustments_now(directory, budget(), NOW, UTC)
    assert [one.id for one in current] == ["adj_2", "adj_3"]
    assert adjustment_json(budget(), current[0]) == {
        "id": "adj_2", "budget": "bud_1", "kind": "top_up", "subject": "usr_1", "amount": "1", "reason": "",
        "author": "", "created_at": "2026-11-02T00:00:00Z", "until": None,
    }  # fmt: skip

"""Risk: a threshold is told twice in a window or never, or what is told is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelmux.accounts.alerts import MOST_WATCHED, Watch, Watches, alerts_of, pause_after
from modelmux.accounts.budgets import Budget
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.windows import WindowRule

NANO = 10**9
#: 2026-12-01 and 2027-01-01, 00:00 UTC.
START, END = 1_796_083_200_000_000, 1_798_761_600_000_000
WINDOW = WindowKey("bud_a", "", START)
DAY = 86_400_000_000


def budget(**fields: Any) -> Budget:
    rule = WindowRule(every="month")
    return Budget(**{"id": "bud_a", "name": "small", "limit": 50 * NANO, "window": rule} | fields)


def watch(refuses: bool = False, **fields: Any) -> Watch:
    return Watch(budget(**fields), 50 * NANO, END, refuses=refuses)


def percents(spent: int, **fields: Any) -> list[tuple[int, bool]]:
    return [(one.percent, one.refused) for one in alerts_of(WINDOW, watch(**fields), spent, START + DAY)]


def test_thresholds_are_reached_at_their_share_of_the_limit_exactly() -> None:
    assert percents(25 * NANO - 1) == []
    assert percents(25 * NANO) == [(50, False)]
    assert percents(40 * NANO) == [(50, False), (80, False)]
    assert percents(75 * NANO, mode="soft", alerts=(100, 150, 200)) == [(100, False), (150, False)]
    assert percents(99 * NANO, alerts=()) == []


def test_a_refusal_of_a_hard_budget_tells_its_last_threshold() -> None:
    assert percents(40 * NANO, refuses=True) == [(50, False), (80, False), (100, True)]
    assert percents(50 * NANO, refuses=True) == [(50, False), (80, False), (100, False)]
    assert percents(40 * NANO, refuses=True, mode="soft") == [(50, False), (80, False)]
    assert percents(1, refuses=True, alerts=(50,)) == []


def test_what_is_told() -> None:
    (alert,) = alerts_of(WINDOW, watch(), 25_125_000_000, START + DAY)
    assert msgspec.to_builtins(alert) == {
        "id": alert.id, "type": "budget.threshold", "at": "2026-12-02T00:00:00Z", "subject": "",
        "budget": {"id": "bud_a", "name": "small"},
        "window": {"start": "2026-12-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"},
        "percent": 50, "refused": False, "unit": "usd", "limit": "50", "spent": "25.125",
    }  # fmt: skip
    assert alert.message == "the budget 'small' has reached 50 %: 25.125 of 50 USD are spent"
    of_ann = WindowKey("bud_a", "usr_ann", START)
    refused = Watch(budget(unit="tokens", alerts=(100,)), 10, None, refuses=True)
    (alert,) = alerts_of(of_ann, refused, 7, START)
    assert alert.message == "the budget 'small' of usr_ann has refused a request: 7 of 10 tokens are spent"
    assert (alert.window.end, alert.limit, alert.spent) == (None, "10", "7")


def test_an_id_is_that_of_the_threshold_of_the_window() -> None:
    def ids(window: WindowKey, spent: int, at: int) -> list[str]:
        return [one.id for one in alerts_of(window, watch(), spent, at)]

    once = ids(WINDOW, 40 * NANO, START)
    assert ids(WINDOW, 45 * NANO, START + 1) == once
    others = [WINDOW._replace(subject="usr_a"), WINDOW._replace(start=START + DAY), WINDOW._replace(budget="bud_b")]
    every = [*once, *(id for window in others for id in ids(window, 40 * NANO, START))]
    assert len(set(every)) == 8


def test_the_store_looks_at_what_is_charged_and_once_at_what_refused() -> None:
    watches = Watches()
    other = WINDOW._replace(budget="bud_b")
    watches.charged(WINDOW, watch())
    watches.charged(other, watch(alerts=()))
    assert watches.of([WINDOW, other]) == {WINDOW: watch()}
    assert watches.of([]) == {}
    watches.refused(WINDOW, watch())
    watches.refused(other, watch(alerts=(50,)))
    looked = watches.of([])
    assert looked == {WINDOW: watch(refuses=True)}
    assert watches.of([WINDOW]) == looked, "an exchange that failed is repeated"
    watches.refused(WINDOW, watch())
    watches.looked_at(looked)
    assert watches.of([]) == looked, "one of meanwhile is looked at next time"
    watches.looked_at(watches.of([]))
    assert watches.of([]) == {}


def test_the_windows_that_are_known_are_bounded() -> None:
    watches = Watches()
    windows = [WINDOW._replace(subject=str(number)) for number in range(MOST_WATCHED + 1)]
    for window in windows:
        watches.charged(window, watch())
    watches.charged(windows[1], watch())
    watches.charged(WINDOW, watch())
    assert set(watches.of([*windows[:3], WINDOW])) == {windows[1], WINDOW}


@pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (5, 16), (12, 2048), (13, 3600), (10_000, 3600)])
def test_deliveries_are_repeated_ever_more_rarely(failures: int, seconds: float) -> None:
    assert pause_after(failures) == seconds

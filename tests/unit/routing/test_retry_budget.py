"""Risk: an outage is multiplied by retries, or one lost connection in a thousand is not retried."""

from __future__ import annotations

from modelmux.routing.retry_budget import RECENT, RESERVE, SHARE, Budget


def retries(budget: Budget, wanted: int) -> int:
    made = 0
    while made < wanted and budget.spare:
        budget.spend()
        made += 1
    return made


def test_the_reserve_is_there_at_once() -> None:
    assert retries(Budget(), 100) == RESERVE


def test_in_an_outage_a_fifth_is_added_at_most() -> None:
    budget, made = Budget(), 0
    for _ in range(10_000):
        budget.earn()
        made += retries(budget, 3)
    assert made <= 10_000 * SHARE + RESERVE
    assert made >= 10_000 * SHARE


def test_what_is_not_used_is_forgotten() -> None:
    budget = Budget()
    for _ in range(100_000):
        budget.earn()
    assert retries(budget, 10**6) == RESERVE + SHARE * RECENT

"""Risk: an outage is multiplied by retries, or one lost connection in a thousand is not retried."""

from __future__ import annotations

from modelmux.routing.retry_budget import MAX_COUNTED_REQUESTS, MIN_RETRIES, RETRY_RATIO, RetryBudget


def retries(budget: RetryBudget, wanted: int) -> int:
    made = 0
    while made < wanted and budget.has_retry:
        budget.withdraw()
        made += 1
    return made


def test_the_reserve_is_there_at_once() -> None:
    assert retries(RetryBudget(), 100) == MIN_RETRIES


def test_in_an_outage_a_fifth_is_added_at_most() -> None:
    budget, made = RetryBudget(), 0
    for _ in range(10_000):
        budget.deposit()
        made += retries(budget, 3)
    assert made <= 10_000 * RETRY_RATIO + MIN_RETRIES
    assert made >= 10_000 * RETRY_RATIO


def test_what_is_not_used_is_forgotten() -> None:
    budget = RetryBudget()
    for _ in range(100_000):
        budget.deposit()
    assert retries(budget, 10**6) == MIN_RETRIES + RETRY_RATIO * MAX_COUNTED_REQUESTS

"""Risk: an outage is multiplied by retries, or one lost connection in a thousand is not retried."""

from __future__ import annotations

from modelmux.routing.retry_budget import MAX_COUNTED_REQUESTS, MIN_RETRIES, RETRY_RATIO, RetryBudget


def retries(budget: RetryBudget, wanted: int) -> int:
    count = 0
    while count < wanted and budget.has_retry:
        budget.withdraw()
        count += 1
    return count


def test_the_minimum_is_available_at_once() -> None:
    assert retries(RetryBudget(), 100) == MIN_RETRIES


def test_an_outage_adds_at_most_a_fifth_of_the_requests() -> None:
    budget, count = RetryBudget(), 0
    for _ in range(10_000):
        budget.deposit()
        count += retries(budget, 3)
    assert count <= 10_000 * RETRY_RATIO + MIN_RETRIES
    assert count >= 10_000 * RETRY_RATIO


def test_unused_retries_accumulate_up_to_a_maximum() -> None:
    budget = RetryBudget()
    for _ in range(100_000):
        budget.deposit()
    assert retries(budget, 10**6) == MIN_RETRIES + RETRY_RATIO * MAX_COUNTED_REQUESTS

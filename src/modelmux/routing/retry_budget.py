"""The retries a route may afford, so that retries do not multiply an outage. Counts requests; needs no clock."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: Retries per request, on average: during an outage the upstream sees 20 % more requests, not four times as many.
RETRY_RATIO: Final = 0.2
#: Retries available before the first request.
MIN_RETRIES: Final = 10.0
#: The number of requests whose unused retries can accumulate.
MAX_COUNTED_REQUESTS: Final = 1_000


class RetryBudget(Struct):
    """A token bucket: every request deposits a fraction of a retry, every retry withdraws one. Mutable."""

    balance: float = MIN_RETRIES

    def deposit(self) -> None:
        """Count a request."""
        self.balance = min(MIN_RETRIES + RETRY_RATIO * MAX_COUNTED_REQUESTS, self.balance + RETRY_RATIO)

    @property
    def has_retry(self) -> bool:
        """Whether the budget has a retry left."""
        return self.balance >= 1.0

    def withdraw(self) -> None:
        """Count a retry."""
        self.balance -= 1.0

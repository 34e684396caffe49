"""How many retries a route may afford, so that an outage is not multiplied. Counts requests; knows no clock."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: Retries for each request, on average: during an outage the upstream sees a fifth more than without us, not four times
#: as much.
SHARE: Final = 0.2
#: Retries that are there before there were any requests.
RESERVE: Final = 10.0
#: The requests that are remembered: what more of them leave unused is forgotten.
RECENT: Final = 1_000


class Budget(Struct):
    """A bucket of retries: every request adds a part of one, every retry takes one. Changed in place."""

    left: float = RESERVE

    def earn(self) -> None:
        """A request has come."""
        self.left = min(RESERVE + SHARE * RECENT, self.left + SHARE)

    @property
    def spare(self) -> bool:
        """Whether there is a retry left."""
        return self.left >= 1.0

    def spend(self) -> None:
        """A retry is made."""
        self.left -= 1.0

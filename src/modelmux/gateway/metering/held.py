"""What one request holds of its budgets, from its first call to its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from modelmux.accounts.alerts import Watch
from modelmux.accounts.budgets import Budget, Unit
from modelmux.accounts.entry import Entry
from modelmux.accounts.slices import Hold, WindowKey


class BudgetWindow(Struct, frozen=True):
    """The window of one budget that a request is charged to.

    :param limit: in force when the request arrived, with top-ups.
    :param end: microseconds in UTC; None for a lifetime.
    """

    key: WindowKey
    budget: Budget
    limit: int
    end: int | None

    @property
    def is_hard(self) -> bool:
        return self.budget.mode == "hard"

    @property
    def watch(self) -> Watch:
        """What tells when it reaches a threshold."""
        return Watch(self.budget, self.limit, self.end)


class Held(Struct):
    """
    :param windows: hard and soft; only the hard ones are held.
    :param team: of the key; ids from the topmost team down, joined by ``/``.
    :param worst: of the call that runs, and of those before it that may be billed.
    """

    windows: Sequence[BudgetWindow]
    hold: Hold
    team: str = ""
    worst: dict[WindowKey, int] = {}

    @property
    def money(self) -> int:
        """nano-USD that are held; of several budgets the most."""
        return max((self.hold.amounts.get(one.key, 0) for one in self.windows if one.budget.unit == "usd"), default=0)


def costs_of(entry: Entry, windows: Sequence[BudgetWindow], held: Mapping[WindowKey, int]) -> dict[WindowKey, int]:
    """What a request costs each window. Where its price is unknown, it costs what it held."""
    amounts: dict[Unit, int | None] = {
        "usd": None if entry.cost is None else entry.cost.total,
        "tokens": entry.counts.prompt + entry.counts.output,
        "requests": 1 if entry.attempts else 0,
    }
    costs = {}
    for one in windows:
        amount = amounts[one.budget.unit]
        costs[one.key] = held.get(one.key, 0) if amount is None else amount
    return costs

"""What one request holds of its budgets, from its first call to its row."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from modelmux.accounts.budgets import Budget
from modelmux.accounts.slices import Hold, WindowKey
from modelmux.claude.demand import Demand


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


class Held(Struct):
    """
    :param windows: hard and soft; only the hard ones are held.
    :param team: of the key; ids from the topmost team down, joined by ``/``.
    :param worst: of the call that runs, and of those before it that may be billed.
    :param demand: of the call that runs.
    """

    windows: Sequence[BudgetWindow]
    hold: Hold
    team: str = ""
    worst: dict[WindowKey, int] = {}
    demand: Demand = Demand(prompt=0, output=0)

    @property
    def money(self) -> int:
        """nano-USD that are held; of several budgets the most."""
        return max((self.hold.amounts.get(one.key, 0) for one in self.windows if one.budget.unit == "usd"), default=0)

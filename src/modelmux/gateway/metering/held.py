"""What one request holds of its budgets, from its first call to its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from modelmux.accounts.debits import ChargedWindow
from modelmux.accounts.slices import Hold, WindowKey
from modelmux.claude.demand import Demand
from modelmux.gateway.metering.applied_budgets import AppliedBudgets, BudgetWindow


class Held(Struct):
    """
    :param applied: budgets, for whatever model; only the hard ones of models that are called are held.
    :param team: of the key; ids from the topmost team down, joined by ``/``.
    :param worst: of the last call. :param before: of those before it that may be billed, together.
    :param demand: of the last call; None where nothing is held of it.
    :param charged: all windows, with what is held of them; see ``note_amounts``.
    """

    applied: AppliedBudgets
    hold: Hold
    team: str = ""
    worst: Mapping[WindowKey, int] = {}
    before: Mapping[WindowKey, int] = {}
    demand: Demand | None = None
    charged: Sequence[ChargedWindow] = ()

    @property
    def windows(self) -> tuple[BudgetWindow, ...]:
        """Hard and soft."""
        return self.applied.windows

    @property
    def money(self) -> int:
        """nano-USD that are held; of several budgets the most."""
        amounts, most = self.hold.amounts, 0
        for one in self.applied.windows:
            if one.is_money:
                most = max(most, amounts.get(one.key, 0))
        return most

    def underrun(self, costs: Mapping[WindowKey, int]) -> int:
        """nano-USD that a request cost above what it held; of several budgets the most.

        :param costs: of each window.
        """
        amounts, most = self.hold.amounts, 0
        for one in self.applied.windows:
            if one.is_money and one.is_hard:
                most = max(most, costs[one.key] - amounts.get(one.key, 0))
        return most

    def billed(self, last: Mapping[WindowKey, int]) -> dict[WindowKey, int]:
        """What the calls so far have cost, or may have. A request is one, however many there are.

        :param last: the same of the last one; empty if it is not billed.
        """
        if not last:
            return dict(self.before)
        several = {one.key for one in self.windows if one.budget.unit != "requests"}
        keys = several.intersection((*self.before, *last))
        return {key: self.before.get(key, 0) + last.get(key, 0) for key in keys}

    def note_amounts(self) -> None:
        """Another call is held for."""
        amounts = self.hold.amounts
        self.charged = [
            ChargedWindow(one.key, one.unit, one.model, amounts.get(one.key)) for one in self.applied.windows
        ]

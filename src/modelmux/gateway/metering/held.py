"""What one request holds of its budgets, from its first call to its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from modelmux.accounts.alerts import Watch
from modelmux.accounts.budgets import Budget
from modelmux.accounts.debits import ChargedWindow
from modelmux.accounts.name_pattern import matches_model
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

    @property
    def watch(self) -> Watch:
        """What tells when it reaches a threshold."""
        return Watch(self.budget, self.limit, self.end)

    def counts(self, model: str) -> bool:
        """Whether calls of a model are charged to it. :param model: its Vertex id."""
        pattern = self.budget.applies_to.model
        return pattern is None or matches_model(model, pattern)


class Held(Struct):
    """
    :param windows: hard and soft, for whatever model; only the hard ones of models that are called are held.
    :param team: of the key; ids from the topmost team down, joined by ``/``.
    :param worst: of the last call. :param before: of those before it that may be billed, together.
    :param demand: of the last call; None where nothing is held of it.
    """

    windows: Sequence[BudgetWindow]
    hold: Hold
    team: str = ""
    worst: Mapping[WindowKey, int] = {}
    before: Mapping[WindowKey, int] = {}
    demand: Demand | None = None

    @property
    def money(self) -> int:
        """nano-USD that are held; of several budgets the most."""
        return max((self.hold.amounts.get(one.key, 0) for one in self.windows if one.budget.unit == "usd"), default=0)

    def underrun(self, costs: Mapping[WindowKey, int]) -> int:
        """nano-USD that a request cost above what it held; of several budgets the most."""
        hard = [one.key for one in self.windows if one.is_hard and one.budget.unit == "usd"]
        return max((costs[key] - self.hold.amounts.get(key, 0) for key in hard), default=0)

    def billed(self, *, last_too: bool) -> dict[WindowKey, int]:
        """What the calls so far may cost. A request is one, however many there are.

        :param last_too: the last one may be billed.
        """
        if not last_too:
            return dict(self.before)
        several = {one.key for one in self.windows if one.budget.unit != "requests"}
        keys = several.intersection((*self.before, *self.worst))
        return {key: self.before.get(key, 0) + self.worst.get(key, 0) for key in keys}

    def charged(self) -> list[ChargedWindow]:
        """The windows, with what is held of them."""
        amounts = self.hold.amounts
        return [
            ChargedWindow(one.key, one.budget.unit, one.budget.applies_to.model, amounts.get(one.key))
            for one in self.windows
        ]

"""What one request holds of its budgets, from its first call to its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from modelmux.accounts.alerts import Watch
from modelmux.accounts.budgets import Budget
from modelmux.accounts.cost import TokenCounts
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.name_pattern import matches_model
from modelmux.accounts.priced_calls import cost_of_attempts
from modelmux.accounts.slices import Hold, WindowKey
from modelmux.catalog.prices import PriceList

_MICRO: Final = 1_000_000


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
    """

    windows: Sequence[BudgetWindow]
    hold: Hold
    team: str = ""
    worst: Mapping[WindowKey, int] = {}
    before: Mapping[WindowKey, int] = {}

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


def costs_of(
    entry: Entry, windows: Sequence[BudgetWindow], held: Mapping[WindowKey, int], prices: PriceList
) -> dict[WindowKey, int]:
    """What a request costs each window: its calls of the models that the budget is for. Where the price of one is
    unknown, it costs what it held."""
    costs = {}
    for one in windows:
        attempts = [attempt for attempt in entry.attempts if one.counts(attempt.model or "")]
        amount = _amount(entry, attempts, one, prices)
        costs[one.key] = held.get(one.key, 0) if amount is None else amount
    return costs


def _amount(entry: Entry, attempts: Sequence[AttemptEntry], window: BudgetWindow, prices: PriceList) -> int | None:
    unit, is_all = window.budget.unit, len(attempts) == len(entry.attempts)
    if unit == "requests":
        return 1 if attempts else 0
    if unit == "tokens":
        each = (one.counts for one in attempts if one.counts is not None)
        counts = entry.counts if is_all else sum(each, TokenCounts())
        return counts.prompt + counts.output
    day = datetime.fromtimestamp(entry.at // _MICRO, UTC).date()
    cost = entry.cost if is_all else cost_of_attempts(attempts, day, prices)
    return None if cost is None else cost.total

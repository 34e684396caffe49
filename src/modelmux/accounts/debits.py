"""What the row of a request spends of the windows that it is charged to, and what rows together have spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.budgets import Unit
from modelmux.accounts.charge import Charge
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.name_pattern import matches_model
from modelmux.accounts.periods import day_of
from modelmux.accounts.priced_calls import cost_of_attempts
from modelmux.accounts.slices import WindowKey
from modelmux.catalog.prices import PriceList


class ChargedWindow(Struct, frozen=True, array_like=True):
    """A window that a request is charged to.

    :param model: a pattern of Vertex ids whose calls are charged; None for all.
    :param held: in the unit of its budget; None if nothing is.
    """

    key: WindowKey
    unit: Unit
    model: str | None = None
    held: int | None = None


def debits_of(entry: Entry, windows: Iterable[ChargedWindow], prices: PriceList) -> dict[WindowKey, int]:
    """An amount for each window, in its unit: of the calls of its models. Where the price of one is unknown, it costs
    what it held."""
    debits = {}
    for one in windows:
        attempts: Sequence[AttemptEntry] = entry.attempts
        if one.model is not None:
            attempts = [attempt for attempt in attempts if matches_model(attempt.model or "", one.model)]
        amount = _amount(entry, attempts, one.unit, prices)
        debits[one.key] = one.held or 0 if amount is None else amount
    return debits


def sums_of_debits(rows: Iterable[Entry]) -> dict[WindowKey, int]:
    """What a row and its corrections have spent of each window, in the unit of its budget."""
    sums: dict[WindowKey, int] = {}
    for one in rows:
        for window, amount in one.debits:
            sums[window] = sums.get(window, 0) + amount
    return sums


def changed_debits(
    directory: Directory, rows: Sequence[Entry], cost: Cost, prices: PriceList
) -> tuple[tuple[WindowKey, int], ...]:
    """What windows of budgets in USD are charged in addition, or get back, where a request costs something else.

    :param directory: has the budgets; windows of others stay as they are.
    :param rows: the request and its corrections. :param cost: of all of them together, from now on.
    """
    request, changes = rows[0], []
    for window, amount in sums_of_debits(rows).items():
        budget = directory.budgets.get(window.budget)
        if budget is not None and budget.unit == "usd":
            charged = ChargedWindow(window, "usd", budget.applies_to.model, amount)
            wanted = debits_of(replace(request, cost=cost), (charged,), prices)[window]
            changes.append((window, wanted - amount))
    return tuple((window, change) for window, change in changes if change)


def amount_of(charge: Charge, unit: Unit) -> int | None:
    """What one call costs, in the unit of a budget; None for money if its price is unknown."""
    if unit == "requests":
        return 1
    if unit == "tokens":
        return charge.counts.prompt + charge.counts.output
    return None if charge.cost is None else charge.cost.total


def _amount(entry: Entry, attempts: Sequence[AttemptEntry], unit: Unit, prices: PriceList) -> int | None:
    is_all = len(attempts) == len(entry.attempts)
    if unit == "requests":
        return 1 if attempts else 0
    if unit == "tokens":
        each = (one.counts for one in attempts if one.counts is not None)
        counts = entry.counts if is_all else sum(each, TokenCounts())
        return counts.prompt + counts.output
    cost = entry.cost if is_all else cost_of_attempts(attempts, day_of(entry.at), prices)
    return None if cost is None else cost.total

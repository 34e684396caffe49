"""What the row of a request spends of the windows that it is charged to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelmux.accounts.budgets import Unit
from modelmux.accounts.entry import Entry
from modelmux.accounts.slices import WindowKey


def debits_of(
    entry: Entry, windows: Iterable[tuple[WindowKey, Unit]], held: Mapping[WindowKey, int]
) -> dict[WindowKey, int]:
    """An amount for each window, in its unit. Where the price of the request is unknown, it costs what it held."""
    amounts: dict[Unit, int | None] = {
        "usd": None if entry.cost is None else entry.cost.total,
        "tokens": entry.counts.prompt + entry.counts.output,
        "requests": 1 if entry.attempts else 0,
    }
    debits = {}
    for key, unit in windows:
        amount = amounts[unit]
        debits[key] = held.get(key, 0) if amount is None else amount
    return debits

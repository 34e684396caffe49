"""Risk: a call before the last one of a request is held at another amount than it is charged."""

from __future__ import annotations

import pytest

from modelmux.accounts.budgets import Unit
from modelmux.accounts.charge import Charge
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.debits import ChargedWindow, amount_of, debits_of
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.slices import WindowKey
from modelmux.catalog import builtin_prices

COUNTS = TokenCounts(input=7, cache_write=2, cache_read=5, output=3)


@pytest.mark.parametrize(("unit", "amount"), [("usd", 11), ("tokens", 17), ("requests", 1)])
def test_a_call_costs_what_its_row_is_charged(unit: Unit, amount: int) -> None:
    window, cost = WindowKey("bud_a", "", 0), Cost(input=4, output=7)
    entry = Entry(
        id=bytes(16), at=0, key="key_a", counts=COUNTS, cost=cost, attempts=(AttemptEntry("a", "ok", COUNTS),)
    )  # fmt: skip
    assert debits_of(entry, [ChargedWindow(window, unit)], builtin_prices()) == {window: amount}
    assert amount_of(Charge(counts=COUNTS, cost=cost), unit) == amount


def test_without_a_price_it_is_not_known_what_it_costs() -> None:
    assert amount_of(Charge(counts=COUNTS, cost=None), "usd") is None

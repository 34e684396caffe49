"""What a request costs at most: in money, tokens and requests. It never costs less than its worst case allows for.

Not exact are web searches, whose results are as long as the upstream makes them, and compaction by the upstream; what
they cost above the worst case is charged all the same, and counted.
"""

from __future__ import annotations

from typing import Final

from modelmux.accounts.budgets import Unit
from modelmux.catalog.prices import Price
from modelmux.claude.demand import Demand

_MILLION: Final = 1_000_000


def worst_case(demand: Demand, unit: Unit, price: Price | None, location: str) -> int | None:
    """The amount in the unit of a budget; None for money if there is no price.

    :param price: of the model on this day. :param location: where the call goes.
    """
    if unit == "requests":
        return 1
    if unit == "tokens":
        return demand.prompt + demand.output
    rates = price.rates_for(location, demand.prompt, fast=demand.fast) if price is not None else None
    if price is None or rates is None:
        return None
    shorter = price.rates_for(location, 0, fast=demand.fast)  # a prompt that turns out shorter may have other prices
    assert shorter is not None, "fast mode has a price or none, whatever the prompt"
    dearest = [max(getattr(rates, name), getattr(shorter, name)) for name in _PROMPT_RATES[demand.writes]]
    output = max(rates.output, shorter.output)
    searches = demand.searches * max(rates.web_search, shorter.web_search)
    return _ceiling(demand.prompt * max(dearest)) + _ceiling(demand.output * output) + searches + _ROUNDING


#: How long the prompt may be written to the cache -> the rates that a token of it may have.
_PROMPT_RATES: Final = {
    "none": ("input", "cache_read"),
    "5m": ("input", "cache_read", "cache_write"),
    "1h": ("input", "cache_read", "cache_write", "cache_write_1h"),
}
#: Each component of a cost is rounded by itself: up to half a nano-USD each.
_ROUNDING: Final = 3


def tokens_that_fit(demand: Demand, unit: Unit, price: Price | None, location: str, amount: int) -> int | None:
    """How many tokens of output an amount allows for; None if the prompt alone is too much, or money has no price."""
    without = worst_case(_without_output(demand), unit, price, location)
    with_one = worst_case(_without_output(demand, _MILLION), unit, price, location)
    if without is None or with_one is None or amount < without or with_one == without:
        return None
    return (amount - without) * _MILLION // (with_one - without)


def _without_output(demand: Demand, output: int = 0) -> Demand:
    return Demand(prompt=demand.prompt, output=output, writes=demand.writes, searches=demand.searches, fast=demand.fast)


def _ceiling(amount: int) -> int:
    return -(-amount // _MILLION)

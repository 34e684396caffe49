"""What a request costs at most: in money, tokens and requests. It never costs less than its worst case allows for.

Not exact are web searches, whose results are as long as the upstream makes them, and compaction by the upstream; what
they cost above the worst case is charged all the same, and counted.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from msgspec.structs import astuple

from modelmux.accounts.budgets import Unit
from modelmux.catalog.prices import Price, Rates
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
    if price.long_prompt is not None:  # a prompt that turns out shorter, or that of a round, may have other prices
        shorter = price.rates_for(location, 0, fast=demand.fast)
        assert shorter is not None, "fast mode has a price or none, whatever the prompt"
        rates = _dearest(rates, shorter)
    prompt = demand.prompt * max(_PROMPT_RATES[demand.writes](rates))
    searches = demand.searches * rates.web_search
    return _ceiling(prompt) + _ceiling(demand.output * rates.output) + searches + _ROUNDING


#: How long the prompt may be written to the cache -> the rates that a token of it may have.
_PROMPT_RATES: Final = {
    "none": attrgetter("input", "cache_read"),
    "5m": attrgetter("input", "cache_read", "cache_write"),
    "1h": attrgetter("input", "cache_read", "cache_write", "cache_write_1h"),
}


def _dearest(one: Rates, other: Rates) -> Rates:
    """Of each token the price that is higher."""
    pairs = zip(Rates.__struct_fields__, astuple(one), astuple(other), strict=True)
    return Rates(**{name: max(first, second) for name, first, second in pairs})


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

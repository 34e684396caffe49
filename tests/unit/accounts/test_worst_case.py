"""Risk: a request costs more than its worst case, so that a budget is passed."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelmux.accounts.cost import TokenCounts, cost_of
from modelmux.accounts.worst_case import tokens_that_fit, worst_case
from modelmux.catalog.prices import Price, builtin_prices
from modelmux.claude.demand import Demand

DAY = date(2026, 11, 20)
PRICES = [price for price in builtin_prices().prices if price.from_date is None or price.from_date <= DAY]
LOCATIONS = ("global", "eu", "us-east5")


@given(
    st.sampled_from(PRICES),
    st.sampled_from(LOCATIONS),
    st.integers(0, 400_000),
    st.integers(0, 64_000),
    st.sampled_from(["none", "5m", "1h"]),
    st.integers(0, 5),
    st.data(),
)
def test_nothing_costs_more(
    price: Price, location: str, prompt: int, output: int, writes: str, searches: int, data: st.DataObject
) -> None:
    demand = Demand(prompt=prompt, output=output, writes=writes, searches=searches)  # type: ignore[arg-type]
    written = data.draw(st.integers(0, prompt)) if writes != "none" else 0
    long = data.draw(st.integers(0, written)) if writes == "1h" else 0
    read = data.draw(st.integers(0, prompt - written))
    used = TokenCounts(
        input=data.draw(st.integers(0, prompt - written - read)),
        cache_write=written - long,
        cache_write_1h=long,
        cache_read=read,
        output=data.draw(st.integers(0, output)),
        web_searches=data.draw(st.integers(0, searches)),
    )
    rates = price.rates_for(location, used.prompt)
    worst = worst_case(demand, "usd", price, location)
    assert rates is not None
    assert worst is not None
    assert cost_of(used, rates).total <= worst
    assert used.prompt + used.output <= (worst_case(demand, "tokens", None, location) or 0)


@given(st.sampled_from(PRICES), st.integers(0, 300_000), st.integers(0, 10**10))
def test_what_fits_fits_and_one_more_does_not(price: Price, prompt: int, amount: int) -> None:
    demand = Demand(prompt=prompt, output=64_000, writes="5m")
    fits = tokens_that_fit(demand, "usd", price, "global", amount)
    assume(fits is not None)
    assert fits is not None
    cost = worst_case(Demand(prompt=prompt, output=fits, writes="5m"), "usd", price, "global")
    more = worst_case(Demand(prompt=prompt, output=fits + 1, writes="5m"), "usd", price, "global")
    assert cost is not None
    assert more is not None
    assert cost <= amount < more


def test_where_the_prompt_alone_is_too_much_nothing_fits() -> None:
    assert tokens_that_fit(Demand(prompt=1_000, output=1), "usd", PRICES[0], "global", 10) is None
    assert tokens_that_fit(Demand(prompt=1_000, output=1), "tokens", None, "global", 1_300) == 300
    assert tokens_that_fit(Demand(prompt=1_000, output=1), "requests", None, "global", 0) is None


@pytest.mark.parametrize("fast", [False, True])
def test_money_needs_a_price(fast: bool) -> None:
    assert worst_case(Demand(prompt=1, output=1, fast=fast), "usd", None, "global") is None
    assert worst_case(Demand(prompt=1, output=1, fast=fast), "requests", None, "global") == 1

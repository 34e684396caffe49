"""Risk: savings that ignore what writes cost, the location, the size of the prompt or the day, or invent a price."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelmux.accounts.cache_savings import ModelSavings, cache_savings
from modelmux.accounts.cost import Cost, TokenCounts, cost_of
from modelmux.accounts.usage_query import UsageRow
from modelmux.catalog.prices import NANO, Price, PriceList, amount, builtin_prices, rates_from_input

DAY = 86_400_000_000
MODEL = "claude-sonnet-4-6"
RATES = rates_from_input(amount("3"), web_search=0)
PRICES = PriceList([Price(model=MODEL, rates=RATES, source="a test")])
#: In each kind a whole number of nano-USD at every factor, so that charges are exact.
THOUSANDS = st.integers(0, 10**6).map(lambda count: count * 1000)


def row(counts: TokenCounts, cost: Cost, *, model: str | None = MODEL, start: int = 0, unpriced: int = 0) -> UsageRow:
    return UsageRow(start=start, group=(model,), requests=3, unpriced=unpriced, counts=counts, cost=cost)


def test_a_read_saves_nine_tenths_and_writes_cost_a_quarter_or_as_much_again() -> None:
    counts = TokenCounts(input=5_000_000, cache_read=1_000_000, cache_write=1_000_000, cache_write_1h=100_000)
    (one,) = cache_savings([row(counts, cost_of(counts, RATES))], PRICES)
    assert one == ModelSavings(model=MODEL, saved=2_700_000_000 - 750_000_000 - 300_000_000)
    writes = TokenCounts(cache_write=1_000_000)
    (one,) = cache_savings([row(writes, cost_of(writes, RATES))], PRICES)
    assert one.saved == -750_000_000, "nothing was read: the cache did cost"


@given(THOUSANDS, THOUSANDS, THOUSANDS, st.sampled_from(["1", "1.1", "2.75"]).map(Fraction))
def test_they_are_the_difference_to_a_bill_without_cache_at_any_factor(
    read: int, write: int, hour: int, factor: Fraction
) -> None:
    rates = RATES.times(factor)
    cached = cost_of(TokenCounts(cache_read=read, cache_write=write, cache_write_1h=hour), rates)
    plain = cost_of(TokenCounts(input=read + write + hour), rates)
    found = cache_savings([row(TokenCounts(cache_read=read, cache_write=write, cache_write_1h=hour), cached)], PRICES)
    assert sum(one.saved or 0 for one in found) == plain.total - cached.total


@pytest.mark.parametrize("price", [one for one in builtin_prices().prices if one.long_prompt is not None])
def test_long_prompts_have_the_same_ratios(price: Price) -> None:
    assert price.long_prompt is not None
    long = price.long_prompt.rates
    for kind in ("cache_read", "cache_write", "cache_write_1h"):
        assert getattr(long, kind) * price.rates.input == getattr(price.rates, kind) * long.input


def test_the_price_is_that_of_the_day() -> None:
    dear = Price(
        model=MODEL, from_date=date(1970, 1, 2), source="a test",
        rates=rates_from_input(amount("3"), cache_read=amount("1.5"), web_search=0),
    )  # fmt: skip
    prices = PRICES.with_versions([dear])
    counts = TokenCounts(cache_read=1_000_000)
    first = row(counts, cost_of(counts, RATES))
    second = row(counts, cost_of(counts, dear.rates), start=DAY)
    assert [one.saved for one in cache_savings([first], prices)] == [27 * NANO // 10]
    assert [one.saved for one in cache_savings([second], prices)] == [15 * NANO // 10]
    assert [one.saved for one in cache_savings([first, second], prices)] == [42 * NANO // 10]


def test_unknown_prices_are_left_out_and_counted() -> None:
    counts = TokenCounts(cache_read=1_000_000)
    charged = cost_of(counts, RATES)
    rows = [
        row(counts + counts, charged, unpriced=1),
        row(counts, Cost(), model="other", unpriced=3),
        row(counts, Cost(), model=None),
        row(TokenCounts(input=9, output=9), Cost(), model="no cache", unpriced=3),
    ]
    assert cache_savings(rows, PRICES) == [
        ModelSavings(model="", saved=None, unpriced=3),
        ModelSavings(model=MODEL, saved=2_700_000_000, unpriced=1),
        ModelSavings(model="other", saved=None, unpriced=3),
    ]


def test_what_was_not_charged_yet_is_not_known() -> None:
    counts = TokenCounts(cache_read=1_000_000)
    later = row(counts, Cost(), unpriced=3)
    assert cache_savings([later], PRICES) == [ModelSavings(model=MODEL, saved=None, unpriced=3)]
    found = cache_savings([later, row(counts, cost_of(counts, RATES))], PRICES)
    assert found == [ModelSavings(model=MODEL, saved=2_700_000_000, unpriced=3)]


def test_what_is_read_for_nothing_saves_all_of_it() -> None:
    free = PriceList([Price(model=MODEL, rates=replace(RATES, cache_read=0), source="a test")])
    counts = TokenCounts(cache_read=1_000_000)
    assert [one.saved for one in cache_savings([row(counts, Cost())], free)] == [3 * NANO]


def test_rounding_is_half_up_and_once() -> None:
    odd = PriceList([Price(model=MODEL, rates=replace(RATES, input=3, cache_read=2), source="a test")])
    one = row(TokenCounts(cache_read=1), Cost(cache_read=1))
    assert [each.saved for each in cache_savings([one], odd)] == [1], "of a half"
    assert [each.saved for each in cache_savings([one, one], odd)] == [1], "of two halves"

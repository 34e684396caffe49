"""Risk: a bill that differs from the price list by a rounding, a tier or a component."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from math import floor
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from modelmux.accounts.charge import Call, Charge, charge
from modelmux.accounts.cost import Cost, TokenCounts, cost_of
from modelmux.accounts.counts import Round
from modelmux.accounts.entry import AttemptEntry
from modelmux.accounts.price_id import price_id
from modelmux.accounts.priced_calls import cost_of_attempts
from modelmux.catalog.prices import NANO, LongPrompt, Price, PriceList, Rates, builtin_prices
from modelmux.wire.anthropic import CacheCreation, OutputTokensDetails, ServerToolUse, Usage

COUNTS = st.integers(0, 3_000_000)
RATES = st.integers(0, 75 * NANO)
DAY = date(2026, 11, 1)
PRICES = builtin_prices()


def half_up(number: Fraction) -> int:
    return floor(number + Fraction(1, 2))


@given(
    st.builds(
        TokenCounts, input=COUNTS, cache_write=COUNTS, cache_write_1h=COUNTS, cache_read=COUNTS, output=COUNTS,
        web_searches=st.integers(0, 100),
    ),
    st.builds(
        Rates, input=RATES, output=RATES, cache_write=RATES, cache_write_1h=RATES, cache_read=RATES,
        web_search=st.integers(0, NANO),
    ),
)  # fmt: skip
def test_a27_every_component_is_its_exact_cost_rounded_half_up_once(counts: TokenCounts, rates: Rates) -> None:
    cost = cost_of(counts, rates)
    for name in ("input", "cache_write", "cache_write_1h", "cache_read", "output"):
        assert getattr(cost, name) == half_up(Fraction(getattr(counts, name) * getattr(rates, name), 10**6))
    assert cost.web_search == counts.web_searches * rates.web_search
    assert cost.total == sum(getattr(cost, name) for name in cost.__struct_fields__)
    assert (cost + -cost) == Cost()


def test_half_a_nano_dollar_is_rounded_up() -> None:
    rates = Rates(input=500_000, output=499_999, cache_write=0, cache_write_1h=0, cache_read=0, web_search=0)
    cost = cost_of(TokenCounts(input=1, output=1), rates)
    assert (cost.input, cost.output) == (1, 0)


def call(usage: Usage | None, **values: object) -> Call:
    given: dict[str, object] = {
        "model": "claude-haiku-5-5", "location": "global", "day": DAY, "usage": usage, "is_complete": True,
        "may_be_billed": True, **values,
    }  # fmt: skip
    return Call(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(), TokenCounts()),
        (Usage(10, None, None, 5), TokenCounts(input=10, output=5)),
        (Usage(10, 7, 3, 5), TokenCounts(input=10, cache_write=7, cache_read=3, output=5)),
        (
            Usage(10, 7, 3, 5, OutputTokensDetails(4), CacheCreation(5, 2), ServerToolUse(3)),
            TokenCounts(
                input=10, cache_write=5, cache_write_1h=2, cache_read=3, output=5, thinking=4, web_searches=3
            ),
        ),
        (Usage(1, None, None, 1, None, CacheCreation(5, 2)),
         TokenCounts(input=1, cache_write=5, cache_write_1h=2, output=1)),
        (Usage(1, 1, None, 1, OutputTokensDetails(9), CacheCreation(None, 2)),
         TokenCounts(input=1, cache_write_1h=1, output=1, thinking=1)),
    ],
)  # fmt: skip
def test_a35_the_four_counts_of_an_upstream_are_disjoint(usage: Usage, expected: TokenCounts) -> None:
    charged = charge(call(usage), PRICES)
    assert (charged.counts, charged.estimated) == (expected, False)


@pytest.mark.parametrize("count", [-1, 10_000_001, 2**62])
def test_an_absurd_count_is_the_nearest_sane_one_and_marked(count: int) -> None:
    charged = charge(call(Usage(input_tokens=count, output_tokens=1)), PRICES)
    assert charged.estimated
    assert charged.counts.input in (0, 10_000_000)


@pytest.mark.parametrize(
    ("given", "counts", "estimated"),
    [
        (call(None, may_be_billed=False), TokenCounts(), False),
        (call(None, is_complete=False, prompt_bound=50), TokenCounts(input=50), True),
        (call(None, is_complete=False, prompt_bound=50, characters=30), TokenCounts(input=50, output=11), True),
        (
            call(None, is_complete=False, prompt_bound=50, characters=30, output_bound=4),
            TokenCounts(input=50, output=4),
            True,
        ),
        (call(Usage(10, output_tokens=4), is_complete=False), TokenCounts(input=10, output=4), True),
        (call(Usage(10, output_tokens=4), is_complete=False, characters=300), TokenCounts(input=10, output=101), True),
        (call(Usage(10, output_tokens=400), is_complete=False, characters=3), TokenCounts(input=10, output=400), True),
    ],
)
def test_a25_a_call_that_broke_off_is_charged_for_what_came(given: Call, counts: TokenCounts, estimated: bool) -> None:
    charged = charge(given, PRICES)
    assert (charged.counts, charged.estimated) == (counts, estimated)


def test_a26_nothing_used_costs_nothing_whatever_the_model() -> None:
    assert charge(call(None, may_be_billed=False, model="unknown"), PRICES) == Charge()


def test_a26_an_unknown_price_is_not_zero() -> None:
    charged = charge(call(Usage(10, output_tokens=1), model="claude-unknown"), PRICES)
    assert (charged.cost, charged.price, charged.counts.input) == (None, None, 10)
    fast = charge(call(Usage(10, output_tokens=1, speed="fast")), PRICES)
    assert fast.cost is None, "fast mode is not offered for this model, so its price is unknown"


@pytest.mark.parametrize(("prompt", "rate"), [(99_999, "low"), (100_000, "low"), (100_001, "high")])
def test_a31_a_long_prompt_changes_the_price_of_all_tokens(prompt: int, rate: str) -> None:
    price = PRICES.price("claude-haiku-5-5", DAY)
    assert price is not None
    assert price.long_prompt is not None
    assert price.long_prompt.above == 100_000
    rates = price.long_prompt.rates if rate == "high" else price.rates
    usage = Usage(prompt - 10, None, 10, 1_000)
    cost = charge(call(usage), PRICES).cost
    assert cost is not None
    assert (cost.input, cost.output) == ((prompt - 10) * rates.input // 10**6, 1_000 * rates.output // 10**6)


def iterations(*rounds: dict[str, object]) -> Raw:
    return Raw(msgspec.json.encode(rounds))


MESSAGE = {"type": "message", "input_tokens": 100, "output_tokens": 50}
COMPACTION = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500}


@pytest.mark.parametrize(
    ("rounds", "counts", "cost"),
    [
        ([COMPACTION, MESSAGE], TokenCounts(input=180_100, output=3_550), 791_400_000),
        ([COMPACTION], TokenCounts(input=180_100, output=3_550), 791_400_000),  # the totals leave it out
        ([MESSAGE], TokenCounts(input=100, output=50), 1_400_000),
        ([], TokenCounts(input=100, output=50), 1_400_000),
    ],
)
def test_compaction_is_billed_beside_the_totals(rounds: list[Any], counts: TokenCounts, cost: int) -> None:
    charged = charge(
        call(Usage(100, output_tokens=50, iterations=iterations(*rounds)), model="claude-opus-5-5"), PRICES
    )
    assert charged.cost is not None
    assert (charged.counts, charged.cost.total, charged.estimated) == (counts, cost, False)


def test_each_round_has_the_price_of_its_own_prompt() -> None:
    usage = Usage(60_000, output_tokens=50, iterations=iterations(COMPACTION, MESSAGE | {"input_tokens": 60_000}))
    cost = charge(call(usage), PRICES).cost
    assert cost is not None
    assert cost.input == 180_000 * 500 + 60_000 * 100, "only the long prompt is at the higher rate"
    assert cost.output == 3_500 * 2_500 + 50 * 500


def test_what_rounds_do_not_say_is_that_of_the_totals() -> None:
    usage = Usage(
        100, output_tokens=50, output_tokens_details=OutputTokensDetails(20), server_tool_use=ServerToolUse(2),
        iterations=iterations(
            MESSAGE | {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}}, MESSAGE
        ),
    )  # fmt: skip
    assert charge(call(usage), PRICES).counts == TokenCounts(
        input=200, output=100, cache_write=5, cache_write_1h=4, thinking=20, web_searches=2
    )


def test_a_round_of_another_model_has_its_price() -> None:
    advisor = {"type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 1_000, "output_tokens": 0}
    charged = charge(call(Usage(100, output_tokens=50, iterations=iterations(MESSAGE, advisor))), PRICES)
    assert charged.cost is not None
    assert charged.cost.input == 100 * 100 + 1_000 * 4_000
    unknown = iterations(MESSAGE, advisor | {"model": "claude-unknown"})
    assert charge(call(Usage(100, output_tokens=50, iterations=unknown)), PRICES).cost is None


@pytest.mark.parametrize("shape", [b'{"a":1}', b"7", b'[{"input_tokens":"x"}]'])
def test_rounds_that_cannot_be_read_leave_the_totals_and_say_so(shape: bytes) -> None:
    charged = charge(call(Usage(100, output_tokens=50, iterations=Raw(shape))), PRICES)
    assert (charged.counts, charged.estimated) == (TokenCounts(input=100, output=50), True)


def test_what_came_after_the_last_report_is_added_to_the_rounds() -> None:
    usage = Usage(100, output_tokens=50, iterations=iterations(COMPACTION, MESSAGE))
    assert charge(call(usage, is_complete=False, characters=12_000), PRICES).counts.output == 4_001


def test_a_price_changes_at_its_first_day() -> None:
    first = date(2026, 10, 7)
    usage = Usage(0, None, 1_000_000, 0)
    before, after = (
        charge(call(usage, model="claude-sonnet-5-5", day=day), PRICES) for day in (first - timedelta(1), first)
    )
    assert before.cost is not None
    assert after.cost is not None
    assert (before.cost.cache_read, after.cost.cache_read) == (NANO // 5, NANO // 10)
    assert (before.price, after.price) == (
        "claude-sonnet-5-5/launch/global", "claude-sonnet-5-5/2026-10-07/global",
    )  # fmt: skip


def test_elsewhere_than_globally_costs_more_and_says_so() -> None:
    rates = Rates(input=NANO, output=0, cache_write=0, cache_write_1h=0, cache_read=0, web_search=0)
    price = Price(
        model="m", rates=rates, source="a test", regional_multiplier=Fraction("1.1"), long_prompt=LongPrompt(9, rates)
    )
    charged = charge(call(Usage(1_000_000), model="m", location="europe-west1"), PriceList([price]))
    assert charged.cost is not None
    assert (charged.cost.input, charged.price) == (NANO * 11 // 10, "m/launch/regional")
    assert price_id(price, "global") == "m/launch/global"


def test_counts_and_costs_add_up() -> None:
    one = TokenCounts(input=1, cache_write=2, cache_write_1h=3, cache_read=4, output=5, thinking=6, web_searches=7)
    assert (one + one).prompt == 2 * one.prompt == 20
    assert one + one == TokenCounts(
        input=2, cache_write=4, cache_write_1h=6, cache_read=8, output=10, thinking=12, web_searches=14
    )


def test_some_of_the_attempts_of_a_row_cost_what_they_cost_in_it() -> None:
    counts = TokenCounts(input=1_000_000, output=1_000_000)
    haiku, sonnet = "claude-haiku-4-5@20251001", "claude-sonnet-4-6"
    free = [AttemptEntry("d", "error", model=haiku), AttemptEntry("d", "error", TokenCounts(), model=haiku)]
    one = AttemptEntry("d", "ok", counts, model=haiku, location="global")
    two = AttemptEntry("d", "ok", counts + counts, model=haiku, rounds=(Round(counts), Round(counts, sonnet)))
    assert cost_of_attempts(free, DAY, PRICES) == Cost()
    assert cost_of_attempts([*free, one], DAY, PRICES) == Cost(input=NANO, output=5 * NANO)
    cost = cost_of_attempts([one, two], DAY, PRICES)
    assert cost is not None
    assert cost.total == 6 * NANO + (6 + 18) * NANO * 11 // 10, "nowhere is regional"
    assert cost_of_attempts([one, AttemptEntry("d", "ok", counts, model="claude-x")], DAY, PRICES) is None

"""Risk: a request is charged at the rate of another model, day, location or size of prompt, or inexactly."""

from __future__ import annotations

import ast
import itertools
import tomllib
from datetime import date
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from modelmux.catalog import Price, PriceList, Rates, builtin, builtin_prices, locations, prices
from modelmux.catalog.prices import amount, decimal, multiplier, per_search, rates_from_input, usd

DAY = date(2026, 11, 28)
TOKENS = ("input", "output", "cache_write", "cache_write_1h", "cache_read")
LIST = builtin_prices()

#: USD per million tokens on ``global``: input, output, written to the cache for 5 minutes, for an hour, read from it.
FIGURES: list[tuple[str, int, str]] = [
    ("claude-fable-5-2", 0, "8 40 10 16 0.2"),
    ("claude-fable-5-1", 0, "10 50 12.5 20 0.25"),
    ("claude-fable-5", 0, "10 50 12.5 20 1"),
    ("claude-opus-5-5", 0, "4 20 5 8 0.2"),
    ("claude-opus-5", 0, "5 25 6.25 10 0.5"),
    ("claude-opus-4-8", 0, "5 25 6.25 10 0.5"),
    ("claude-opus-4-7", 0, "5 25 6.25 10 0.5"),
    ("claude-opus-4-6", 0, "5 25 6.25 10 0.5"),
    ("claude-opus-4-5@20251101", 0, "5 25 6.25 10 0.5"),
    ("claude-sonnet-5-5", 0, "2 10 2.5 4 0.1"),
    ("claude-sonnet-5", 0, "2 10 2.5 4 0.2"),
    ("claude-sonnet-4-6", 0, "3 15 3.75 6 0.3"),
    ("claude-sonnet-4-6", 1_000_000, "3 15 3.75 6 0.3"),
    ("claude-sonnet-4-5@20250929", 0, "3 15 3.75 6 0.3"),
    ("claude-sonnet-4-5@20250929", 200_000, "3 15 3.75 6 0.3"),
    ("claude-sonnet-4-5@20250929", 200_001, "6 22.5 7.5 12 0.6"),
    ("claude-haiku-5-5", 0, "0.1 0.5 0.125 0.2 0.01"),
    ("claude-haiku-5-5", 100_000, "0.1 0.5 0.125 0.2 0.01"),
    ("claude-haiku-5-5", 100_001, "0.5 2.5 0.625 1 0.05"),
    ("claude-haiku-4-5@20251001", 0, "1 5 1.25 2 0.1"),
    ("claude-opus-4-1@20250805", 0, "15 75 18.75 30 1.5"),
    ("claude-opus-4@20250514", 0, "15 75 18.75 30 1.5"),
    ("claude-sonnet-4@20250514", 0, "3 15 3.75 6 0.3"),
    ("claude-3-5-haiku@20241022", 0, "0.8 4 1 1.6 0.08"),
]


def shown(rates: Rates | None) -> str:
    assert rates is not None
    return " ".join(usd(getattr(rates, name)) for name in TOKENS)


def scaled(figures: str, factor: str) -> str:
    return " ".join(decimal(Fraction(figure) * Fraction(factor)) for figure in figures.split())


@pytest.mark.parametrize(("model", "prompt", "figures"), FIGURES)
def test_the_figures_of_every_row(model: str, prompt: int, figures: str) -> None:
    assert shown(LIST.rates(model, DAY, prompt_tokens=prompt)) == figures
    old = model in ("claude-opus-4-1@20250805", "claude-opus-4@20250514", "claude-sonnet-4@20250514",
                    "claude-3-5-haiku@20241022")  # fmt: skip
    for location in ("us", "eu", "us-east5", ""):
        regional = shown(LIST.rates(model, DAY, location, prompt))
        assert regional == (figures if old else scaled(figures, "1.1")), location
    assert shown(LIST.rates(model, DAY, prompt_tokens=prompt, batch=True)) == scaled(figures, "0.5")


def test_every_model_of_the_catalog_has_a_price_and_no_other() -> None:
    assert {price.model for price in LIST.prices} == {card.id for card in builtin().cards}
    assert {model for model, _, _ in FIGURES} == {card.id for card in builtin().cards}


@pytest.mark.parametrize(
    ("day", "cache_read"),
    [
        (date.min, "0.2"), (date(2026, 9, 28), "0.2"), (date(2026, 10, 6), "0.2"), (date(2026, 10, 7), "0.1"),
        (date.max, "0.1"),
    ],
)  # fmt: skip
def test_a_price_that_changed_on_a_day(day: date, cache_read: str) -> None:
    assert shown(LIST.rates("claude-sonnet-5-5", day)) == f"2 10 2.5 4 {cache_read}"


def test_the_first_row_applies_to_earlier_days_whatever_the_order() -> None:
    rates = rates_from_input(0, web_search=0)
    first, second = (Price(model="m@1", rates=rates, source="s", from_date=date(2026, n, 1)) for n in (2, 4))
    both = PriceList([second, first])
    days = [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 31), date(2026, 4, 1)]
    assert [both.price("m", day) for day in days] == [first, first, first, second]


@pytest.mark.parametrize("model", ["claude-tomorrow", "", "claude-opus-5-5@20990101"])
def test_an_unknown_price_is_none_and_not_zero(model: str) -> None:
    assert LIST.price(model, DAY) is None
    assert LIST.rates(model, DAY) is None


@pytest.mark.parametrize(
    "name", ["claude-haiku-4-5", "claude-haiku-4-5-20251001", "vertex_ai/claude-haiku-4-5@20251001", "Claude-Haiku-4.5"]
)
def test_a_price_is_found_by_every_name_of_the_model(name: str) -> None:
    assert LIST.price(name, DAY) is LIST.price("claude-haiku-4-5@20251001", DAY) is not None


def test_fast_mode_costs_twice_as_much_and_is_offered_by_one_model() -> None:
    assert shown(LIST.rates("claude-fable-5-2", DAY, fast=True)) == "16 80 20 32 0.4"
    assert shown(LIST.rates("claude-fable-5-2", DAY, "eu", fast=True)) == "17.6 88 22 35.2 0.44"
    fast = {card.id for card in builtin().cards if LIST.rates(card.id, DAY, fast=True) is not None}
    assert fast == {card.id for card in builtin().cards if card.fast_mode}


@pytest.mark.parametrize("price", LIST.prices, ids=lambda price: f"{price.model} {price.from_date}")
def test_every_combination_is_a_whole_number(price: Price) -> None:
    for prompt, location, fast, batch in itertools.product(
        (0, 10**6), ("global", "eu"), {False, price.fast_multiplier is not None}, (False, True)
    ):
        rates = price.rates_for(location, prompt, fast=fast, batch=batch)
        assert rates is not None
        assert all(type(getattr(rates, name)) is int for name in (*TOKENS, "web_search"))
        assert rates.web_search == 10_000_000, "a cent each, whatever the multipliers"
    assert price.source
    assert price.checked_on == date(2026, 11, 27)


def test_the_factors_of_the_cache() -> None:
    usual = {"claude-opus-5-5": "0.05", "claude-sonnet-5-5": "0.05"}
    usual |= {"claude-fable-5-1": "0.025", "claude-fable-5-2": "0.025"}
    for card in builtin().cards:
        rates = LIST.rates(card.id, DAY)
        assert rates is not None
        assert (rates.cache_write * 4, rates.cache_write_1h) == (rates.input * 5, rates.input * 2)
        assert rates.cache_read == rates.input * Fraction(usual.get(card.id, "0.1"))
        assert rates.output == rates.input * 5


def test_no_float_anywhere() -> None:
    source = Path(prices.__file__).read_text("utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    assert not [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, float)]
    assert not [node for node in nodes if isinstance(node, ast.Name) and node.id == "float"]
    assert not [node for node in nodes if isinstance(node, ast.Div)], "an integer divided is a float"

    def floats(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [number for inner in value.values() for number in floats(inner)]
        if isinstance(value, list):
            return [number for inner in value for number in floats(inner)]
        return [value] if isinstance(value, float) else []

    data = resources.files("modelmux.catalog").joinpath("prices.toml").read_text("utf-8")
    assert floats(tomllib.loads(data)) == []


@pytest.mark.parametrize(("text", "nano"), [("0", 0), ("4", 4 * 10**9), ("0.125", 125_000_000), ("0.0001", 100_000)])
def test_an_amount_is_read_and_shown_exactly(text: str, nano: int) -> None:
    assert (amount(text), usd(nano)) == (nano, text)


@pytest.mark.parametrize(("nano", "text"), [(-1, "-0.000000001"), (-1_500_000_000, "-1.5"), (-4 * 10**9, "-4")])
def test_a_correction_that_takes_money_back_is_shown_exactly(nano: int, text: str) -> None:
    assert usd(nano) == text


@pytest.mark.parametrize("text", ["", "-1", "1e3", "0.00001", "1.", ".5", "1,5", "nan", "1000000000", " 1", "١"])
def test_what_is_not_an_amount(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        amount(text)
    with pytest.raises(ValueError, match="is not a multiplier"):
        multiplier(text or "x")


def test_derived_prices_and_searches() -> None:
    assert shown(rates_from_input(amount("3"), web_search=per_search(amount("10")))) == "3 15 3.75 6 0.3"
    given = rates_from_input(5, output=1, cache_write=2, cache_write_1h=3, cache_read=4, web_search=6)
    assert given == Rates(input=5, output=1, cache_write=2, cache_write_1h=3, cache_read=4, web_search=6)
    smallest = rates_from_input(amount("0.0001"), web_search=0).times(multiplier("1.001"))
    assert shown(smallest) == "0.0001001 0.0005005 0.000125125 0.0002002 0.00001001"


def test_an_operators_prices_take_the_place_of_all_rows_of_a_model() -> None:
    own = Price(model="claude-sonnet-5-5", rates=rates_from_input(amount("1"), web_search=0), source="own")
    changed = LIST.with_prices([own])
    assert changed.price("claude-sonnet-5-5", date.min) is changed.price("claude-sonnet-5-5", date.max) is own
    assert shown(changed.rates("claude-sonnet-5-5", DAY, "eu", 10**6)) == "1 5 1.25 2 0.1"
    assert changed.price("claude-opus-5", DAY) is LIST.price("claude-opus-5", DAY)
    assert LIST.price("claude-sonnet-5-5", DAY) is not own


def test_the_regional_price_applies_in_every_location_but_one() -> None:
    prices_by_location = {name: shown(LIST.rates("claude-opus-5-5", DAY, name)) for name in locations().names}
    assert {name for name, figures in prices_by_location.items() if figures == "4 20 5 8 0.2"} == {"global"}


def test_a_default_is_for_models_without_a_price_only() -> None:
    with_default = LIST.with_default("claude-opus-5-5")
    expected = LIST.price("claude-opus-5-5", DAY)
    assert expected is not None
    assert with_default.price("claude-next", DAY) == expected
    assert with_default.with_prices([]).price("claude-next", DAY) == expected
    assert with_default.price("claude-sonnet-5", DAY) == LIST.price("claude-sonnet-5", DAY)
    assert [one.lists("claude-next") for one in (LIST, with_default)] == [False, False]
    assert (LIST.price("claude-next", DAY), LIST.lists("claude-sonnet-5")) == (None, True)


def test_look_ups_are_remembered_for_a_bounded_number_of_names_and_stay_right() -> None:
    for number in range(3_000):
        assert LIST.price(f"claude-of-tomorrow-{number}", DAY) is None
        dated = LIST.price("claude-haiku-4-5@20251001", DAY)
        assert dated is not None
        assert LIST.price("claude-haiku-4-5", DAY) is dated
    assert len(LIST._remembered) <= 1_000
    own = Price(model=dated.model, rates=rates_from_input(amount("1"), web_search=0), source="own")
    assert LIST.with_prices([own]).price("claude-haiku-4-5", DAY) is own

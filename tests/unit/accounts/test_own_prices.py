"""Risk: a price that was added applies on another day, changes what was charged before, or is read wrong."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.accounts.own_prices import CurrentPrices, add_price, price_of, with_own_prices
from modelmux.accounts.records import OwnPrice
from modelmux.catalog.prices import PriceList, builtin_prices, usd
from support.directories import applied

DAY = date(2026, 12, 1)
MODEL = "claude-sonnet-4-6"


def own(**fields: Any) -> OwnPrice:
    return OwnPrice(**({"model": MODEL, "valid_from": DAY, "input": "2"} | fields))


def input_on(prices: PriceList, day: date, location: str = "global") -> str | None:
    rates = prices.rates(MODEL, day, location)
    return None if rates is None else usd(rates.input)


def test_it_applies_from_its_day_on_and_not_before() -> None:
    directory = applied(Directory(), add_price(Directory(), own()))
    directory = applied(directory, add_price(directory, own(valid_from=date(2027, 1, 1), input="1.5")))
    prices = with_own_prices(builtin_prices(), directory.prices)
    days = (DAY - timedelta(1), DAY, date(2026, 12, 31), date(2027, 1, 1))
    assert [input_on(prices, day) for day in days] == ["3", "2", "2", "1.5"]
    assert input_on(builtin_prices(), DAY) == "3"


def test_it_takes_the_place_of_what_begins_on_the_same_day() -> None:
    model = next(one for one in builtin_prices().prices if one.from_date is not None)
    price = own(model=model.model, valid_from=model.from_date)
    prices = with_own_prices(builtin_prices(), {price.id: price})
    rows = [one for one in prices.prices if (one.model, one.from_date) == (model.model, model.from_date)]
    assert rows == [price_of(price)]


def test_what_is_left_out_follows_from_the_price_of_input() -> None:
    rates = price_of(own(input="4")).rates
    shown = [usd(getattr(rates, name)) for name in rates.__struct_fields__]
    assert shown == ["4", "20", "5", "8", "0.4", "0.01"]
    rates = price_of(own(output="9", cache_write="0", cache_write_1h="1", cache_read="0.5", web_search="0")).rates
    assert [usd(getattr(rates, name)) for name in rates.__struct_fields__] == ["2", "9", "0", "1", "0.5", "0"]


def test_multipliers() -> None:
    price = own(regional_multiplier="1.1", has_fast_mode=True)
    prices = with_own_prices(builtin_prices(), {price.id: price})
    assert [input_on(prices, DAY, location) for location in ("global", "eu")] == ["2", "2.2"]
    assert prices.rates(MODEL, DAY, fast=True) == prices.rates(MODEL, DAY)
    assert price_of(own()).rates_for(fast=True) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input", "-1"), ("input", "1e3"), ("output", "0.12345"), ("cache_read", ""), ("web_search", "ten"),
        ("cache_write", "1,5"), ("cache_write_1h", "1234567"), ("regional_multiplier", "1.0001"),
    ],
)  # fmt: skip
def test_what_is_not_a_price_is_named(field: str, value: str) -> None:
    with pytest.raises(FieldError) as caught:
        add_price(Directory(), own(**{field: value}))
    assert caught.value.field == field
    assert repr(value) in caught.value.problem


def test_a_price_is_never_changed() -> None:
    edit = add_price(Directory(), own())
    assert (edit.action, edit.subject, edit.is_empty) == ("price.add", f"{MODEL}/2026-12-01", False)
    directory = applied(Directory(), edit)
    with pytest.raises(RecordConflict, match="there is a price of claude-sonnet-4-6 from 2026-12-01 on"):
        add_price(directory, own(input="9"))
    assert directory.record("price", own()) == own()


def test_the_prices_of_now_follow_the_directory_and_are_made_once() -> None:
    directories = [Directory()]
    current = CurrentPrices(builtin_prices(), lambda: directories[-1])
    assert current() is builtin_prices()
    directories.append(applied(directories[-1], add_price(directories[-1], own())))
    assert input_on(current(), DAY) == "2"
    assert current() is current()
    directories.append(Directory())
    assert input_on(current(), DAY) == "3"
    assert CurrentPrices(builtin_prices())() is builtin_prices()

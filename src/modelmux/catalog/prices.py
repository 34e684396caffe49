"""Prices of Claude models on Vertex AI, by model, day, location and size of the prompt.

The data is in ``prices.toml``, with source and day of every row. Amounts are exact: integers in nano-USD per million
tokens, never floats. A nano-USD per token would be too coarse: Haiku 5.5 charges 137.5 of them in ``eu`` for a token
written to the cache. Facts and look-ups; what a request costs, and what to do about an unknown price, is decided
elsewhere.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from datetime import date
from fractions import Fraction
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from modelmux.catalog.locations import GLOBAL
from modelmux.catalog.models import normalise

#: nano-USD in a USD.
NANO: Final = 10**9
_SEARCHES: Final = 1000  # web_search is a price per 1,000
# The limits of digits keep every product an integer: four decimals, a factor of 0.1 or 1.25, a multiplier with three.
_AMOUNT: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,4})?")
_ONE: Final = Fraction(1)
#: Look-ups that a list remembers. A request's model may be one that an upstream named, so there is a limit.
_MOST_REMEMBERED: Final = 1_000
_MULTIPLIER: Final = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,3})?")


class Rates(Struct, frozen=True, kw_only=True):
    """The prices that apply to one request: tokens in nano-USD per million, ``web_search`` in nano-USD per search.

    :param cache_write: for 5 minutes; ``cache_write_1h`` for an hour.
    """

    input: int
    output: int
    cache_write: int
    cache_write_1h: int
    cache_read: int
    web_search: int

    def times(self, factor: Fraction) -> Rates:
        """With every token price multiplied; web searches cost the same everywhere."""
        return self if factor is _ONE else _times(self, factor)


@lru_cache(_MOST_REMEMBERED)
def _times(rates: Rates, factor: Fraction) -> Rates:
    names = ("input", "output", "cache_write", "cache_write_1h", "cache_read")
    return msgspec.structs.replace(rates, **{name: _whole(getattr(rates, name) * factor) for name in names})


class LongPrompt(Struct, frozen=True):
    """The prices of all tokens of a request whose prompt has more than ``above`` tokens."""

    above: int
    rates: Rates


class Price(Struct, frozen=True, kw_only=True):
    """The prices of one model from a day on, before multipliers.

    :param from_date: the first day; None for the first row of a model.
    :param regional_multiplier: anywhere but on ``global``.
    :param fast_multiplier: None if fast mode is not offered.
    :param checked_on: the day when the row was compared with its source; None for an operator's own.
    """

    model: str
    rates: Rates
    source: str
    from_date: date | None = None
    long_prompt: LongPrompt | None = None
    regional_multiplier: Fraction = _ONE
    batch_multiplier: Fraction = _ONE
    fast_multiplier: Fraction | None = None
    checked_on: date | None = None

    def rates_for(
        self, location: str = GLOBAL, prompt_tokens: int = 0, *, fast: bool = False, batch: bool = False
    ) -> Rates | None:
        """The prices of one request; None for fast mode where it is not offered.

        :param location: any but ``global``, an unknown one too, has the regional price.
        :param prompt_tokens: input tokens, those written to the cache and those read from it together.
        """
        if fast and self.fast_multiplier is None:
            return None
        long = self.long_prompt
        rates = long.rates if long is not None and prompt_tokens > long.above else self.rates
        factor = _ONE if location == GLOBAL else self.regional_multiplier
        if batch:
            factor *= self.batch_multiplier
        if fast and self.fast_multiplier is not None:
            factor *= self.fast_multiplier
        return rates.times(factor)


class PriceList:
    """An immutable set of prices, with look-up by Vertex id, first-party id or undated name.

    :param default: the model whose prices others have that have none; None if theirs are unknown.
    """

    def __init__(self, prices: Iterable[Price], default: str | None = None) -> None:
        self.prices: tuple[Price, ...] = tuple(prices)
        self.default = default
        self._remembered: dict[tuple[str, date], Price | None] = {}
        self._by_name: dict[str, list[Price]] = {}
        for price in sorted(self.prices, key=lambda price: price.from_date or date.min):
            self._by_name.setdefault(normalise(price.model), []).append(price)
        for name, rows in tuple(self._by_name.items()):
            self._by_name.setdefault(name.partition("@")[0], rows)

    def price(self, model: str, day: date) -> Price | None:
        """The row of a model on a day; None if its price is unknown, which does not mean that it costs nothing.

        The first row of a model applies to earlier days as well.
        """
        try:
            return self._remembered[model, day]
        except KeyError:
            price = self._find(model, day)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[model, day] = price
        return price

    def _find(self, model: str, day: date) -> Price | None:
        rows = self._by_name.get(normalise(model if self.lists(model) else self.default or ""), [])
        begun = [row for row in rows if row.from_date is None or row.from_date <= day]
        return next(reversed(begun), next(iter(rows), None))

    def lists(self, model: str) -> bool:
        """Whether a model has a price of its own."""
        return normalise(model) in self._by_name

    def rates(
        self,
        model: str,
        day: date,
        location: str = GLOBAL,
        prompt_tokens: int = 0,
        *,
        fast: bool = False,
        batch: bool = False,
    ) -> Rates | None:
        """The prices of one request, see ``Price.rates_for``; None if they are unknown."""
        price = self.price(model, day)
        return None if price is None else price.rates_for(location, prompt_tokens, fast=fast, batch=batch)

    def with_prices(self, prices: Iterable[Price]) -> PriceList:
        """A new list in which these take the place of all rows of their models."""
        own = tuple(prices)
        models = {price.model for price in own}
        return PriceList([*(price for price in self.prices if price.model not in models), *own], self.default)

    def with_versions(self, prices: Iterable[Price]) -> PriceList:
        """A new list in which each of these applies from its first day on, in place of what else begins on that day."""
        added = {(price.model, price.from_date): price for price in prices}
        others = [price for price in self.prices if (price.model, price.from_date) not in added]
        return PriceList([*others, *added.values()], self.default)

    def with_default(self, model: str) -> PriceList:
        """A new list in which models without a price have those of this one."""
        return PriceList(self.prices, model)


def amount(text: str) -> int:
    """``"0.125"``, USD -> nano-USD. :raises ValueError: not a decimal with at most four decimals."""
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f'{text!r} is not an amount such as "0.25", with at most four decimals')
    return _whole(Fraction(text) * NANO)


def multiplier(text: str) -> Fraction:
    """``"1.1"``. :raises ValueError: not a decimal with at most three decimals."""
    if not _MULTIPLIER.fullmatch(text):
        raise ValueError(f'{text!r} is not a multiplier such as "1.1", with at most three decimals')
    return Fraction(text)


def usd(nano: int) -> str:
    """nano-USD -> USD: ``"0.125"``."""
    if not nano:  # as most parts of a cost are
        return "0"
    digits = f"{abs(nano):010}"
    text = f"{digits[:-9]}.{digits[-9:]}".rstrip("0").rstrip(".")
    return f"-{text}" if nano < 0 else text


def decimal(number: Fraction) -> str:
    """A number with at most nine decimals, without superfluous zeros."""
    return usd(_whole(number * NANO))


def rates_from_input(
    input: int,
    *,
    output: int | None = None,
    cache_write: int | None = None,
    cache_write_1h: int | None = None,
    cache_read: int | None = None,
    web_search: int,
) -> Rates:
    """Prices of which some are derived from that of input by the factors that hold for Claude in general.

    :param input: from ``amount``.
    """

    def times(factor: str) -> int:
        return _whole(input * Fraction(factor))

    return Rates(
        input=input,
        output=times("5") if output is None else output,
        cache_write=times("1.25") if cache_write is None else cache_write,
        cache_write_1h=times("2") if cache_write_1h is None else cache_write_1h,
        cache_read=times("0.1") if cache_read is None else cache_read,
        web_search=web_search,
    )


def per_search(per_thousand: int) -> int:
    """The price of 1,000 searches -> that of one."""
    return _whole(Fraction(per_thousand, _SEARCHES))


def _whole(number: Fraction) -> int:
    assert number.denominator == 1, "the limits of digits keep every product an integer"
    return number.numerator


class _Amounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Five prices as in the file."""

    input: str
    output: str
    cache_write: str
    cache_write_1h: str
    cache_read: str

    def rates(self, web_search: str) -> Rates:
        return Rates(
            input=amount(self.input),
            output=amount(self.output),
            cache_write=amount(self.cache_write),
            cache_write_1h=amount(self.cache_write_1h),
            cache_read=amount(self.cache_read),
            web_search=per_search(amount(web_search)),
        )


class _LongPromptRow(_Amounts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    above: int


class _Row(_Amounts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the file."""

    model: str
    from_date: date | None = field(default=None, name="from")
    long_prompt: _LongPromptRow | None = None
    regional_multiplier: str = "1"
    batch_multiplier: str = "1"
    fast_multiplier: str | None = None
    web_search: str
    source: str
    checked: date

    def price(self) -> Price:
        long = self.long_prompt
        return Price(
            model=self.model,
            from_date=self.from_date,
            rates=self.rates(self.web_search),
            long_prompt=LongPrompt(long.above, long.rates(self.web_search)) if long is not None else None,
            regional_multiplier=multiplier(self.regional_multiplier),
            batch_multiplier=multiplier(self.batch_multiplier),
            fast_multiplier=multiplier(self.fast_multiplier) if self.fast_multiplier is not None else None,
            source=self.source,
            checked_on=self.checked,
        )


@cache
def builtin_prices() -> PriceList:
    """The prices that ship with the package."""
    text = resources.files(__package__).joinpath("prices.toml").read_text("utf-8")
    rows: Any = tomllib.loads(text)["price"]
    return PriceList(row.price() for row in msgspec.convert(rows, list[_Row]))

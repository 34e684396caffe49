"""Prices that an operator adds from a day on. They are never changed: what a row cost is explained by them for ever.

Prices of ``[accounts.prices]`` apply on every day; these replace them, and those of the catalog, from their day on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.accounts.records import OwnPrice
from modelmux.catalog.prices import Price, PriceList, amount, multiplier, per_search, rates_from_input

T = TypeVar("T")
#: Characters of a value in a message.
_SHOWN: Final = 40
#: Where such a price is from.
SOURCE: Final = "the operator"
_AMOUNT: Final = 'expected USD per million tokens such as "0.25", with at most four decimals'
_MULTIPLIER: Final = 'expected a factor such as "1.1", with at most three decimals'


class CurrentPrices:
    """The prices of a configuration, with those of a directory that changes.

    :param directory: returns that of now.
    """

    def __init__(self, configured: PriceList, directory: Callable[[], Directory] = Directory) -> None:
        self._configured = configured
        self._directory = directory
        self._known: tuple[Mapping[str, OwnPrice], PriceList] = ({}, configured)

    def __call__(self) -> PriceList:
        """Those of now. From any thread."""
        own = self._directory().prices
        known, prices = self._known
        if own is not known:
            prices = with_own_prices(self._configured, own)
            self._known = own, prices
        return prices


def with_own_prices(prices: PriceList, own: Mapping[str, OwnPrice]) -> PriceList:
    """A new list with these, from their days on."""
    return prices.with_versions(price_of(one) for one in own.values()) if own else prices


def add_price(directory: Directory, own: OwnPrice) -> Edit:
    """A price of a model from a day on.

    :raises FieldError: an amount cannot be one. :raises RecordConflict: there is one of this model and day.
    """
    price_of(own)
    if own.id in directory.prices:
        problem = f"there is a price of {own.model} from {own.valid_from} on"
        raise RecordConflict("taken", "valid_from", problem, "add one from another day on; prices are never changed")
    return Edit(action="price.add", subject=own.id, prices=(own,))


def price_of(own: OwnPrice) -> Price:
    """As costs are computed with it. What is not named follows from the price of input.

    :raises FieldError:
    """
    rates = rates_from_input(
        _read(own, "input", amount, _AMOUNT) or 0,
        output=_read(own, "output", amount, _AMOUNT),
        cache_write=_read(own, "cache_write", amount, _AMOUNT),
        cache_write_1h=_read(own, "cache_write_1h", amount, _AMOUNT),
        cache_read=_read(own, "cache_read", amount, _AMOUNT),
        web_search=per_search(_read(own, "web_search", amount, _AMOUNT) or 0),
    )
    return Price(
        model=own.model,
        from_date=own.valid_from,
        rates=rates,
        source=SOURCE,
        regional_multiplier=_read(own, "regional_multiplier", multiplier, _MULTIPLIER) or multiplier("1"),
        fast_multiplier=multiplier("1") if own.has_fast_mode else None,
    )


def _read(own: OwnPrice, field: str, read: Callable[[str], T], expected: str) -> T | None:
    text = getattr(own, field)
    if text is None:
        return None
    try:
        return read(text)
    except ValueError:
        raise FieldError(field, f"{text[:_SHOWN]!r} cannot be it", expected) from None

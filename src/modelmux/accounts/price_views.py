"""Prices as clients of the admin API see them: decimals in USD per million tokens, one row for each model and day."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from modelmux.catalog.prices import Price, PriceList, Rates, decimal, usd


class RatesView(Struct, frozen=True, kw_only=True):
    """USD per million tokens; ``web_search`` per search."""

    input: str
    output: str
    cache_write: str
    cache_write_1h: str
    cache_read: str
    web_search: str


class LongPromptView(Struct, frozen=True, kw_only=True):
    """:param above: tokens of a prompt above which these rates apply to all tokens of a request."""

    above: int
    rates: RatesView


class PriceView(Struct, frozen=True, kw_only=True):
    """A version of the prices of a model.

    :param valid_from: null for the first one, which applies to all days before, too. :param valid_until: not included.
    :param own: it is the operator's.
    :param regional_multiplier: anywhere but on ``global``.
    """

    id: str
    model: str
    valid_from: str | None
    valid_until: str | None
    rates: RatesView
    long_prompt: LongPromptView | None
    regional_multiplier: str
    batch_multiplier: str
    fast_multiplier: str | None
    own: bool
    source: str
    checked_on: str | None


def price_views(prices: PriceList) -> list[PriceView]:
    """All versions of all models."""
    by_model: dict[str, list[Price]] = {}
    for price in sorted(prices.prices, key=lambda one: one.from_date or date.min):
        by_model.setdefault(price.model, []).append(price)
    views = []
    for rows in by_model.values():
        for price, following in zip(rows, [*rows[1:], None], strict=True):
            views.append(_view(price, None if following is None else following.from_date))
    return views


def _view(price: Price, until: date | None) -> PriceView:
    begun = None if price.from_date is None else price.from_date.isoformat()
    long = price.long_prompt
    return PriceView(
        id=f"{price.model}/{begun or 'launch'}",
        model=price.model,
        valid_from=begun,
        valid_until=None if until is None else until.isoformat(),
        rates=_rates(price.rates),
        long_prompt=None if long is None else LongPromptView(above=long.above, rates=_rates(long.rates)),
        regional_multiplier=decimal(price.regional_multiplier),
        batch_multiplier=decimal(price.batch_multiplier),
        fast_multiplier=None if price.fast_multiplier is None else decimal(price.fast_multiplier),
        own=price.checked_on is None,
        source=price.source,
        checked_on=None if price.checked_on is None else price.checked_on.isoformat(),
    )


def _rates(rates: Rates) -> RatesView:
    return RatesView(**{name: usd(getattr(rates, name)) for name in rates.__struct_fields__})

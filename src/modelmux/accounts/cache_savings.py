"""What the prompt cache saved: what its reads would have cost as plain input, less what its writes cost above that.

Sums of usage do not say in which locations, and in prompts of which sizes, tokens were used. Their costs do, as all
prices of tokens have the same factor there. So what tokens of a kind would have cost as plain input is what was charged
for them, times the price of input, divided by the price of the kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from msgspec import Struct

from modelmux.accounts.periods import day_of
from modelmux.accounts.usage_query import UsageRow
from modelmux.catalog.prices import PriceList, Rates

_MILLION: Final = 1_000_000
_KINDS: Final = ("cache_read", "cache_write", "cache_write_1h")


class ModelSavings(Struct, frozen=True, kw_only=True):
    """What the cache saved with one model.

    :param saved: nano-USD; negative where writes cost more than reads saved, None if no request has a known price.
    :param unpriced: requests that are left out: their price is unknown. Also those that did not use the cache.
    """

    model: str
    saved: int | None
    unpriced: int = 0


def cache_savings(rows: Iterable[UsageRow], prices: PriceList) -> list[ModelSavings]:
    """The models that used the cache, in the order of their names. Exact, and rounded half up once for each.

    :param rows: by model alone, each of one day in UTC at most.
    """
    saved: dict[str, Fraction | None] = {}
    unpriced: dict[str, int] = {}
    for row in rows:
        if not any(getattr(row.counts, kind) for kind in _KINDS):
            continue
        model = row.group[0] or ""
        price = prices.price(model, day_of(row.start))
        left_out = row.requests if price is None else row.unpriced
        unpriced[model] = unpriced.get(model, 0) + left_out
        before = saved.setdefault(model, None)
        if price is not None and left_out < row.requests:
            saved[model] = (before or Fraction(0)) + _saved(row, price.rates)
    return [
        ModelSavings(model=model, saved=None if its is None else _half_up(its), unpriced=unpriced[model])
        for model, its in sorted(saved.items())
    ]


def _saved(row: UsageRow, rates: Rates) -> Fraction:
    saved = Fraction(0)
    for kind in _KINDS:
        charged, rate = getattr(row.cost, kind), getattr(rates, kind)
        if rate:
            saved += Fraction(charged * rates.input, rate) - charged
        else:  # the charge says nothing then: as on global
            saved += Fraction(getattr(row.counts, kind) * rates.input, _MILLION) - charged
    return saved


def _half_up(number: Fraction) -> int:
    return (2 * number.numerator + number.denominator) // (2 * number.denominator)

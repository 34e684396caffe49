"""What one call to an upstream costs, however it ended. The table of cases is that of ``docs/accounts.md``."""

from __future__ import annotations

from datetime import date
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.cost import Cost, TokenCounts, cost_of
from modelmux.accounts.counts import counts_of
from modelmux.accounts.price_id import price_id
from modelmux.catalog.prices import PriceList
from modelmux.wire.anthropic import Usage

#: Characters of a token, at least: what was delivered of a reply that broke off is charged rather too high.
_CHARACTERS: Final = 3


class Call(Struct, frozen=True, kw_only=True):
    """How one call ended.

    :param model: its Vertex id.
    :param usage: as far as the upstream reported it.
    :param is_complete: the reply came whole, so ``usage`` is all there is.
    :param may_be_billed: the request reached the upstream, which did not refuse it.
    :param characters: of the reply that came.
    :param prompt_bound: tokens of the request, at most; only read where the upstream reported none.
    """

    model: str
    location: str
    day: date
    usage: Usage | None
    is_complete: bool
    may_be_billed: bool
    characters: int = 0
    prompt_bound: int = 0


class Charge(Struct, frozen=True, kw_only=True):
    """What a call costs.

    :param cost: None if its price is unknown.
    :param price: id of the price; None if nothing was charged, or the price is unknown.
    :param estimated: the upstream did not report all of it.
    """

    counts: TokenCounts = TokenCounts()
    cost: Cost | None = Cost()
    price: str | None = None
    estimated: bool = False


def charge(call: Call, prices: PriceList) -> Charge:
    """The charge for a call that is over."""
    counts, estimated = _counts(call)
    if counts == TokenCounts():
        return Charge(estimated=estimated)
    price = prices.price(call.model, call.day)
    fast = call.usage is not None and call.usage.speed == "fast"
    rates = price.rates_for(call.location, counts.prompt, fast=fast) if price is not None else None
    if price is None or rates is None:
        return Charge(counts=counts, cost=None, estimated=estimated)
    used = price_id(price, call.location, fast=fast)
    return Charge(counts=counts, cost=cost_of(counts, rates), price=used, estimated=estimated)


def _counts(call: Call) -> tuple[TokenCounts, bool]:
    if call.usage is None:
        if not call.may_be_billed:
            return TokenCounts(), False
        return TokenCounts(input=call.prompt_bound, output=_delivered(call)), True
    counts, absurd = counts_of(call.usage)
    if call.is_complete:
        return counts, absurd
    return replace(counts, output=max(counts.output, _delivered(call))), True


def _delivered(call: Call) -> int:
    return call.characters // _CHARACTERS + 1 if call.characters else 0

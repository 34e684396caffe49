"""Lowers what a request may produce to what its budgets have left: ``on_short = "clamp"``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from modelmux.accounts.slices import WindowKey
from modelmux.accounts.worst_case import tokens_that_fit
from modelmux.catalog.prices import Price
from modelmux.claude.demand import Demand
from modelmux.claude.lower_max_tokens import lower_max_tokens
from modelmux.claude.native import NativeRequest
from modelmux.claude.notices import Notice
from modelmux.claude.request import FieldNames
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.metering.applied_budgets import BudgetWindow
from modelmux.gateway.preparation import Prepared

_REASON = "A budget of this key has no room for more tokens."


def output_that_fits(
    windows: Sequence[BudgetWindow], left: Mapping[WindowKey, int], demand: Demand, price: Price | None, location: str
) -> int | None:
    """Tokens of output for which no budget is short; None if one of those that are short wants a refusal.

    :param left: what this call may hold of each window that is short.
    """
    short = [one for one in windows if one.key in left]
    if any(one.budget.on_short != "clamp" for one in short):
        return None
    fits = [tokens_that_fit(demand, one.budget.unit, price, location, left[one.key]) for one in short]
    return min((tokens or 0 for tokens in fits), default=None)


def limit_fields(exchange: Exchange) -> Sequence[str]:
    """What the client calls ``max_tokens``."""
    request = exchange.request
    names = FieldNames() if isinstance(request, NativeRequest) else request.fields
    return names.max_tokens or FieldNames().max_tokens


async def clamped(exchange: Exchange, prepared: Prepared, most: int) -> Prepared | None:
    """The request with fewer tokens of output, which a notice reports; the original is unchanged, for retries.

    :returns: None if that serves no one, or strict mode allows no changes.
    """
    if exchange.services.strict or exchange.inbound.strict:
        return None
    body = await exchange.run(lower_max_tokens, prepared.encoded, most)
    if body is None:
        return None
    notices = [Notice("clamped", field, _REASON) for field in limit_fields(exchange)]
    return replace(prepared, encoded=body, notices=[*prepared.notices, *notices])

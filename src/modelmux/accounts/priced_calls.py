"""Calls -> what they cost together: one loop for charging a request and for rating it anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from msgspec import Struct

from modelmux.accounts.cost import Cost, TokenCounts, cost_of
from modelmux.accounts.counts import Round
from modelmux.accounts.entry import AttemptEntry
from modelmux.accounts.price_id import price_id
from modelmux.catalog.prices import PriceList


class PricedCall(Struct, frozen=True):
    """Tokens with one price. Each call has a prompt of its own.

    :param model: its Vertex id.
    """

    counts: TokenCounts
    model: str
    location: str
    fast: bool


def cost_of_calls(calls: Iterable[PricedCall], day: date, prices: PriceList) -> tuple[Cost, str] | None:
    """The cost of all calls, and the id of the last price; None if one of them has no price."""
    cost: Cost | None = None
    id = ""
    for call in calls:
        priced = cost_of_call(call.counts, call.model, call.location, day, prices, fast=call.fast)
        if priced is None:
            return None
        its, id = priced
        cost = its if cost is None else cost + its
    return Cost() if cost is None else cost, id


def cost_of_call(
    counts: TokenCounts, model: str, location: str, day: date, prices: PriceList, *, fast: bool
) -> tuple[Cost, str] | None:
    """The cost of one call, and the id of its price; None if it has no price. For the parameters see ``PricedCall``."""
    price = prices.price(model, day)
    rates = None if price is None else price.rates_for(location, counts.prompt, fast=fast)
    if price is None or rates is None:
        return None
    return cost_of(counts, rates), price_id(price, location, fast=fast)


def cost_of_attempts(attempts: Iterable[AttemptEntry], day: date, prices: PriceList) -> Cost | None:
    """What some of the attempts of a row cost; None if the price of one of them is unknown."""
    charged = cost_of_calls(
        (
            PricedCall(its.counts, its.model or one.model or "", one.location or "", one.fast)
            for one in attempts
            for its in rounds_of_attempt(one)
        ),
        day,
        prices,
    )
    return None if charged is None else charged[0]


def rounds_of_attempt(attempt: AttemptEntry) -> Sequence[Round]:
    """The tokens of an attempt, apart where each part has a prompt of its own."""
    if attempt.rounds:
        return attempt.rounds
    return [] if attempt.counts is None or attempt.counts == TokenCounts() else [Round(attempt.counts)]

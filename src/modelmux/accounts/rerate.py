"""A row of the ledger at other prices: the row that corrects its cost.

The correction has the time of the request, so that the cost of a period is that of its requests. Its id depends on the
row and on the number of its corrections only: two runs at once write one row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from modelmux.accounts.cost import Cost, TokenCounts, cost_of
from modelmux.accounts.entry import Entry
from modelmux.accounts.price_id import is_fast, price_id
from modelmux.accounts.uuid7 import uuid7
from modelmux.catalog.prices import Price, PriceList

#: Why a cost was corrected. The row with ``PRICED`` is the first that has a cost.
PRICED: Final = "the price was unknown"
CHANGED: Final = "the price changed"

_NOTHING: Final = TokenCounts()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: (row, number of its corrections so far) -> id of the next one.
NewId = Callable[[Entry, int], bytes]


def correction_id(entry: Entry, number: int) -> bytes:
    """The id of a correction: that of its row decides about it, so it is the same whoever makes it."""
    return uuid7(entry.at, hashlib.sha256(b"rerate %d " % number + entry.id).digest())


def rerate(
    entry: Entry, corrections: Sequence[Entry], prices: PriceList, new_id: NewId = correction_id
) -> Entry | None:
    """The row to add so that the entry and all its corrections together cost what the prices say.

    :param corrections: all that the entry has.
    :returns: None if there is nothing to correct, or nothing can be said: the price is unknown, the row was taken
        back, or it has tokens of several deployments, whose models it does not name.
    """
    if not is_rerated(entry) or entry.model is None or any(one.kind == "void" for one in corrections):
        return None
    if has_several_deployments(entry):
        return None
    counts = entry.counts
    for one in corrections:
        counts += one.counts
    price = prices.price(entry.model, _day(entry))
    cost = None if price is None else _cost(entry, counts, price)
    if price is None or cost is None:
        return None
    balance, is_priced = Cost(), False
    for one in (entry, *corrections):
        balance += one.cost or Cost()
        is_priced |= one.cost is not None and one.kind in (entry.kind, "rerate")
    difference = cost + -balance
    if is_priced and difference == Cost():
        return None
    return replace(
        entry,
        id=new_id(entry, len(corrections)),
        kind="rerate",
        corrects=entry.id,
        reason=CHANGED if is_priced else PRICED,
        attempts=(),
        counts=_NOTHING,
        cost=difference,
        price=price_id(price, entry.location or "", fast=is_fast(entry.price)),
        hold=0,
        duration=0,
        first_content=None,
        request_bytes=0,
        response_bytes=0,
    )


def is_rerated(entry: Entry) -> bool:
    """Whether a row is that of a request, not a correction of another."""
    return entry.kind in ("usage", "in_doubt") and entry.corrects is None


def unpriced_change(entry: Entry) -> int:
    """What a row adds to the number of requests without a price: 1, 0, or -1 for the correction that has one."""
    if is_rerated(entry):
        return int(entry.cost is None)
    return -int(entry.kind == "rerate" and entry.reason == PRICED)


def has_several_deployments(entry: Entry) -> bool:
    """Whether tokens of another deployment than the last one are among those of the row."""
    return any(one.counts not in (None, _NOTHING) and one.deployment != entry.deployment for one in entry.attempts)


def _cost(entry: Entry, counts: TokenCounts, price: Price) -> Cost | None:
    """The cost of a row; None if its mode has no price. Each attempt is a call with a prompt of its own, unless the
    attempts do not account for all tokens."""
    calls = [one.counts for one in entry.attempts if one.counts is not None]
    total = _NOTHING
    for call in calls:
        total += call
    cost = Cost()
    for call in calls if total == counts else [counts]:
        rates = price.rates_for(entry.location or "", call.prompt, fast=is_fast(entry.price))
        if rates is None:
            return None
        cost += cost_of(call, rates)
    return cost


def _day(entry: Entry) -> date:
    return (_EPOCH + timedelta(microseconds=entry.at)).date()

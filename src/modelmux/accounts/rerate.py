"""A row of the ledger at other prices: the row that corrects its cost.

The correction has the time of the request, so that the cost of a period is that of its requests. Its id depends on the
row and on the number of its corrections only: two runs at once write one row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.debits import changed_debits
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.periods import day_of
from modelmux.accounts.price_id import is_fast
from modelmux.accounts.priced_calls import PricedCall, cost_of_calls, rounds_of_attempt
from modelmux.accounts.uuid7 import uuid7
from modelmux.catalog.prices import PriceList

#: Why a cost was corrected. The row with ``PRICED`` is the first that has a cost.
PRICED: Final = "the price was unknown"
CHANGED: Final = "the price changed"

_NOTHING: Final = TokenCounts()
_NO_BUDGETS: Final = Directory()

#: (row, number of its corrections so far) -> id of the next one.
NewId = Callable[[Entry, int], bytes]


def correction_id(entry: Entry, number: int) -> bytes:
    """The id of a correction: that of its row decides about it, so it is the same whoever makes it."""
    return uuid7(entry.at, hashlib.sha256(b"rerate %d " % number + entry.id).digest())


def rerate(
    entry: Entry,
    corrections: Sequence[Entry],
    prices: PriceList,
    directory: Directory = _NO_BUDGETS,
    new_id: NewId = correction_id,
) -> Entry | None:
    """The row to add so that the entry and all its corrections together cost what the prices say.

    :param corrections: all that the entry has.
    :param directory: has the budgets that the entry was charged to, whose windows follow.
    :returns: None if there is nothing to correct, or nothing can be said: a price is unknown, the row was taken
        back, a person stated what it cost, or it does not name the model of all its tokens.
    """
    if not is_rerated(entry) or any(one.kind == "void" for one in corrections):
        return None
    counts = entry.counts
    for one in corrections:
        counts += one.counts
    if any(one.kind == "resolve" and _NOTHING in (one.counts, counts) for one in corrections):
        return None
    calls = _calls(entry, counts)
    charged = None if calls is None else cost_of_calls(calls, day_of(entry.at), prices)
    if charged is None:
        return None
    cost, price = charged
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
        price=price,
        hold=0,
        debits=changed_debits(directory, (entry, *corrections), cost, prices),
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
    is_first = entry.kind == "resolve" and (entry.reason or "").startswith(f"{PRICED}: ")
    return -int(is_first or (entry.kind == "rerate" and entry.reason == PRICED))


def has_models(entry: Entry) -> bool:
    """Whether the row names the model of all its tokens."""
    return _calls(entry, entry.counts) is not None


def _calls(entry: Entry, counts: TokenCounts) -> list[PricedCall] | None:
    """The calls of a request. If their tokens are not those that it has with its corrections, one with all of these;
    None if it is not known of which model they are."""
    calls: list[PricedCall] = []
    for one in entry.attempts:
        is_last = one.deployment == entry.deployment
        model, location = (one.model, one.location) if one.model or not is_last else (entry.model, entry.location)
        fast = one.fast or (one.model is None and is_fast(entry.price))
        for its in rounds_of_attempt(one):
            if model is None:
                return None
            calls.append(PricedCall(its.counts, its.model or model, location or "", fast))
    total = _NOTHING
    for call in calls:
        total += call.counts
    if calls and total == counts:
        return calls
    if not calls:
        return (
            None
            if entry.model is None
            else [PricedCall(counts, entry.model, entry.location or "", is_fast(entry.price))]
        )
    merged = {replace(call, counts=counts) for call in calls}
    return [*merged] if len(merged) == 1 else None

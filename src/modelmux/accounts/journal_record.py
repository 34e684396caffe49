"""What the journal has of a request whose row is not written yet, and the row that it becomes if its process is killed.

A call that had ended is charged exactly as it would have been. One that ran is charged for what its prompt used, or at
most used, and for as many tokens of output as it may have had: how far it came is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.accounts.charge import Call, Charge, charge, total
from modelmux.accounts.cost import TokenCounts
from modelmux.accounts.debits import ChargedWindow, debits_of
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.periods import day_of
from modelmux.catalog.prices import PriceList
from modelmux.claude.demand import Writes
from modelmux.wire.anthropic import Usage

#: The code of a row whose request had no end.
KILLED: Final = "process_killed"
_STATUS_OF_KILLED: Final = 500


class JournalCall(Struct, array_like=True):
    """One call. The fields are those of ``charge.Call``, and

    :param prompt_bound, output_bound: tokens that it uses at most.
    :param is_ended: what it used is known as well as it ever will be.
    :param message_id: of the reply.
    """

    deployment: str
    model: str
    location: str
    usage: Usage | None
    is_complete: bool
    output_reported: bool
    may_be_billed: bool
    characters: int
    prompt_bound: int
    output_bound: int
    is_ended: bool
    message_id: str | None = None
    writes: Writes = "none"
    searches: int = 0
    fast: bool = False


class JournalRecord(Struct, array_like=True):
    """
    :param id, at, key, person, team, dialect, operation, route, stream: as the row has them.
    :param calls: those that have begun to leave, in their order.
    """

    id: bytes
    at: int
    key: str
    person: str | None
    team: str
    dialect: str
    operation: str
    route: str | None
    stream: bool
    windows: Sequence[ChargedWindow] = ()
    calls: Sequence[JournalCall] = ()


encode_record: Final = msgspec.json.Encoder().encode
decode_record: Final = msgspec.json.Decoder(JournalRecord).decode


def recovered_entry(record: JournalRecord, prices: PriceList) -> Entry:
    """The row of a request whose process was killed. What the journal does not have is missing."""
    day = day_of(record.at)
    calls = [_call(one, day, prices) for one in record.calls]
    charges = [charge(one, prices) for one in calls]
    counts, cost, price = total(charges)
    last = record.calls[-1]
    in_doubt = any(not one.is_ended for one in record.calls)
    is_complete = last.is_complete and not in_doubt
    entry = Entry(
        id=record.id,
        at=record.at,
        kind="in_doubt" if in_doubt else "usage",
        key=record.key,
        person=record.person,
        team=record.team,
        dialect=record.dialect,
        operation=record.operation,
        route=record.route,
        model=last.model,
        location=last.location or None,
        deployment=last.deployment,
        attempts=tuple(_attempt(*one) for one in zip(record.calls, calls, charges, strict=True)),
        outcome="ok" if is_complete else "gateway_error",
        status=200 if is_complete else _STATUS_OF_KILLED,
        code=None if is_complete else KILLED,
        stream=record.stream,
        counts=counts,
        cost=cost,
        price=price,
        estimated=any(one.estimated for one in charges),
        recovered=True,
        upstream_id=next((one.message_id for one in reversed(record.calls) if one.message_id), None),
    )
    debits = debits_of(entry, record.windows, prices)
    money = max((one.held or 0 for one in record.windows if one.unit == "usd"), default=0)
    return entry.charged(tuple((key, amount) for key, amount in debits.items() if amount), money)


def _call(one: JournalCall, day: date, prices: PriceList) -> Call:
    has_fast_mode = one.fast and prices.rates(one.model, day, one.location, fast=True) is not None
    return Call(
        model=one.model,
        location=one.location,
        day=day,
        usage=one.usage,
        is_complete=one.is_complete,
        output_reported=one.output_reported,
        may_be_billed=one.may_be_billed,
        characters=one.characters,
        prompt_bound=one.prompt_bound,
        output_bound=one.output_bound,
        is_ended=one.is_ended,
        writes=one.writes,
        searches=one.searches,
        fast=has_fast_mode,
    )


def _attempt(one: JournalCall, call: Call, charge: Charge) -> AttemptEntry:
    return AttemptEntry(
        one.deployment,
        "ok" if one.is_complete else KILLED,
        charge.counts if charge.counts != TokenCounts() else None,
        model=one.model,
        location=one.location or None,
        price=charge.price,
        fast=call.is_fast,
        rounds=charge.rounds,
    )

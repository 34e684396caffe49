"""The record of a request that is over -> its row of the ledger. One function, whatever the dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import msgspec
from msgspec import Struct

from modelmux.accounts.attribution import Tags, end_user_of, tags_of
from modelmux.accounts.charge import Call, Charge, charge, total
from modelmux.accounts.cost import TokenCounts
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.periods import day_of
from modelmux.catalog.prices import PriceList, usd
from modelmux.claude.native import NativeRequest
from modelmux.claude.token_estimate import estimate_tokens
from modelmux.telemetry.loggable import first_word, loggable_word
from modelmux.telemetry.observers import result_label
from modelmux.telemetry.records import AttemptRecord, ExchangeRecord, Outcome
from modelmux.wire.http import find_raw_header

#: Characters of a name that a client chose.
MAX_NAME: Final = 256
_MICRO: Final = 1_000_000


class Rules(Struct, frozen=True, kw_only=True):
    """What a row depends on beside the request.

    :param current_prices: returns those of now.
    :param keys: owner of a caller, see ``Caller`` -> id of the key. An owner that is missing is its own id.
    :param end_user_headers: names of headers in lower case that name the end user, in order of precedence.
    :param end_user_form: what is stored of an end user's name.
    :param redact: removes secrets from what clients chose.
    """

    current_prices: Callable[[], PriceList]
    keys: Mapping[str, str] = {}
    end_user_headers: Sequence[bytes] = ()
    end_user_form: Callable[[str], str]
    redact: Callable[[str], str]

    @property
    def prices(self) -> PriceList:
        return self.current_prices()


class _Limit(Struct):
    max_tokens: int | None = None


def entry_of(record: ExchangeRecord, id: bytes, at: int, rules: Rules) -> Entry:
    """The row of one request.

    :param at: microseconds in UTC, when the request arrived.
    """
    charges = _charges(record.attempts, at, rules.prices)
    counts, cost, price = total(charges)
    last = record.attempts[-1] if record.attempts else None
    end_user = end_user_of(record.headers, rules.end_user_headers, record.end_user)
    agent = find_raw_header(record.headers, b"user-agent")
    first = record.time_to_first_token
    return Entry(
        id=id,
        at=at,
        key=rules.keys.get(record.caller.owner, record.caller.owner),
        person=record.caller.person,
        team=record.caller.team,
        end_user=None if end_user is None else rules.end_user_form(rules.redact(end_user)),
        tags=row_tags(record.headers, record.metadata, record.caller.tags, rules.redact),
        dialect=record.dialect,
        operation=record.operation,
        requested=None if record.requested_model is None else loggable_word(record.requested_model, rules.redact),
        route=record.route,
        model=None if last is None else last.card.id,
        location=None if last is None else last.location or None,
        deployment=None if last is None else last.deployment,
        attempts=tuple(_attempt_entry(*one, record.outcome) for one in zip(record.attempts, charges, strict=True)),
        outcome=record.outcome,
        status=record.status,
        code=None if record.error is None else record.error.code or record.error.kind.name,
        stream=record.stream,
        counts=counts,
        cost=cost,
        price=price,
        estimated=any(one.estimated for one in charges),
        duration=round(record.duration * _MICRO),
        first_content=None if first is None else round(first * _MICRO),
        request_bytes=record.request_bytes,
        response_bytes=record.response_bytes,
        client_request_id=_client_request_id(record, rules.redact),
        upstream_id=next((a.message_id[:MAX_NAME] for a in reversed(record.attempts) if a.message_id), None),
        trace_id=record.trace_id,
        agent=None if agent is None else first_word(agent, rules.redact),
    )


def cost_of_attempts(attempts: Sequence[AttemptRecord], at: int, prices: PriceList) -> str | None:
    """What attempts cost together, in USD as a decimal; None if a price is unknown.

    :param at: microseconds in UTC, when the request arrived.
    """
    _, cost, _ = total(_charges(attempts, at, prices))
    return None if cost is None else usd(cost.total)


def row_tags(
    headers: Sequence[tuple[bytes, bytes]],
    metadata: Mapping[str, Any] | None,
    forced: Tags,
    redact: Callable[[str], str],
) -> Tags:
    """The tags of a request, sorted; those that its key has in any case win."""
    header = _joined(headers, b"x-modelmux-tags")
    if header is None and not metadata:
        return tuple(sorted(forced)) if forced else ()
    tags = tags_of(header, metadata)
    return tuple(sorted({**{name: redact(value) for name, value in tags}, **dict(forced)}.items()))


def _joined(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    """A header that may come in several lines (RFC 9110, section 5.3)."""
    values = [value for sent, value in headers if sent == name]
    return b",".join(values).decode("latin-1") or None if values else None


def _client_request_id(record: ExchangeRecord, redact: Callable[[str], str]) -> str | None:
    """The id that the client sent, if the gateway accepted it."""
    sent = any(name == b"x-request-id" and value == record.request_id.encode() for name, value in record.headers)
    return redact(record.request_id[:MAX_NAME]) if sent else None


def _charges(attempts: Sequence[AttemptRecord], at: int, prices: PriceList) -> list[Charge]:
    day = day_of(at)
    return [charge(_call(attempt, day), prices) for attempt in attempts]


def _call(attempt: AttemptRecord, day: date) -> Call:
    return Call(
        model=attempt.card.id,
        location=attempt.location,
        day=day,
        usage=attempt.usage,
        is_complete=attempt.is_complete,
        output_reported=attempt.output_reported,
        may_be_billed=attempt.may_be_billed,
        characters=attempt.characters,
        prompt_bound=_prompt_bound(attempt),
        output_bound=_output_bound(attempt),
    )


def _prompt_bound(attempt: AttemptRecord) -> int:
    """Tokens of a request for which none were reported: estimated, and no more than the model reads."""
    if attempt.body is None or attempt.usage is not None or not attempt.may_be_billed:
        return 0
    content = msgspec.json.decode(attempt.body)
    return min(estimate_tokens(NativeRequest(attempt.body, content, []), attempt.card), attempt.card.context_window)


def _output_bound(attempt: AttemptRecord) -> int | None:
    """``max_tokens`` of a request whose reply broke off, as the upstream read it."""
    if attempt.body is None or attempt.is_complete or not attempt.characters:
        return None
    try:
        return msgspec.json.decode(attempt.body, type=_Limit).max_tokens
    except msgspec.ValidationError:
        return None


def _attempt_entry(attempt: AttemptRecord, charge: Charge, outcome: Outcome) -> AttemptEntry:
    """:param outcome: of the request; also that of an attempt which was given up with it."""
    result: str = "ok" if attempt.is_complete else outcome
    if attempt.error is not None:
        result = result_label(attempt.error)
    return AttemptEntry(
        attempt.deployment,
        result,
        charge.counts if charge.counts != TokenCounts() else None,
        model=attempt.card.id,
        location=attempt.location or None,
        price=charge.price,
        fast=attempt.usage is not None and attempt.usage.speed == "fast",
        rounds=charge.rounds,
    )

"""The record of a request that is over -> its row of the ledger. One function, whatever the dialect."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from types import MappingProxyType
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

#: Characters of a name that a client chose.
MAX_NAME: Final = 256
_MICRO: Final = 1_000_000
#: Texts of clients whose quoted form is remembered.
_REMEMBERED: Final = 1_000


class Rules:
    """What a row depends on beside the request.

    :param current_prices: returns those of now.
    :param keys: owner of a caller, see ``Caller`` -> id of the key. An owner that is missing is its own id.
    :param end_user_headers: names of headers in lower case that name the end user, in order of precedence.
    :param end_user_form: what is stored of an end user's name.
    :param redact: removes secrets from what clients chose.
    """

    def __init__(
        self,
        *,
        current_prices: Callable[[], PriceList],
        end_user_form: Callable[[str], str],
        redact: Callable[[str], str],
        keys: Mapping[str, str] = MappingProxyType({}),
        end_user_headers: Sequence[bytes] = (),
    ) -> None:
        self.current_prices = current_prices
        self.keys = keys
        self.end_user_headers = end_user_headers
        self.end_user_form = end_user_form
        self.redact = redact
        #: What a row quotes of a model's name, and of a ``user-agent``: most requests have one of a few.
        self.model_word = lru_cache(_REMEMBERED)(functools.partial(loggable_word, redact=redact))
        self.agent_word = lru_cache(_REMEMBERED)(functools.partial(first_word, redact=redact))


class _Limit(Struct):
    max_tokens: int | None = None


def entry_of(record: ExchangeRecord, id: bytes, at: int, rules: Rules) -> Entry:
    """The row of one request.

    :param at: microseconds in UTC, when the request arrived.
    """
    charges = _charges(record.attempts, at, rules.current_prices())
    counts, cost, price = total(charges)
    last = record.attempts[-1] if record.attempts else None
    end_user = end_user_of(record.headers, rules.end_user_headers, record.end_user)
    sent = dict(reversed(record.headers))  # of a name that comes twice, the first
    agent, id_sent = sent.get(b"user-agent"), sent.get(b"x-request-id")
    has_tags = b"x-modelmux-tags" in sent or record.metadata or record.caller.tags
    has_id = id_sent is not None and id_sent == record.request_id.encode()
    first = record.time_to_first_token
    return Entry(
        id=id,
        at=at,
        key=rules.keys.get(record.caller.owner, record.caller.owner),
        person=record.caller.person,
        team=record.caller.team,
        end_user=None if end_user is None else rules.end_user_form(rules.redact(end_user)),
        tags=row_tags(record.headers, record.metadata, record.caller.tags, rules.redact) if has_tags else (),
        dialect=record.dialect,
        operation=record.operation,
        requested=None if record.requested_model is None else rules.model_word(record.requested_model[:MAX_NAME]),
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
        estimated=True in [one.estimated for one in charges],
        duration=round(record.duration * _MICRO),
        first_content=None if first is None else round(first * _MICRO),
        request_bytes=record.request_bytes,
        response_bytes=record.response_bytes,
        client_request_id=rules.redact(record.request_id[:MAX_NAME]) if has_id else None,
        upstream_id=_upstream_id(record.attempts),
        trace_id=record.trace_id,
        agent=None if agent is None else rules.agent_word(agent[:MAX_NAME]),
    )


def _upstream_id(attempts: Sequence[AttemptRecord]) -> str | None:
    """Of the last reply that has one."""
    for attempt in reversed(attempts):
        if attempt.message_id:
            return attempt.message_id[:MAX_NAME]
    return None


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


def charge_of(attempt: AttemptRecord, at: int, prices: PriceList) -> Charge:
    """What the row of a request has of one of its calls that is over.

    :param at: microseconds in UTC, when the request arrived.
    """
    return charge(_call(attempt, day_of(at)), prices)


def _charges(attempts: Sequence[AttemptRecord], at: int, prices: PriceList) -> list[Charge]:
    day = day_of(at)
    return [charge(_call(attempt, day), prices) for attempt in attempts]


def _call(attempt: AttemptRecord, day: date) -> Call:
    body = attempt.body
    return Call(
        model=attempt.card.id,
        location=attempt.location,
        day=day,
        usage=attempt.usage,
        is_complete=attempt.is_complete,
        output_reported=attempt.output_reported,
        may_be_billed=attempt.may_be_billed,
        characters=attempt.characters,
        prompt_bound=0 if body is None else _prompt_bound(attempt, body),
        output_bound=None if body is None else _output_bound(attempt, body),
    )


def _prompt_bound(attempt: AttemptRecord, body: bytes) -> int:
    """Tokens of a request for which none were reported: estimated, and no more than the model reads."""
    if attempt.usage is not None or not attempt.may_be_billed:
        return 0
    content = msgspec.json.decode(body)
    return min(estimate_tokens(NativeRequest(body, content, []), attempt.card), attempt.card.context_window)


def _output_bound(attempt: AttemptRecord, body: bytes) -> int | None:
    """``max_tokens`` of a request whose reply broke off, as the upstream read it."""
    if attempt.is_complete or not attempt.characters:
        return None
    try:
        return msgspec.json.decode(body, type=_Limit).max_tokens
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

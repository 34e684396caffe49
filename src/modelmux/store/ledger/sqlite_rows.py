"""An entry as values of columns, and back.

What is filtered, grouped or summed has a column. What describes how a request was served repeats from row to row, and
is stored once as a *context*. The rest is one value in MessagePack, an array that later versions may make longer.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.counts import Round
from modelmux.accounts.entry import AttemptEntry, Entry, Kind
from modelmux.accounts.slices import WindowKey
from modelmux.store.ledger.base import UnstorableEntry

#: A column has the position of the kind.
KINDS: Final[tuple[Kind, ...]] = ("usage", "rerate", "void", "in_doubt", "resolve")
#: Columns of sums, in the order of the tables.
COUNTS: Final = ("input", "cache_write", "cache_write_1h", "cache_read", "output", "thinking", "web_searches")
COSTS: Final = ("cost_input", "cost_cache_write", "cost_cache_write_1h", "cost_cache_read", "cost_output",
                "cost_web_search")  # fmt: skip
#: Of a row without a price.
NO_COST: Final = (None,) * len(COSTS)
#: ``at`` and the time within ``id`` differ by at most this many microseconds, unless the row is *displaced*.
SLACK: Final = 15_000_000
#: Outcomes that are not errors: a client may leave whenever it likes.
FINE: Final = frozenset({"ok", "client_gone"})
#: No number of a row is larger, in tokens or nano-USD (a million USD): the sum of nine thousand fits into 64 bits.
LARGEST: Final = 10**15
#: Microseconds; the year 9999.
_LAST: Final = 253_370_764_800_000_000

_ID_BYTES: Final = 16
#: Digits of a trace id, of a HMAC.
_HEX_LENGTHS: Final = (32, 64)
_UUID_LENGTH: Final = 36
_HEX: Final = re.compile(r"[0-9a-f]+")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ESTIMATED: Final = 1
_RECOVERED: Final = 2

#: Fields of a context that are what clients choose.
_CHOICES: Final = 3

Packed = Any  # str, bytes or None, a union that msgspec does not decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Context(Struct, frozen=True, array_like=True):
    """How a request was served. The last three are what clients may choose at will."""

    dialect: str = ""
    operation: str = ""
    route: str | None = None
    location: str | None = None
    deployment: str | None = None
    outcome: str = "ok"
    status: int = 200
    code: str | None = None
    stream: bool = False
    price: str | None = None
    requested: str | None = None
    agent: str | None = None
    app: str | None = None


class _Rest(Struct, frozen=True, array_like=True):
    """What has no column. ``attempts``: see ``_pack_attempts``. ``requested``, ``agent``, ``app``: where the context
    lacks them."""

    duration: int = 0
    first_content: int | None = None
    attempts: list[list[Any]] = []
    request_bytes: int = 0
    response_bytes: int = 0
    client_request_id: Packed = None
    upstream_id: Packed = None
    trace_id: Packed = None
    hold: int = 0
    flags: int = 0
    reason: str | None = None
    requested: str | None = None
    agent: str | None = None
    app: str | None = None
    debits: list[list[Any]] = []


#: Of an attempt: how many fields all rows have, and what they are where they are left out.
_ATTEMPT_FIELDS: Final = 3
_NO_FIELDS: Final[tuple[Any, ...]] = (None, "", None, None, None, None, False, ())
_REST_DEFAULTS: Final = msgspec.to_builtins(_Rest())
_read_context: Final = msgspec.msgpack.Decoder(Context).decode
_read_rest: Final = msgspec.msgpack.Decoder(_Rest).decode


class Row(NamedTuple):
    """An entry with its numbers in the order of the columns; costs are None if the price is unknown."""

    entry: Entry
    sums: tuple[int | None, ...]


def to_row(entry: Entry) -> Row:
    """:raises UnstorableEntry: a number is out of all bounds, or an id has not 16 bytes."""
    cost = entry.cost
    numbers = astuple(entry.counts) if cost is None else astuple(entry.counts) + astuple(cost)
    every = [*numbers, *_others(entry)]
    if (
        max(every) > LARGEST
        or min(every) < -LARGEST
        or len(entry.id) != _ID_BYTES
        or (entry.corrects is not None and len(entry.corrects) != _ID_BYTES)
        or not 0 <= entry.at < _LAST
    ):
        raise _unstorable(entry)
    return Row(entry, numbers if cost is not None else numbers + NO_COST)


def check_spent(entry: Entry) -> None:
    """What it held and spent of budgets. :raises UnstorableEntry: a number is out of all bounds."""
    if abs(entry.hold) > LARGEST:
        raise _unstorable(entry)
    for _, amount in entry.debits:
        if abs(amount) > LARGEST:
            raise _unstorable(entry)


def _unstorable(entry: Entry) -> UnstorableEntry:
    return UnstorableEntry(f"the ledger takes no row with the id {entry.id.hex()}: a number of it is out of bounds")


def _others(entry: Entry) -> list[int]:
    """The numbers without a column."""
    others = [
        entry.duration, entry.first_content or 0, entry.request_bytes, entry.response_bytes, entry.hold, entry.status,
    ]  # fmt: skip
    for _, amount in entry.debits:
        others.append(amount)
    for attempt in entry.attempts:
        if attempt.counts is not None and attempt.counts is not entry.counts:
            others += astuple(attempt.counts)
        for one in attempt.rounds:
            others += astuple(one.counts)
    return others


def is_failed(entry: Entry) -> bool:
    """Whether it counts as an error."""
    return entry.corrects is None and entry.outcome not in FINE


def is_displaced(entry: Entry) -> bool:
    return abs(entry.at - id_time(entry.id)) > SLACK


#: The fields of a context, in their order.
context_fields: Final = attrgetter(*Context.__struct_fields__)


def context_bytes(fields: tuple[Any, ...], *, with_choices: bool) -> bytes:
    """:param fields: what ``context_fields`` returns."""
    values = [clean(value) if isinstance(value, str) else value for value in fields]
    return _encode(values if with_choices else values[:-_CHOICES])


def rest_of(entry: Entry, *, with_choices: bool) -> bytes:
    """:param with_choices: has what the client chose, which its context lacks then."""
    values = [
        entry.duration,
        entry.first_content,
        _pack_attempts(entry),
        entry.request_bytes,
        entry.response_bytes,
        pack(entry.client_request_id),
        pack(entry.upstream_id),
        pack(entry.trace_id),
        entry.hold,
        entry.estimated * _ESTIMATED | entry.recovered * _RECOVERED,
        clean(entry.reason),
    ]
    values += [clean(entry.requested), clean(entry.agent), clean(entry.app)] if with_choices else [None, None, None]
    values.append([[*window, amount] for window, amount in entry.debits])
    while values and values[-1] == _REST_DEFAULTS[len(values) - 1]:
        del values[-1]
    return _encode(values)


#: What ``to_entry`` reads: of ``ledger AS l``, its series ``s``, its key ``k`` and its context ``c``.
ENTRY_COLUMNS: Final = (
    "l.id, l.at, l.kind, l.corrects, k.name, s.person, s.team, s.model, coalesce(l.tags, s.tags), l.end_user, c.data, "
    "l.rest, " + ", ".join(f"l.{name}" for name in (*COUNTS, *COSTS))
)
_SERIES: Final = "CROSS JOIN ledger_series AS s ON s.number = l.series CROSS JOIN ledger_key AS k ON k.number = l.key"
_CONTEXT: Final = "CROSS JOIN ledger_context AS c ON c.number = l.context"
ENTRY_JOINS: Final = f"{_SERIES} {_CONTEXT}"
#: Where the outcome decides: contexts are far fewer than series, so that it takes less to look into them.
ENTRY_JOINS_BY_OUTCOME: Final = f"{_CONTEXT} {_SERIES}"


def to_entry(row: tuple[Any, ...]) -> Entry:
    """:param row: the values of ``ENTRY_COLUMNS``."""
    id, at, kind, corrects, key, person, team, model, tags, end_user, context_data, rest_data, *sums = row
    context, rest = _read_context(context_data), _read_rest(rest_data)
    counts = counts_from(sums)
    costs = sums[len(COUNTS) :]
    return Entry(
        id=id,
        at=at,
        kind=KINDS[kind],
        corrects=corrects,
        reason=rest.reason,
        key=key,
        person=person or None,
        team=team,
        end_user=unpack(end_user),
        tags=read_tags(tags),
        dialect=context.dialect,
        operation=context.operation,
        requested=rest.requested if context.requested is None else context.requested,
        route=context.route,
        model=model or None,
        location=context.location,
        deployment=context.deployment,
        attempts=_unpack_attempts(rest.attempts, context, model or None, counts),
        outcome=context.outcome,
        status=context.status,
        code=context.code,
        stream=context.stream,
        counts=counts,
        cost=None if costs[0] is None else cost_from(costs),
        price=context.price,
        hold=rest.hold,
        estimated=bool(rest.flags & _ESTIMATED),
        recovered=bool(rest.flags & _RECOVERED),
        duration=rest.duration,
        first_content=rest.first_content,
        request_bytes=rest.request_bytes,
        response_bytes=rest.response_bytes,
        client_request_id=unpack(rest.client_request_id),
        upstream_id=unpack(rest.upstream_id),
        trace_id=unpack(rest.trace_id),
        agent=rest.agent if context.agent is None else context.agent,
        app=rest.app if context.app is None else context.app,
        debits=tuple((WindowKey(*key), amount) for *key, amount in rest.debits),
    )


def counts_from(values: Sequence[int]) -> TokenCounts:
    """:param values: of ``COUNTS``; more are ignored."""
    return TokenCounts(
        input=values[0], cache_write=values[1], cache_write_1h=values[2], cache_read=values[3], output=values[4],
        thinking=values[5], web_searches=values[6],
    )  # fmt: skip


def cost_from(values: Sequence[int]) -> Cost:
    """:param values: of ``COSTS``."""
    return Cost(
        input=values[0], cache_write=values[1], cache_write_1h=values[2], cache_read=values[3], output=values[4],
        web_search=values[5],
    )  # fmt: skip


def id_time(id: bytes) -> int:
    """The time within a UUID version 7, in microseconds: exact to the millisecond."""
    return int.from_bytes(id[:6]) * 1000


def first_id(at: int) -> bytes:
    """The smallest id of a time in microseconds, and of one out of all bounds the nearest."""
    milliseconds = min(max(at // 1000, 0), (1 << 48) - 1)
    return milliseconds.to_bytes(6) + bytes(10)


def clean(text: str | None) -> str | None:
    """A text as SQLite can store it: a client's may have surrogates, which are not text."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def pack(text: str | None) -> Packed:
    """A text; a usual id in hexadecimal digits becomes half as many bytes."""
    if text is None:
        return None
    size = len(text)
    if size in _HEX_LENGTHS and _HEX.fullmatch(text):
        return b"h" + bytes.fromhex(text)
    if size == _UUID_LENGTH and _UUID.fullmatch(text):
        return b"u" + bytes.fromhex(text.replace("-", ""))
    return clean(text)


def unpack(packed: Packed) -> str | None:
    if isinstance(packed, bytes):
        return packed[1:].hex() if packed[:1] == b"h" else str(uuid.UUID(bytes=packed[1:]))
    return None if packed is None else str(packed)


@lru_cache(4096)
def tags_text(tags: tuple[tuple[str, str], ...]) -> str:
    """JSON; empty for none. A pair is found in it by its own JSON."""
    if not tags:
        return ""
    return msgspec.json.encode([(clean(name), clean(value)) for name, value in tags]).decode()


@lru_cache(4096)
def read_tags(text: str) -> tuple[tuple[str, str], ...]:
    return msgspec.json.decode(text, type=tuple[tuple[str, str], ...]) if text else ()


def _pack_attempts(entry: Entry) -> list[list[Any]]:
    """The fields of each in their order, without those at the end that have no value; counts as an array. True is what
    the entry has."""
    packed: list[list[Any]] = []
    for attempt in entry.attempts:
        counts: Any = attempt.counts
        if counts is not None:
            counts = True if counts == entry.counts else astuple(counts)
        fields = [
            None if attempt.deployment == (entry.deployment or "") else clean(attempt.deployment),
            clean(attempt.result) or "",
            counts,
            _same(attempt.model, entry.model),
            _same(attempt.location, entry.location),
            _same(attempt.price, entry.price),
            attempt.fast,
            [[astuple(one.counts), clean(one.model)] for one in attempt.rounds],
        ]
        while len(fields) > _ATTEMPT_FIELDS and fields[-1] in (None, False, []):
            del fields[-1]
        packed.append(fields)
    return packed


def _same(text: str | None, of_entry: str | None) -> str | bool | None:
    return True if text is not None and text == of_entry else clean(text)


def _unpack_attempts(
    packed: list[list[Any]], context: Context, model: str | None, counts: TokenCounts
) -> tuple[AttemptEntry, ...]:
    attempts = []
    for fields in packed:
        deployment, result, tokens, its_model, location, price, fast, rounds = [*fields, *_NO_FIELDS[len(fields) :]]
        attempts.append(
            AttemptEntry(
                (context.deployment or "") if deployment is None else deployment,
                result,
                None if tokens is None else counts if tokens is True else counts_from(tokens),
                model=model if its_model is True else its_model,
                location=context.location if location is True else location,
                price=context.price if price is True else price,
                fast=bool(fast),
                rounds=tuple(Round(counts_from(numbers), of) for numbers, of in rounds),
            )
        )
    return tuple(attempts)

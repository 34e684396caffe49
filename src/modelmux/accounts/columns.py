"""Columns of exported tables: a name, what the values are, and how one is taken from a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from operator import attrgetter
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import asdict

from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.periods import format_instant
from modelmux.accounts.uuid7 import format_id
from modelmux.catalog.prices import usd

#: What values are, each or None: ``text`` a str; ``integer`` an int; ``boolean`` a bool; ``instant`` microseconds in
#: UTC; ``money`` nano-USD; ``number`` a decimal as text; ``json`` a dict or list.
Kind = Literal["text", "integer", "boolean", "instant", "money", "number", "json"]


class Column(Struct, frozen=True):
    """:param value: of a row, one of ``kind``."""

    name: str
    kind: Kind
    value: Callable[[Any], Any]


def cells(columns: Sequence[Column], row: object) -> list[Any]:
    """The values of one row, in the order of the columns."""
    return [column.value(row) for column in columns]


def json_row(columns: Sequence[Column], row: object) -> dict[str, Any]:
    """One row as JSON has it, with every column: amounts are decimals in strings, instants RFC 3339 in UTC."""
    return {
        column.name: value
        if (value := column.value(row)) is None or column.kind in _SAME
        else JSON_VALUES[column.kind](value)
        for column in columns
    }


def instant(at: int) -> str:
    """RFC 3339 in UTC, with microseconds where there are any."""
    return format_instant(at, UTC)


def _same(value: Any) -> Any:
    return value


#: What a value of a kind is in JSON, if it is not null.
JSON_VALUES: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    "text": _same, "integer": _same, "boolean": _same, "json": _same, "number": str, "instant": instant, "money": usd,
}  # fmt: skip
#: Kinds whose values JSON has as they are: those of most columns.
_SAME: Final = frozenset(kind for kind, convert in JSON_VALUES.items() if convert is _same)


def _id(id: bytes | None) -> str | None:
    return None if id is None else format_id(id)


def _attempts(entry: Entry) -> list[dict[str, Any]]:
    return [
        {
            "deployment": one.deployment, "model": one.model, "location": one.location, "result": one.result,
            "price": one.price, "fast": one.fast, "tokens": None if one.counts is None else asdict(one.counts),
            "rounds": [{"model": its.model or one.model, "tokens": asdict(its.counts)} for its in one.rounds],
        }
        for one in entry.attempts
    ]  # fmt: skip


def _debits(entry: Entry) -> list[dict[str, Any]]:
    return [{**window._asdict(), "amount": amount} for window, amount in entry.debits]


def _text(name: str, field: str = "") -> Column:
    get = attrgetter(field or name)
    return Column(name, "text", lambda entry: get(entry) or None)


def _integer(name: str, field: str = "") -> Column:
    return Column(name, "integer", attrgetter(field or name))


def _boolean(name: str) -> Column:
    return Column(name, "boolean", attrgetter(name))


def _tokens(name: str, field: str) -> Column:
    return Column(name, "integer", attrgetter(f"counts.{field}"))


def _cost(component: str) -> Column:
    return Column(f"cost_{component}_usd", "money", lambda entry: _component(entry.cost, component))


def _component(cost: Cost | None, component: str) -> int | None:
    return None if cost is None else int(getattr(cost, component))


#: A row of the ledger, all of it.
LEDGER: Final = (
    Column("id", "text", lambda entry: _id(entry.id)),
    Column("at", "instant", attrgetter("at")),
    _text("kind"),
    Column("corrects", "text", lambda entry: _id(entry.corrects)),
    _text("reason"),
    _text("key"),
    _text("person"),
    _text("team"),
    _text("end_user"),
    Column("tags", "json", lambda entry: dict(entry.tags) or None),
    _text("dialect"),
    _text("operation"),
    _text("requested_model", "requested"),
    _text("route"),
    _text("model"),
    _text("location"),
    _text("deployment"),
    _text("outcome"),
    _integer("status"),
    _text("code"),
    _boolean("stream"),
    _tokens("input_tokens", "input"),
    _tokens("cache_write_tokens", "cache_write"),
    _tokens("cache_write_1h_tokens", "cache_write_1h"),
    _tokens("cache_read_tokens", "cache_read"),
    _tokens("output_tokens", "output"),
    _tokens("thinking_tokens", "thinking"),
    _tokens("web_searches", "web_searches"),
    Column("cost_usd", "money", lambda entry: _component(entry.cost, "total")),
    _cost("input"),
    _cost("cache_write"),
    _cost("cache_write_1h"),
    _cost("cache_read"),
    _cost("output"),
    _cost("web_search"),
    _text("price"),
    Column("hold_usd", "money", attrgetter("hold")),
    Column("debits", "json", lambda entry: _debits(entry) or None),
    _boolean("estimated"),
    _boolean("recovered"),
    _integer("duration_us", "duration"),
    _integer("first_content_us", "first_content"),
    _integer("request_bytes"),
    _integer("response_bytes"),
    _text("client_request_id"),
    _text("upstream_id"),
    _text("trace_id"),
    _text("agent"),
    _text("app"),
    Column("attempts", "json", lambda entry: _attempts(entry) or None),
)  # fmt: skip

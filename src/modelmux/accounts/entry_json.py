"""Rows of the ledger from the JSON that exports and the admin API have: what ``columns.LEDGER`` says, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.counts import Round
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.periods import parse_instant
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.uuid7 import parse_id


def entry_of(row: Mapping[str, Any]) -> Entry:
    """:raises ValueError, LookupError, TypeError: it is not such a row."""
    return Entry(
        id=parse_id(row["id"]), at=parse_instant(row["at"]), kind=row["kind"],
        corrects=None if row["corrects"] is None else parse_id(row["corrects"]), reason=row["reason"],
        key=row["key"] or "", person=row["person"], team=row["team"] or "", end_user=row["end_user"],
        tags=tuple(sorted((row["tags"] or {}).items())), dialect=row["dialect"] or "",
        operation=row["operation"] or "", requested=row["requested_model"], route=row["route"], model=row["model"],
        location=row["location"], deployment=row["deployment"],
        attempts=tuple(_attempt(one) for one in row["attempts"] or ()), outcome=row["outcome"] or "",
        status=row["status"], code=row["code"], stream=row["stream"], counts=_counts(row), cost=_cost(row),
        price=row["price"], hold=_nano(row["hold_usd"]),
        debits=tuple((_window(one), one["amount"]) for one in row["debits"] or ()), estimated=row["estimated"],
        recovered=row["recovered"], duration=row["duration_us"], first_content=row["first_content_us"],
        request_bytes=row["request_bytes"], response_bytes=row["response_bytes"],
        client_request_id=row["client_request_id"], upstream_id=row["upstream_id"], trace_id=row["trace_id"],
        agent=row["agent"], app=row["app"],
    )  # fmt: skip


def _counts(row: Mapping[str, Any]) -> TokenCounts:
    counts = {name: row[name if name == "web_searches" else f"{name}_tokens"] for name in TokenCounts.__struct_fields__}
    return TokenCounts(**counts)


def _cost(row: Mapping[str, Any]) -> Cost | None:
    if row["cost_usd"] is None:
        return None
    return Cost(**{name: _nano(row[f"cost_{name}_usd"]) for name in Cost.__struct_fields__})


def _nano(usd: str) -> int:
    return parse_amount("amount", usd, "usd")


def _attempt(one: Mapping[str, Any]) -> AttemptEntry:
    return AttemptEntry(
        one["deployment"], one["result"], None if one["tokens"] is None else _tokens(one["tokens"]),
        model=one["model"], location=one["location"], price=one["price"], fast=one["fast"],
        rounds=tuple(Round(_tokens(its["tokens"]), its["model"]) for its in one["rounds"]),
    )  # fmt: skip


def _tokens(counts: Mapping[str, Any]) -> TokenCounts:
    return msgspec.convert(counts, TokenCounts)


def _window(one: Mapping[str, Any]) -> WindowKey:
    return WindowKey(one["budget"], one["subject"], one["start"])

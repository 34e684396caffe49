"""Rows of the ledger as clients of the admin API see them: amounts are exact decimals, instants RFC 3339 in UTC."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from modelmux.accounts.amounts import format_amount
from modelmux.accounts.cost import TokenCounts
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import AttemptEntry, Entry, Kind
from modelmux.accounts.uuid7 import format_id
from modelmux.accounts.views import time_text
from modelmux.catalog.prices import usd

_MICRO = 1_000_000


class Money(Struct, frozen=True, kw_only=True):
    """:param amount: a decimal; null if the price is unknown, which is not the same as nothing."""

    amount: str | None
    currency: str = "USD"


class AttemptView(Struct, frozen=True, kw_only=True):
    """A call to an upstream. :param tokens: null if it reported none."""

    deployment: str
    result: str
    model: str | None
    location: str | None
    price: str | None
    fast: bool
    tokens: dict[str, int] | None


class DebitView(Struct, frozen=True, kw_only=True):
    """What a row has spent of a budget. :param amount: a decimal in the unit of the budget, where that is known."""

    budget: str
    name: str | None
    subject: str | None
    amount: str


class RequestView(Struct, frozen=True, kw_only=True):
    """A request, or a row that corrects one.

    :param kind: ``usage`` and ``in_doubt`` are requests, all others correct the row that ``corrects`` names.
    :param team: id of the nearest team at the time; ``team_path`` has those above it, too.
    :param key_name, team_name, person_email: of today; null for keys that are not in the directory.
    :param cost: of the row alone.
    :param in_doubt: the process that ran it was killed: it is charged what it may have cost.
    :param estimated: the upstream did not report all tokens.
    :param seconds, first_content_seconds: since the request arrived.
    """

    id: str
    at: str | None
    kind: Kind
    corrects: str | None
    reason: str | None
    key: str
    key_name: str | None
    team: str | None
    team_name: str | None
    team_path: list[str]
    person: str | None
    person_email: str | None
    end_user: str | None
    tags: dict[str, str]
    dialect: str
    operation: str
    requested_model: str | None
    route: str | None
    model: str | None
    location: str | None
    deployment: str | None
    attempts: list[AttemptView]
    outcome: str
    status: int
    code: str | None
    stream: bool
    tokens: dict[str, int]
    web_searches: int
    cost: Money
    cost_components: dict[str, str] | None
    price: str | None
    budgets: list[DebitView]
    in_doubt: bool
    estimated: bool
    recovered: bool
    seconds: float
    first_content_seconds: float | None
    request_bytes: int
    response_bytes: int
    client_request_id: str | None
    upstream_id: str | None
    trace_id: str | None
    agent: str | None
    app: str | None


def request_view(directory: Directory, entry: Entry) -> RequestView:
    """:param directory: has the names."""
    path = entry.team.split("/") if entry.team else []
    key = directory.keys.get(entry.key)
    team = directory.teams.get(path[-1]) if path else None
    person = directory.people.get(entry.person or "")
    cost = entry.cost
    return RequestView(
        id=format_id(entry.id), at=time_text(entry.at), kind=entry.kind,
        corrects=None if entry.corrects is None else format_id(entry.corrects), reason=entry.reason,
        key=entry.key, key_name=None if key is None else key.name,
        team=path[-1] if path else None, team_name=None if team is None else team.name, team_path=path,
        person=entry.person, person_email=None if person is None else person.email,
        end_user=entry.end_user, tags=dict(entry.tags), dialect=entry.dialect, operation=entry.operation,
        requested_model=entry.requested, route=entry.route, model=entry.model, location=entry.location,
        deployment=entry.deployment, attempts=[_attempt(one) for one in entry.attempts],
        outcome=entry.outcome, status=entry.status, code=entry.code, stream=entry.stream,
        tokens=_tokens(entry.counts), web_searches=entry.counts.web_searches,
        cost=Money(amount=None if cost is None else usd(cost.total)),
        cost_components=None if cost is None else {name: usd(getattr(cost, name)) for name in cost.__struct_fields__},
        price=entry.price, budgets=_debits(directory, entry), in_doubt=entry.kind == "in_doubt",
        estimated=entry.estimated, recovered=entry.recovered, seconds=entry.duration / _MICRO,
        first_content_seconds=None if entry.first_content is None else entry.first_content / _MICRO,
        request_bytes=entry.request_bytes, response_bytes=entry.response_bytes,
        client_request_id=entry.client_request_id, upstream_id=entry.upstream_id, trace_id=entry.trace_id,
        agent=entry.agent, app=entry.app,
    )  # fmt: skip


def _tokens(counts: TokenCounts) -> dict[str, int]:
    fields: dict[str, Any] = asdict(counts)
    return {name: value for name, value in fields.items() if name != "web_searches"}


def _attempt(one: AttemptEntry) -> AttemptView:
    return AttemptView(
        deployment=one.deployment, result=one.result, model=one.model, location=one.location, price=one.price,
        fast=one.fast, tokens=None if one.counts is None else _tokens(one.counts),
    )  # fmt: skip


def _debits(directory: Directory, entry: Entry) -> list[DebitView]:
    views = []
    for window, amount in entry.debits:
        budget = directory.budgets.get(window.budget)
        views.append(
            DebitView(
                budget=window.budget,
                name=None if budget is None else budget.name,
                subject=window.subject or None,
                amount=str(amount) if budget is None else format_amount(amount, budget.unit),
            )
        )
    return views

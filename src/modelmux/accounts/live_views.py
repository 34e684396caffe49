"""Requests that run as clients of the admin API see them: amounts are exact decimals, names those of today."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from modelmux.accounts.directory import Directory
from modelmux.accounts.live_requests import LiveRequest, LiveState
from modelmux.accounts.request_views import Money
from modelmux.accounts.uuid7 import format_id
from modelmux.accounts.views import time_text
from modelmux.catalog.prices import usd

_MICRO = 1_000_000


class LiveView(Struct, frozen=True, kw_only=True):
    """A request that runs.

    :param client_request_id: ``x-request-id``, in the log too.
    :param request: id of the row of ``/requests`` that it will have; null before its first call.
    :param team: id of the nearest team; ``team_path`` has those above it, too.
    :param model: of the last attempt, or of the route before the first.
    :param attempts: calls to upstreams so far; ``deployment`` and ``location`` are of the last one.
    :param output_tokens: so far; null if nothing came. :param estimated: they are counted by characters.
    :param held: that budgets hold for it; null if none does.
    :param seconds, first_content_seconds: since the request arrived.
    """

    id: str
    client_request_id: str
    request: str | None
    started_at: str | None
    seconds: float
    state: LiveState
    key: str
    key_name: str | None
    team: str | None
    team_name: str | None
    team_path: list[str]
    person: str | None
    person_email: str | None
    dialect: str
    operation: str
    requested_model: str | None
    route: str | None
    model: str | None
    location: str | None
    deployment: str | None
    attempts: int
    stream: bool
    first_content_seconds: float | None
    output_tokens: int | None
    estimated: bool
    held: Money | None
    response_bytes: int


def newest_first(requests: Iterable[LiveRequest]) -> list[LiveRequest]:
    """Of several workers."""
    return sorted(requests, key=lambda one: (one.age, one.id))


def live_view(directory: Directory, one: LiveRequest, now: int) -> LiveView:
    """:param directory: has the names. :param now: microseconds in UTC."""
    path = one.team.split("/") if one.team else []
    key = directory.keys.get(one.key)
    team = directory.teams.get(path[-1]) if path else None
    person = directory.people.get(one.person or "")
    return LiveView(
        id=one.id, client_request_id=one.request_id, request=None if one.row is None else format_id(one.row),
        started_at=time_text(now - round(one.age * _MICRO)), seconds=round(one.age, 3), state=one.state,
        key=one.key, key_name=None if key is None else key.name,
        team=path[-1] if path else None, team_name=None if team is None else team.name, team_path=path,
        person=one.person, person_email=None if person is None else person.email,
        dialect=one.dialect, operation=one.operation, requested_model=one.requested_model, route=one.route,
        model=one.model, location=one.location, deployment=one.deployment, attempts=one.attempts, stream=one.stream,
        first_content_seconds=None if one.first_content is None else round(one.first_content, 3),
        output_tokens=one.output_tokens, estimated=one.estimated,
        held=None if one.held is None else Money(amount=usd(one.held)), response_bytes=one.response_bytes,
    )  # fmt: skip

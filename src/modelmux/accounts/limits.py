"""Rate limits: which of them apply to a request. Keys, teams and people have limits of their own; others select
requests as budgets do. All that apply count, always."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from modelmux.accounts.budgets import Request, Selector, of_any_request, subject_of
from modelmux.accounts.directory import Directory
from modelmux.accounts.rates import Rate, Rates
from modelmux.accounts.records import Key

Holder = Literal["key", "team", "person", "limit"]


class AppliedLimit(Struct, frozen=True):
    """The limits of one holder on a request.

    :param id: of the holder. :param name: that people know it by.
    :param subject: of a limit for each person, key or end user: whose it is; else empty.
    :param is_claim: the subject is what a client says.
    """

    holder: Holder
    id: str
    name: str
    subject: str
    rates: Rates
    is_claim: bool = False


class LimitUse(Struct, frozen=True):
    """What counts towards a limit now.

    :param limit: of this process, where it cannot see what others count.
    :param used: in the last minute; of ``concurrent``, what runs.
    """

    applied: AppliedLimit
    rate: Rate
    limit: int
    used: int


def limits_of_key(directory: Directory, key: Key) -> list[AppliedLimit]:
    """Those that may apply to requests of a key, whatever their model, route and tags are. Limits for each end user are
    left out: who that is, a request says."""
    teams = tuple(team.id for team in directory.team_path(key.team))
    return limits_of(directory, Request(key=key.id, teams=teams, person=key.person), of_any_request)


def limits_of(
    directory: Directory, request: Request, select: Callable[[Selector], Selector] = lambda selector: selector
) -> list[AppliedLimit]:
    """All that apply to a request: of its key, its person, its teams, and those that select it.

    :param select: the selector to use in place of that of a limit.
    """
    applied = []
    key = directory.keys.get(request.key)
    person = directory.people.get(request.person) if request.person is not None else None
    teams = (directory.teams[team] for team in reversed(request.teams) if team in directory.teams)
    if key is not None and key.limits is not None:
        applied.append(AppliedLimit("key", key.id, key.name, "", key.limits))
    if person is not None and person.limits is not None:
        applied.append(AppliedLimit("person", person.id, person.name or person.email, "", person.limits))
    applied += [AppliedLimit("team", team.id, team.name, "", team.limits) for team in teams if team.limits is not None]
    for limit in directory.limits.values():
        subject = subject_of(select(limit.applies_to), request) if limit.status == "active" else None
        if subject is not None:
            is_claim = limit.applies_to.each == "end_user"
            applied.append(AppliedLimit("limit", limit.id, limit.name, subject, limit.limits, is_claim))
    return applied

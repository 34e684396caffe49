"""Rate limits: which of them apply to a request. Keys, teams and people have limits of their own; others select
requests as budgets do. All that apply count, always."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from modelmux.accounts.budgets import Request, subject_of
from modelmux.accounts.directory import Directory
from modelmux.accounts.rates import Rates

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


def limits_of(directory: Directory, request: Request) -> list[AppliedLimit]:
    """All that apply to a request: of its key, its person, its teams, and those that select it."""
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
        subject = subject_of(limit.applies_to, request) if limit.status == "active" else None
        if subject is not None:
            is_claim = limit.applies_to.each == "end_user"
            applied.append(AppliedLimit("limit", limit.id, limit.name, subject, limit.limits, is_claim))
    return applied

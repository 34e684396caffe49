"""What the command line and the admin API show of records, without secrets: amounts are decimals in the unit of the
budget, instants are RFC 3339 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.amounts import format_amount
from modelmux.accounts.budget_windows import WindowState
from modelmux.accounts.budgets import Budget, Mode, OnShort, Reserve, Selector, Unit
from modelmux.accounts.directory import Directory
from modelmux.accounts.periods import format_instant
from modelmux.accounts.rates import Limit, Rates
from modelmux.accounts.records import Key, KeyStatus, Membership, Person, Secret, Status, Team, TeamRole
from modelmux.accounts.windows import Every, Weekday, WindowRule


class SecretView(Struct, frozen=True, kw_only=True):
    """A secret by its hint. :param valid_until: null for the current one."""

    hint: str
    created_at: str | None
    valid_until: str | None


class KeyView(Struct, frozen=True, kw_only=True):
    """A key. Lists that are empty allow all.

    :param team, person: ids. :param capture: bodies of its requests may be kept.
    """

    id: str
    name: str
    status: KeyStatus
    team: str | None
    person: str | None
    models: list[str]
    apis: list[str]
    addresses: list[str]
    tags: dict[str, str]
    limits: Rates
    created_at: str | None
    created_by: str
    expires_at: str | None
    revoked_at: str | None
    capture: bool = False
    managed: bool


class MemberView(Struct, frozen=True, kw_only=True):
    person: str
    role: TeamRole


class TeamView(Struct, frozen=True, kw_only=True):
    """A team. :param parent: id of the team above it."""

    id: str
    name: str
    parent: str | None
    zone: str | None
    contact: str | None
    status: Status
    members: list[MemberView]
    limits: Rates
    managed: bool


class PersonView(Struct, frozen=True, kw_only=True):
    id: str
    email: str
    name: str
    status: Status
    limits: Rates
    managed: bool


class WindowForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a budget begins anew.

    :param zone: IANA name; else that of the team or of ``accounts.zone``.
    :param starts: the day on which weeks begin. :param hour: at which days, weeks and so on begin.
    """

    every: Every
    zone: str | UnsetType | None = UNSET
    starts: Weekday | UnsetType = UNSET
    hour: int | UnsetType = UNSET


class BudgetView(Struct, frozen=True, kw_only=True):
    """A budget. :param limit: without top-ups and overrides. :param alerts: parts of the limit."""

    id: str
    name: str
    status: Status
    applies_to: Selector
    limit: str
    unit: Unit
    window: Every | WindowForm
    mode: Mode
    alerts: list[float]
    on_short: OnShort
    reserve: Reserve
    metric: bool
    managed: bool


class WindowView(Struct, frozen=True, kw_only=True):
    """What is spent of a window.

    :param limit: with top-ups and overrides.
    :param held: what requests that run, and processes for their next ones, keep of it.
    """

    subject: str | None
    start: str | None
    resets_at: str | None
    limit: str
    spent: str
    held: str


class AdjustmentView(Struct, frozen=True, kw_only=True):
    """A top-up or an override. :param until: null if it holds in the window in which it was made."""

    id: str
    budget: str
    kind: Literal["top_up", "override"]
    subject: str | None
    amount: str
    reason: str
    author: str
    created_at: str | None
    until: str | None


class LimitView(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    status: Status
    applies_to: Selector
    limits: Rates
    managed: bool


def plain(view: Struct) -> dict[str, Any]:
    """A view as JSON has it."""
    fields: dict[str, Any] = msgspec.to_builtins(view)
    return fields


def time_text(at: int | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if at is None else format_instant(at, UTC)


def key_view(key: Key) -> KeyView:
    return KeyView(
        id=key.id, name=key.name, status=key.status, team=key.team, person=key.person, models=list(key.models),
        apis=list(key.apis), addresses=list(key.addresses), tags=dict(key.tags), limits=key.limits or Rates(),
        created_at=time_text(key.created), created_by=key.created_by, expires_at=time_text(key.expires),
        revoked_at=time_text(key.revoked), capture=key.capture, managed=key.managed,
    )  # fmt: skip


def secret_views(secrets: Iterable[Secret]) -> list[SecretView]:
    return [
        SecretView(hint=one.hint, created_at=time_text(one.created), valid_until=time_text(one.valid_until))
        for one in secrets
    ]


def team_view(directory: Directory, team: Team) -> TeamView:
    return _team_view(team, directory.members_of(team.id))


def team_views(directory: Directory, teams: Sequence[Team]) -> list[TeamView]:
    """Of many teams: it looks at all members once, and not once for each."""
    members = directory.members_of_each([team.id for team in teams])
    return [_team_view(team, members[team.id]) for team in teams]


def _team_view(team: Team, memberships: Iterable[Membership]) -> TeamView:
    members = [
        MemberView(person=one.person, role=one.role)
        for one in sorted(memberships, key=lambda one: one.person)
        if one.role is not None
    ]
    return TeamView(
        id=team.id, name=team.name, parent=team.parent, zone=team.zone, contact=team.contact, status=team.status,
        members=members, limits=team.limits or Rates(), managed=team.managed,
    )  # fmt: skip


def person_view(person: Person) -> PersonView:
    return PersonView(
        id=person.id, email=person.email, name=person.name, status=person.status, limits=person.limits or Rates(),
        managed=person.managed,
    )  # fmt: skip


def window_form(rule: WindowRule) -> Every | WindowForm:
    """``month``, or more where that does not say it all."""
    if rule == WindowRule(every=rule.every):
        return rule.every
    return WindowForm(
        every=rule.every,
        zone=UNSET if rule.zone is None else rule.zone,
        starts=rule.starts if rule.every == "week" else UNSET,
        hour=rule.hour or UNSET,
    )


def budget_view(budget: Budget) -> BudgetView:
    return BudgetView(
        id=budget.id, name=budget.name, status=budget.status, applies_to=budget.applies_to,
        limit=format_amount(budget.limit, budget.unit), unit=budget.unit, window=window_form(budget.window),
        mode=budget.mode, alerts=[alert / 100 for alert in budget.alerts], on_short=budget.on_short,
        reserve=budget.reserve, metric=budget.metric, managed=budget.managed,
    )  # fmt: skip


def window_view(budget: Budget, state: WindowState) -> WindowView:
    limit, spent, held = (format_amount(amount, budget.unit) for amount in (state.limit, state.spent, state.held))
    return WindowView(
        subject=state.subject or None, start=time_text(state.window.start), resets_at=time_text(state.window.end),
        limit=limit, spent=spent, held=held,
    )  # fmt: skip


def adjustment_view(budget: Budget, one: Adjustment) -> AdjustmentView:
    return AdjustmentView(
        id=one.id, budget=one.budget, kind=one.kind, subject=one.subject or None,
        amount=format_amount(one.amount, budget.unit), reason=one.reason, author=one.author,
        created_at=time_text(one.created), until=time_text(one.until),
    )  # fmt: skip


def limit_view(limit: Limit) -> LimitView:
    return LimitView(
        id=limit.id, name=limit.name, status=limit.status, applies_to=limit.applies_to, limits=limit.limits,
        managed=limit.managed,
    )  # fmt: skip

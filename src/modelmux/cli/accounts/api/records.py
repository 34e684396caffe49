"""What the admin API shows -> records as the store has them, as far as it shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.budget_windows import WindowState
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.periods import parse_instant
from modelmux.accounts.rates import Limit, Rates
from modelmux.accounts.records import Key, Membership, Person, Secret, Team
from modelmux.accounts.views import (
    AdjustmentView,
    BudgetView,
    KeyView,
    LimitView,
    PersonView,
    SecretView,
    TeamView,
    WindowView,
)
from modelmux.accounts.windows import Window
from modelmux.admin.forms import window_rule


def key_of(shown: Any) -> Key:
    """:raises msgspec.ValidationError: it is not what this version knows; so the other functions here."""
    view = msgspec.convert(shown, KeyView)
    return Key(
        id=view.id, name=view.name, status=view.status, team=view.team, person=view.person, models=tuple(view.models),
        apis=tuple(view.apis), addresses=tuple(view.addresses),  # type: ignore[arg-type]
        tags=tuple(view.tags.items()), limits=_rates(view.limits), created=_instant(view.created_at) or 0,
        created_by=view.created_by, expires=_instant(view.expires_at), revoked=_instant(view.revoked_at),
        capture=view.capture, managed=view.managed,
    )  # fmt: skip


def secrets_of(key: str, shown: Sequence[Any]) -> list[Secret]:
    """Secrets without their digests, in whose stead there is a number."""
    views = [msgspec.convert(one, SecretView) for one in shown]
    return [
        Secret(
            digest=f"{key} {number}".encode(), key=key, hint=view.hint, created=_instant(view.created_at) or 0,
            valid_until=_instant(view.valid_until),
        )
        for number, view in enumerate(views)
    ]  # fmt: skip


def team_of(shown: Any) -> tuple[Team, list[Membership]]:
    """A team, and who is in it."""
    view = msgspec.convert(shown, TeamView)
    team = Team(
        id=view.id, name=view.name, parent=view.parent, zone=view.zone, contact=view.contact, status=view.status,
        limits=_rates(view.limits), managed=view.managed,
    )  # fmt: skip
    return team, [Membership(person=one.person, team=view.id, role=one.role) for one in view.members]


def person_of(shown: Any) -> Person:
    view = msgspec.convert(shown, PersonView)
    return Person(
        id=view.id, email=view.email, name=view.name, status=view.status, limits=_rates(view.limits),
        managed=view.managed,
    )  # fmt: skip


def budget_of(shown: Any) -> Budget:
    view = msgspec.convert(shown, BudgetView)
    return Budget(
        id=view.id, name=view.name, status=view.status, applies_to=view.applies_to, unit=view.unit,
        limit=parse_amount("limit", view.limit, view.unit), window=window_rule(view.window), mode=view.mode,
        alerts=tuple(round(alert * 100) for alert in view.alerts), on_short=view.on_short, reserve=view.reserve,
        metric=view.metric, managed=view.managed,
    )  # fmt: skip


def limit_of(shown: Any) -> Limit:
    view = msgspec.convert(shown, LimitView)
    return Limit(
        id=view.id, name=view.name, status=view.status, applies_to=view.applies_to, limits=view.limits,
        managed=view.managed,
    )  # fmt: skip


def adjustment_of(shown: Any, budget: Budget) -> Adjustment:
    view = msgspec.convert(shown, AdjustmentView)
    return Adjustment(
        id=view.id, budget=view.budget, kind=view.kind, subject=view.subject or "", reason=view.reason,
        amount=parse_amount("amount", view.amount, budget.unit), author=view.author,
        created=_instant(view.created_at) or 0, until=_instant(view.until),
    )  # fmt: skip


def window_state_of(shown: Any, budget: Budget) -> WindowState:
    view = msgspec.convert(shown, WindowView)
    limit, spent, held = (parse_amount("window", text, budget.unit) for text in (view.limit, view.spent, view.held))
    return WindowState(
        subject=view.subject or "", window=Window(_instant(view.start) or 0, _instant(view.resets_at)),
        limit=limit, spent=spent, held=held,
    )  # fmt: skip


def directory_of(
    teams: Iterable[Any], people: Iterable[Any], keys: Iterable[Any], budgets: Iterable[Any], limits: Iterable[Any]
) -> Directory:
    """What lists of the API show.

    A token may see a record and not what that refers to: then there is a record whose name is its id; a team above
    those that it sees is left out.
    """
    pairs = [team_of(one) for one in teams]
    known = {team.id: team for team, _ in pairs}
    known = {
        id: team if team.parent in known else msgspec.structs.replace(team, parent=None) for id, team in known.items()
    }
    persons = {one.id: one for one in map(person_of, people)}
    memberships = [one for _, members in pairs for one in members]
    shown = list(keys)
    records = [key_of(one) for one in shown]
    limited = [budget_of(one) for one in budgets]
    for id in (*(key.team for key in records), *(one.applies_to.team for one in limited)):
        if id is not None:
            known.setdefault(id, Team(id=id, name=id))
    for id in (*(key.person for key in records), *(one.person for one in memberships)):
        if id is not None:
            persons.setdefault(id, Person(id=id, email=id))
    # Also of a key without a hint, such as one that was imported: else a rotation has nothing to end, and no grace.
    current = [Secret(digest=one["id"].encode(), key=one["id"], hint=one.get("hint") or "") for one in shown]
    return Directory().updated(Changes(
        version=0, teams=list(known.values()), people=list(persons.values()), memberships=memberships, keys=records,
        secrets=current, budgets=limited, limits=[limit_of(one) for one in limits],
    ))  # fmt: skip


def _rates(rates: Rates) -> Rates | None:
    return None if rates == Rates() else rates


def _instant(text: str | None) -> int | None:
    return None if text is None else parse_instant(text)

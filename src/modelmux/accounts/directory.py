"""All keys, secrets, teams, people and budgets at one moment, and what a request's secret stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budgets import Budget
from modelmux.accounts.rates import Limit
from modelmux.accounts.records import MAX_DEPTH, Key, Membership, OwnPrice, Person, Secret, Team, TeamRole
from modelmux.accounts.webhooks import Webhook

K = TypeVar("K")
V = TypeVar("V")
#: Number and time of a change, in microseconds in UTC.
Stamp = tuple[int, int]
NO_STAMP: Final[Stamp] = (0, 0)


class Changes(Struct, frozen=True, kw_only=True):
    """Records that are new or differ from those of before.

    :param version: of the directory that has them.
    :param stamp: see ``Directory``.
    """

    version: int
    stamp: Stamp = NO_STAMP
    teams: Sequence[Team] = ()
    people: Sequence[Person] = ()
    memberships: Sequence[Membership] = ()
    keys: Sequence[Key] = ()
    secrets: Sequence[Secret] = ()
    budgets: Sequence[Budget] = ()
    adjustments: Sequence[Adjustment] = ()
    limits: Sequence[Limit] = ()
    prices: Sequence[OwnPrice] = ()
    webhooks: Sequence[Webhook] = ()


class Directory:
    """Immutable: ``updated`` makes another one, and requests keep the one that they began with.

    :ivar version: rises with every change.
    :ivar stamp: of the last change. It tells one from another with the same version, after a backup was put back.
    """

    __slots__ = (
        "_adjustments",
        "_budgets_of",
        "_emails",
        "_members",
        "_secrets",
        "budgets",
        "keys",
        "limits",
        "people",
        "prices",
        "stamp",
        "teams",
        "version",
        "webhooks",
    )

    def __init__(self) -> None:
        self.version = 0
        self.stamp: Stamp = NO_STAMP
        self.keys: Mapping[str, Key] = {}
        self.teams: Mapping[str, Team] = {}
        self.people: Mapping[str, Person] = {}
        self._emails: Mapping[str, Person] | None = None  # by address in lower case; made when it is asked for
        self.budgets: Mapping[str, Budget] = {}
        self._budgets_of: Mapping[str, Sequence[Budget]] = {}  # by the key, person or team of their selectors
        self.limits: Mapping[str, Limit] = {}
        self.prices: Mapping[str, OwnPrice] = {}
        self.webhooks: Mapping[str, Webhook] = {}
        self._adjustments: Mapping[str, Mapping[str, Sequence[Adjustment]]] = {}  # by budget and subject
        self._members: Mapping[tuple[str, str], Membership] = {}
        self._secrets: Mapping[bytes, Secret] = {}

    def updated(self, changes: Changes) -> Directory:
        """The directory with changes; this one stays as it is."""
        after = Directory()
        after.version, after.stamp = changes.version, changes.stamp
        after.keys = _merged(self.keys, ((key.id, key) for key in changes.keys))
        after.teams = _merged(self.teams, ((team.id, team) for team in changes.teams))
        after.people = _merged(self.people, ((person.id, person) for person in changes.people))
        after._emails = self._emails if self._emails is None else _with_emails(self, self._emails, changes.people)
        after._members = _merged(self._members, (((one.person, one.team), one) for one in changes.memberships))
        after._secrets = _merged(self._secrets, ((secret.digest, secret) for secret in changes.secrets))
        after.budgets = _merged(self.budgets, ((budget.id, budget) for budget in changes.budgets))
        after._budgets_of = self._budgets_of if after.budgets is self.budgets else _by_owner(after.budgets.values())
        after.limits = _merged(self.limits, ((limit.id, limit) for limit in changes.limits))
        after.prices = _merged(self.prices, ((price.id, price) for price in changes.prices))
        after.webhooks = _merged(self.webhooks, ((one.id, one) for one in changes.webhooks))
        after._adjustments = _with_adjustments(self._adjustments, changes.adjustments)
        return after

    def secret(self, digest: bytes) -> Secret | None:
        """The secret with this digest, valid or not."""
        return self._secrets.get(digest)

    def record(self, kind: str, like: Any) -> Struct | None:
        """The record that another one would replace.

        :param kind: that of ``like``: ``team``, ``person``, ``membership``, ``key``, ``secret``, ``budget``,
            ``adjustment``, ``limit``, ``price`` or ``webhook``.
        """
        match kind:
            case "team":
                return self.teams.get(like.id)
            case "person":
                return self.people.get(like.id)
            case "key":
                return self.keys.get(like.id)
            case "membership":
                return self._members.get((like.person, like.team))
            case "budget":
                return self.budgets.get(like.id)
            case "limit":
                return self.limits.get(like.id)
            case "price":
                return self.prices.get(like.id)
            case "webhook":
                return self.webhooks.get(like.id)
            case "adjustment":
                known = self.adjustments_of(like.budget, like.subject)
                return next((one for one in known if one.id == like.id), None)
        return self._secrets.get(like.digest)

    def person_of(self, email: str) -> Person | None:
        """Who has an address, in lower case. Only the first call of a process looks at all people."""
        if self._emails is None:
            self._emails = {one.email.lower(): one for one in self.people.values()}
        return self._emails.get(email)

    def secrets_of(self, key: str) -> list[Secret]:
        """Those of one key, the newest last. It looks at all secrets: not for requests."""
        return sorted((one for one in self._secrets.values() if one.key == key), key=lambda one: one.created)

    def all_secrets(self) -> Iterable[Secret]:
        """Those of all keys."""
        return self._secrets.values()

    def members_of(self, team: str) -> list[Membership]:
        """Those who are in a team today. It looks at all members: not for requests."""
        return self.members_of_each((team,))[team]

    def members_of_each(self, teams: Iterable[str]) -> dict[str, list[Membership]]:
        """Those who are in each of some teams today. It looks at all members once."""
        members: dict[str, list[Membership]] = {team: [] for team in teams}
        for one in self._members.values():
            if one.team in members and one.role is not None:
                members[one.team].append(one)
        return members

    def role_in(self, person: str, team: str) -> TeamRole | None:
        """The role of a person in a team itself, not in one above; None if the person is not in it."""
        membership = self._members.get((person, team))
        return None if membership is None else membership.role

    def budgets_of(self, ids: Iterable[str | None]) -> list[Budget]:
        """The budgets that may apply to a request: those for one of its key, person and teams, and those for all. Its
        cost does not depend on how many others there are.

        :param ids: of the request's key, its person and its teams, each once.
        """
        known = self._budgets_of
        return [one for id in ("", *filter(None, ids)) for one in known.get(id, ())]

    def adjustments_of(self, budget: str, subject: str | None = None) -> list[Adjustment]:
        """The top-ups and overrides of a budget, in no order: those that are over, too.

        :param subject: only those for it, and those for all.
        """
        by_subject = self._adjustments.get(budget)
        if by_subject is None:
            return []
        names = by_subject if subject is None else dict.fromkeys(("", subject))
        return [one for name in names for one in by_subject.get(name, ())]

    def team_path(self, team: str | None) -> tuple[Team, ...]:
        """From the topmost team to this one; empty for None."""
        path: list[Team] = []
        while team is not None and len(path) < MAX_DEPTH:
            ancestor = self.teams[team]
            path.append(ancestor)
            team = ancestor.parent
        return tuple(reversed(path))


def _merged(before: Mapping[K, V], changed: Iterable[tuple[K, V]]) -> Mapping[K, V]:
    new = dict(changed)
    return {**before, **new} if before and new else new or before  # at a start there is one copy, and not two


def _with_emails(before: Directory, emails: Mapping[str, Person], changed: Sequence[Person]) -> Mapping[str, Person]:
    if not changed:
        return emails
    after = dict(emails)
    for person in changed:  # all of them first: two may take the addresses of each other
        known = before.people.get(person.id)
        if known is not None:
            after.pop(known.email.lower(), None)
    return after | {person.email.lower(): person for person in changed}


def _by_owner(budgets: Iterable[Budget]) -> Mapping[str, Sequence[Budget]]:
    """Under the id that the fewest requests have; under an empty one if their selectors name none."""
    by_owner: dict[str, list[Budget]] = {}
    for budget in budgets:
        selector = budget.applies_to
        by_owner.setdefault(selector.key or selector.person or selector.team or "", []).append(budget)
    return by_owner


def _with_adjustments(
    before: Mapping[str, Mapping[str, Sequence[Adjustment]]], changed: Sequence[Adjustment]
) -> Mapping[str, Mapping[str, Sequence[Adjustment]]]:
    if not changed:
        return before
    new: dict[str, dict[str, dict[str, Adjustment]]] = {}
    for one in changed:
        new.setdefault(one.budget, {}).setdefault(one.subject, {})[one.id] = one
    after = dict(before)
    for budget, by_subject in new.items():
        known = before.get(budget, {})
        after[budget] = {
            **known,
            **{
                subject: tuple({**{one.id: one for one in known.get(subject, ())}, **records}.values())
                for subject, records in by_subject.items()
            },
        }
    return after

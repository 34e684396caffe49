"""Roles: what each may do with which kind of record, and which records it sees and changes. Whatever is not listed here
is denied.

``owner``, ``admin`` see all; ``team_admin`` its teams and those below, ``member`` what is the person's own; ``viewer``
numbers without names of people, ``auditor`` the audit log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeVar, get_args

from msgspec import Struct

from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.rates import Limit
from modelmux.accounts.records import Key, Person, Team
from modelmux.accounts.webhooks import Webhook

Role = Literal["owner", "admin", "team_admin", "member", "viewer", "auditor"]
#: ``keys.use``: rotate and revoke. ``members.write``: who is in a team. ``requests.write``: corrections of the ledger,
#: and the end of requests that run. ``accounts.write``: imports of many records at once. ``self.read``: what the
#: principal is. ``settings.read``: the configuration, without secrets. ``traces.read``: the records of all requests.
Permission = Literal[
    "self.read", "keys.read", "keys.use", "keys.write", "teams.read", "teams.write", "members.write", "people.read",
    "people.write", "budgets.read", "budgets.write", "limits.read", "limits.write", "prices.read", "prices.write",
    "usage.read", "requests.read", "requests.write", "bodies.read", "status.read", "audit.read", "accounts.write",
    "webhooks.read", "webhooks.write", "settings.read", "traces.read", "tokens.write", "owners.write",
]  # fmt: skip
ROLES: Final[tuple[Role, ...]] = get_args(Role)
_ALL: Final[frozenset[Permission]] = frozenset(get_args(Permission))
#: Captured bodies (``bodies.read``) are for those who see all, and for a member, who sees its own requests.
PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    "owner": _ALL,
    "admin": _ALL - {"owners.write"},
    "team_admin": frozenset({
        "self.read", "keys.read", "keys.use", "keys.write", "teams.read", "teams.write", "members.write", "people.read",
        "budgets.read", "budgets.write", "limits.read", "limits.write", "prices.read", "usage.read", "requests.read",
    }),
    "member": frozenset({
        "self.read", "keys.read", "keys.use", "budgets.read", "limits.read", "prices.read", "usage.read",
        "requests.read", "bodies.read",
    }),
    "viewer": frozenset({
        "self.read", "budgets.read", "limits.read", "prices.read", "usage.read", "status.read",
    }),
    "auditor": frozenset({"self.read", "audit.read"}),
}  # fmt: skip

Record = Key | Team | Person | Budget | Limit | Webhook
R = TypeVar("R", Key, Team, Person, Budget, Limit, Webhook)


class Principal(Struct, frozen=True, kw_only=True):
    """Who calls the admin API.

    :param name: for the audit log.
    :param teams: ids; of a ``team_admin``, those that it administers, with all below them.
    :param person: id; of a ``member``, whose keys and usage it sees.
    :param key: id; of a ``member`` that is the holder of one key.
    """

    name: str
    role: Role
    teams: tuple[str, ...] = ()
    person: str | None = None
    key: str | None = None

    @property
    def sees_all(self) -> bool:
        """Whether it sees and changes the records of all."""
        return self.role in ("owner", "admin")

    @property
    def sees_subjects(self) -> bool:
        """Whether it is shown whose the windows of a budget for each are: an end user may be stored as an address."""
        return self.role != "viewer"


def may(principal: Principal, permission: Permission) -> bool:
    """Whether the role has a permission at all; on which records, ``Scope`` says."""
    return permission in PERMISSIONS.get(principal.role, frozenset())


def may_give(principal: Principal, role: Role) -> bool:
    """Whether it may decide who has a role: one that may do nothing that it may not do itself."""
    return PERMISSIONS[role] <= PERMISSIONS.get(principal.role, frozenset())


class Scope:
    """The records that a principal sees and changes, at one moment.

    :ivar is_all: all of them.
    :ivar teams: ids of the teams that it administers, with those below.
    """

    def __init__(self, directory: Directory, principal: Principal) -> None:
        self._directory = directory
        self._principal = principal
        self.is_all = principal.sees_all
        is_team = principal.role == "team_admin"
        self._own = frozenset(team for team in principal.teams if is_team and team in directory.teams)
        self.teams = frozenset(
            team for team in (directory.teams if self._own else ()) if self._own.intersection(_path(directory, team))
        )
        self._people = frozenset(
            person.id for person in directory.people.values() if self.teams and self._is_member(person)
        )  # fmt: skip

    def sees(self, record: Record) -> bool:
        if self.is_all:
            return True
        match record:
            case Key():
                return self._sees_key(record)
            case Team():
                return record.id in self.teams
            case Person():
                return record.id in self._people
            case Webhook():
                return False
        return self._sees_selected(record)

    def changes(self, record: Record) -> bool:
        """Whether it may create such a record, or write this one as it is before and after a change."""
        if self.is_all:
            return True
        match record:
            case Key():
                return self._sees_key(record)  # a member rotates and revokes its own
            case Team():
                return self._changes_team(record)
            case Person() | Webhook():
                return False
        return self._changes_selected(record)

    def seen(self, records: Iterable[R]) -> list[R]:
        """Those that it sees: the one place that decides what lists show."""
        return list(records) if self.is_all else [record for record in records if self.sees(record)]

    def _is_member(self, person: Person) -> bool:
        teams = (team for team in self.teams if self._directory.role_in(person.id, team) is not None)
        return next(teams, None) is not None

    def _sees_key(self, key: Key) -> bool:
        if self._principal.role == "member":
            return key.id == self._principal.key or (key.person is not None and key.person == self._principal.person)
        return key.team in self.teams

    def _sees_selected(self, record: Budget | Limit) -> bool:
        """Those that are about what it sees; a viewer sees all numbers."""
        chosen = record.applies_to
        if self._principal.role == "viewer":
            return True
        if self._principal.role == "member":
            return self._is_own_key(chosen) or (chosen.person is not None and chosen.person == self._principal.person)
        return self._is_own_key(chosen) or chosen.team in self.teams

    def _is_own_key(self, chosen: Selector) -> bool:
        key = self._directory.keys.get(chosen.key or "")
        return key is not None and self._sees_key(key)

    def _changes_team(self, team: Team) -> bool:
        """Those below its own: the limits of its own are set above."""
        return team.id not in self._own and team.parent in self.teams

    def _changes_selected(self, record: Budget | Limit) -> bool:
        """Those of keys in its teams and of the teams below them: not those that limit itself."""
        chosen = record.applies_to
        if self._principal.role != "team_admin" or chosen.person is not None:
            return False
        if chosen.team is not None and (chosen.team not in self.teams or chosen.team in self._own):
            return False
        return self._is_own_key(chosen) if chosen.key is not None else chosen.team is not None


def _path(directory: Directory, team: str) -> list[str]:
    return [one.id for one in directory.team_path(team)]

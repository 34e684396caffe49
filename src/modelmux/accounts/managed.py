"""Teams, people, keys, budgets and limits as the configuration names them -> what to write so that the directory has
them.

They are found by name, or by e-mail address. One that was made by hand is taken over. One that the configuration does
not name any more is free to be edited; a key, a budget and a limit are disabled, too, until they are back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.budget_edits import save_budget
from modelmux.accounts.budgets import BUDGET, Budget, Selector
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.edits import Edit, check_parent, save_key, save_person, save_team
from modelmux.accounts.fields import FieldError
from modelmux.accounts.find import find_key, find_person, find_team
from modelmux.accounts.limit_edits import save_limit
from modelmux.accounts.rates import LIMIT, Limit
from modelmux.accounts.records import KEY, PERSON, TEAM, Key, Person, Secret, Team

R = TypeVar("R", Team, Person, Key, Budget, Limit)


class Wanted(Struct, frozen=True, kw_only=True):
    """What the configuration names. Ids are empty; ``parent``, ``team`` and ``person`` are names, in selectors as well.

    :param keys: each with its secret, whose ``key`` is empty.
    """

    teams: Sequence[Team] = ()
    people: Sequence[Person] = ()
    keys: Sequence[tuple[Key, Secret]] = ()
    budgets: Sequence[Budget] = ()
    limits: Sequence[Limit] = ()


class WantedError(FieldError):
    """A ``FieldError`` in one entry of the configuration.

    :param path: ``teams[0]`` and so on.
    """

    def __init__(self, path: str, error: FieldError) -> None:
        super().__init__(f"{path}.{error.field}", error.problem, error.expected)


def plan(directory: Directory, wanted: Wanted, new_id: Callable[[str], str], now: int) -> Edit:
    """The edit; empty if all is as it is wanted.

    :param now: microseconds in UTC.
    :raises WantedError: an entry that cannot be used.
    """
    work = _Work(directory, new_id, now, frozenset(_lower(key.name) for key, _ in wanted.keys))
    for step in (work.team, work.parent, work.check_parent):
        for index, team in enumerate(wanted.teams):
            work.apply(f"teams[{index}]", lambda step=step, team=team: step(team))  # type: ignore[misc]
    for index, person in enumerate(wanted.people):
        work.apply(f"people[{index}]", lambda person=person: work.person(person))  # type: ignore[misc]
    for index, (key, secret) in enumerate(wanted.keys):
        work.apply(f"keys[{index}]", lambda key=key, secret=secret: work.key(key, secret))  # type: ignore[misc]
    for index, (key, secret) in enumerate(wanted.keys):
        work.apply(f"keys[{index}]", lambda key=key, secret=secret: work.secret(key.name, secret))  # type: ignore[misc]
    for index, budget in enumerate(wanted.budgets):
        work.apply(f"budgets[{index}]", lambda budget=budget: work.budget(budget))  # type: ignore[misc]
    for index, limit in enumerate(wanted.limits):
        work.apply(f"limits[{index}]", lambda limit=limit: work.limit(limit))  # type: ignore[misc]
    work.let_go()
    return work.edit()


class _Work:
    """The directory with the changes so far. :param key_names: all that the configuration has, in lower case."""

    def __init__(self, directory: Directory, new_id: Callable[[str], str], now: int, key_names: frozenset[str]) -> None:
        self._before = directory
        self._now_has = directory
        self._new_id = new_id
        self._now = now
        self._key_names = key_names
        self._named: set[str] = set()
        self._digests: dict[bytes, str] = {}

    def apply(self, path: str, edit: Callable[[], Edit | None]) -> None:
        """:raises WantedError:"""
        try:
            self._add(edit())
        except FieldError as error:
            raise WantedError(path, error) from None

    def team(self, wanted: Team) -> Edit | None:
        """All of a team but its parent, which may be a team that comes later."""
        directory = self._now_has
        known = next((one for one in directory.teams.values() if one.name.lower() == _lower(wanted.name)), None)
        parent = known.parent if known else None
        record = replace(wanted, id=self._id(known, TEAM), parent=parent, managed=True)
        return None if known == record else save_team(directory, record, by_config=True)

    def parent(self, wanted: Team) -> Edit | None:
        directory = self._now_has
        known = find_team(directory, wanted.name)
        record = replace(known, parent=find_team(directory, wanted.parent, "parent").id if wanted.parent else None)
        return None if known == record else save_team(directory, record, by_config=True)

    def check_parent(self, wanted: Team) -> None:
        """Of the teams as they will be: depth and circles."""
        check_parent(self._now_has, find_team(self._now_has, wanted.name))

    def person(self, wanted: Person) -> Edit | None:
        directory, email = self._now_has, wanted.email.strip().lower()
        known = next((one for one in directory.people.values() if one.email == email), None)
        record = replace(wanted, id=self._id(known, PERSON), email=email, managed=True)
        return None if known == record else save_person(directory, record, by_config=True)

    def key(self, wanted: Key, secret: Secret) -> Edit | None:
        """All of a key but its secret."""
        directory = self._now_has
        known = self._known_key(wanted.name, secret)
        record = replace(
            wanted, id=self._id(known, KEY), managed=True,
            team=find_team(directory, wanted.team).id if wanted.team else None,
            person=find_person(directory, wanted.person).id if wanted.person else None,
            created=known.created if known else self._now, created_by=known.created_by if known else "configuration",
        )  # fmt: skip
        return None if known == record else save_key(directory, record, by_config=True)

    def secret(self, name: str, secret: Secret) -> Edit | None:
        """The secret of a key that has been written. It may be that of another key of the configuration until now."""
        directory = self._now_has
        key = find_key(directory, name)
        owner = directory.secret(secret.digest)
        if secret.digest in self._digests:
            raise FieldError("secret", f"it is that of the key {self._digests[secret.digest]!r}", "give it its own")
        self._digests[secret.digest] = key.name
        if owner is not None and owner.key != key.id and not directory.keys[owner.key].managed:
            raise _not_managed(directory.keys[owner.key])
        if owner is not None and owner.key == key.id and owner.valid_until is None:
            return None
        old = directory.secrets_of(key.id)
        ended = [replace(one, valid_until=self._now) for one in old if one.valid_until is None]
        new = replace(secret, key=key.id, created=self._now)
        return Edit(action="key.rotate", subject=key.id, secrets=(*ended, new))

    def _known_key(self, name: str, secret: Secret) -> Key | None:
        """The key of that name; else the one that has the secret, if the configuration gave it another name so far."""
        usable = (one for one in self._now_has.keys.values() if one.status != "revoked")
        known = next((one for one in usable if one.name.lower() == _lower(name)), None)
        owner = self._now_has.secret(secret.digest)
        if known is not None or owner is None:
            return known
        renamed = self._now_has.keys[owner.key]
        return renamed if renamed.managed and renamed.name.lower() not in self._key_names else None

    def budget(self, wanted: Budget) -> Edit:
        directory = self._now_has
        known = next((b for b in directory.budgets.values() if b.name.lower() == wanted.name.strip().lower()), None)
        selector = selector_of(directory, wanted.applies_to)
        return save_budget(directory, replace(wanted, id=self._id(known, BUDGET), applies_to=selector), by_config=True)

    def limit(self, wanted: Limit) -> Edit:
        directory = self._now_has
        known = next((one for one in directory.limits.values() if one.name.lower() == _lower(wanted.name)), None)
        selector = selector_of(directory, wanted.applies_to)
        return save_limit(directory, replace(wanted, id=self._id(known, LIMIT), applies_to=selector), by_config=True)

    def let_go(self) -> None:
        """Disable or free what was managed and is not named any more."""
        before = self._before
        keys = [replace(one, managed=False, status="disabled") for one in before.keys.values() if self._is_left(one)]
        teams = [replace(one, managed=False) for one in before.teams.values() if self._is_left(one)]
        people = [replace(one, managed=False) for one in before.people.values() if self._is_left(one)]
        budgets = [
            replace(one, managed=False, status="disabled") for one in before.budgets.values() if self._is_left(one)
        ]
        limits = [
            replace(one, managed=False, status="disabled") for one in before.limits.values() if self._is_left(one)
        ]
        if keys or teams or people or budgets or limits:
            self._add(
                Edit(action="", subject="", keys=keys, teams=teams, people=people, budgets=budgets, limits=limits)
            )

    def edit(self) -> Edit:
        """All changes together, each record once."""
        before, after = self._before, self._now_has
        return Edit(
            action="accounts.apply",
            subject="configuration",
            teams=[one for one in after.teams.values() if before.teams.get(one.id) != one],
            people=[one for one in after.people.values() if before.people.get(one.id) != one],
            keys=[one for one in after.keys.values() if before.keys.get(one.id) != one],
            secrets=[one for one in after.all_secrets() if before.secret(one.digest) != one],
            budgets=[one for one in after.budgets.values() if before.budgets.get(one.id) != one],
            limits=[one for one in after.limits.values() if before.limits.get(one.id) != one],
        )

    def _id(self, known: R | None, prefix: str) -> str:
        id = known.id if known is not None else self._new_id(prefix)
        if id in self._named:
            raise FieldError("email" if prefix == PERSON else "name", "it is named twice", "name it once")
        self._named.add(id)
        return id

    def _is_left(self, record: Team | Person | Key | Budget | Limit) -> bool:
        return record.managed and record.id not in self._named

    def _add(self, edit: Edit | None) -> None:
        if edit:
            self._now_has = self._now_has.updated(
                Changes(
                    version=self._now_has.version, teams=edit.teams, people=edit.people, keys=edit.keys,
                    secrets=edit.secrets, budgets=edit.budgets, limits=edit.limits,
                )
            )  # fmt: skip


def _lower(name: str) -> str:
    """As names are compared."""
    return name.strip().lower()


def _not_managed(owner: Key) -> FieldError:
    """A secret that a key has which the configuration does not manage."""
    problem = f"it is that of the key {owner.name!r}"
    if owner.status == "revoked":
        return FieldError("secret", problem, "give it its own")
    return FieldError("secret", problem, f"give it its own, or call the entry {owner.name!r}")


def selector_of(directory: Directory, named: Selector) -> Selector:
    """A selector with ids for its names of a key, a team and a person.

    :raises FieldError: there is no such one; the field is ``applies_to.team`` and so on.
    """
    try:
        return replace(
            named,
            key=None if named.key is None else find_key(directory, named.key).id,
            team=None if named.team is None else find_team(directory, named.team).id,
            person=None if named.person is None else find_person(directory, named.person).id,
        )
    except FieldError as error:
        raise FieldError(f"applies_to.{error.field}", error.problem, error.expected) from None

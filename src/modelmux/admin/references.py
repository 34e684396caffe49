"""Records that a call names, as far as its principal may see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import MAX_NAME, FieldError
from modelmux.accounts.rates import Limit
from modelmux.accounts.records import Key, Person, Team
from modelmux.admin.errors import no_record
from modelmux.admin.operation import Call

R = TypeVar("R", Key, Team, Person, Budget, Limit)


def key_at(call: Call, directory: Directory, id: str | None = None) -> Key:
    """That of the path. :raises NoSuchRecord:"""
    return _at(call, directory, "key", directory.keys, id)


def team_at(call: Call, directory: Directory, id: str | None = None) -> Team:
    """That of the path. :raises NoSuchRecord:"""
    return _at(call, directory, "team", directory.teams, id)


def person_at(call: Call, directory: Directory, id: str | None = None) -> Person:
    """That of the path. :raises NoSuchRecord:"""
    return _at(call, directory, "person", directory.people, id)


def budget_at(call: Call, directory: Directory, id: str | None = None) -> Budget:
    """That of the path. :raises NoSuchRecord:"""
    return _at(call, directory, "budget", directory.budgets, id)


def limit_at(call: Call, directory: Directory, id: str | None = None) -> Limit:
    """That of the path. :raises NoSuchRecord:"""
    return _at(call, directory, "limit", directory.limits, id)


def named_team(call: Call, directory: Directory, field: str, text: str | None) -> str | None:
    """The id of a team that a field names by its id or name. :raises FieldError: there is none that it sees."""
    return _named(call, directory, field, text, directory.teams.values(), lambda team: team.name)


def named_person(call: Call, directory: Directory, field: str, text: str | None) -> str | None:
    """The same for a person, by id or e-mail address."""
    return _named(call, directory, field, text, directory.people.values(), lambda person: person.email)


def named_key(call: Call, directory: Directory, field: str, text: str | None) -> str | None:
    """The same for a key."""
    usable = (key for key in directory.keys.values() if key.status != "revoked")
    return _named(call, directory, field, text, usable, lambda key: key.name)


def _at(call: Call, directory: Directory, kind: str, records: Mapping[str, R], id: str | None) -> R:
    id = call.path["id"] if id is None else id
    record = records.get(id)
    if record is None or not call.scope(directory).sees(record):
        raise no_record(kind, id)
    return record


def _named(
    call: Call, directory: Directory, field: str, text: str | None, records: Iterable[R], name_of: Callable[[R], str]
) -> str | None:
    if text is None:
        return None
    wanted = text.strip().lower()
    seen = call.scope(directory).seen(records)
    for matches in (
        lambda one: one.id == text.strip(),
        lambda one: name_of(one).lower() == wanted,
    ):  # a name may be an id
        match = next(filter(matches, seen), None)
        if match is not None:
            return match.id
    problem = f"there is no {text[:MAX_NAME]!r} that you may see"
    raise FieldError(field, problem, "expected the id or the name of one that a list shows")

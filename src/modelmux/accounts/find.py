"""Keys, teams, people and budgets by what people call them: an id, a name, an e-mail address, the hint of a secret."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.rates import Limit
from modelmux.accounts.records import Key, Person, Team

T = TypeVar("T")

_LISTS: Final = {
    "team": "teams list", "parent": "teams list", "person": "people list", "key": "keys list --all",
    "budget": "budget list", "limit": "limits list",
}  # fmt: skip


def find_team(directory: Directory, text: str, field: str = "team") -> Team:
    """By id or name. :raises FieldError: there is none."""
    return _one(field, text, directory.teams, lambda team: team.name, directory.teams.values())


def find_person(directory: Directory, text: str, field: str = "person") -> Person:
    """By id or e-mail address. :raises FieldError: there is none."""
    return _one(field, text, directory.people, lambda person: person.email, directory.people.values())


def find_key(directory: Directory, text: str, field: str = "key") -> Key:
    """By id or name; of several keys of one name, that which is not revoked. :raises FieldError: there is none."""
    usable = (key for key in directory.keys.values() if key.status != "revoked")
    return _one(field, text, directory.keys, lambda key: key.name, usable)


def find_budget(directory: Directory, text: str, field: str = "budget") -> Budget:
    """By id or name, disabled ones too. :raises FieldError: there is none."""
    return _one(field, text, directory.budgets, lambda budget: budget.name, directory.budgets.values())


def find_limit(directory: Directory, text: str, field: str = "limit") -> Limit:
    """By id or name, disabled ones too. :raises FieldError: there is none."""
    return _one(field, text, directory.limits, lambda limit: limit.name, directory.limits.values())


def _one(field: str, text: str, by_id: Mapping[str, T], name_of: Callable[[T], str], candidates: Iterable[T]) -> T:
    wanted = text.strip()
    if wanted in by_id:
        return by_id[wanted]
    names = {name_of(candidate).lower(): candidate for candidate in candidates}
    match = names.get(wanted.lower())
    if match is not None:
        return match
    close = difflib.get_close_matches(wanted.lower(), names, n=1)
    remedy = f"did you mean {name_of(names[close[0]])!r}?" if close else f"list them with `modelmux {_LISTS[field]}`"
    raise FieldError(field, f"there is no {field} {text[:128]!r}", remedy)

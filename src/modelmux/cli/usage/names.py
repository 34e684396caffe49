"""What people call the keys, teams, people and models of usage: names in filters, and in place of ids in tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import WITHOUT_RECORD
from modelmux.accounts.find import find_key, find_person, find_team
from modelmux.accounts.usage_query import UsageRow
from modelmux.catalog.model_filters import with_models
from modelmux.catalog.models import Catalog
from modelmux.cli.usage.options import Where

#: Dimension and value of a group -> its name.
Names = Mapping[tuple[str, str], str]

#: Dimension -> what JSON calls the name of its groups, as the admin API does.
NAME_FIELDS: Final = {"key": "key_name", "team": "team_name", "person": "person_email"}
#: Ids are told from names by this, also those of a ledger whose directory is another one.
_ID: Final = re.compile(r"(key|team|usr)_[0-9a-z]+")


def with_ids(where: Where, directory: Directory, catalog: Catalog) -> Where:
    """A filter with ids in place of names, as rows have them.

    :raises FieldError: there is no key, team or person of that name.
    """
    find: Mapping[str, Callable[[str], tuple[str, ...]]] = {
        "key": lambda text: _keys(directory, text),
        "team": lambda text: (find_team(directory, text).id,),
        "person": lambda text: (find_person(directory, text).id,),
    }

    def ids(name: str, text: str) -> tuple[str, ...]:
        return (text,) if name not in find or _ID.fullmatch(text) else find[name](text)

    return with_models(
        tuple((name, tuple(dict.fromkeys(id for text in values for id in ids(name, text)))) for name, values in where),
        lambda: catalog,
    )


def names_of(directory: Directory, group_by: Iterable[str], rows: Iterable[UsageRow]) -> dict[tuple[str, str], str]:
    """The names of groups. The value of a team is its path, and its name that of the nearest one."""
    dimensions, names = tuple(group_by), {}
    for row in rows:
        for dimension, value in zip(dimensions, row.group, strict=True):
            name = _name(directory, dimension, value) if value else None
            if value and name:
                names[dimension, value] = name
    return names


def unknown_models(where: Where, catalog: Catalog) -> list[str]:
    """The models of a filter that the catalog does not have: usage is by models, and an alias is none."""
    return [text for name, values in where if name == "model" for text in values if catalog.find(text) is None]


def _keys(directory: Directory, text: str) -> tuple[str, ...]:
    """All keys of a name: one that was revoked, and the one that came after it."""
    if WITHOUT_RECORD.fullmatch(text):
        return (text,)
    wanted = text.strip().lower()
    return tuple(key.id for key in directory.keys.values() if key.name.lower() == wanted) or (
        find_key(directory, text).id,
    )


def _name(directory: Directory, dimension: str, value: str) -> str | None:
    if dimension == "key":
        key = directory.keys.get(value)
        return key.name if key is not None else None
    if dimension == "team":
        team = directory.teams.get(value.rpartition("/")[2])
        return team.name if team is not None else None
    person = directory.people.get(value) if dimension == "person" else None
    return person.email if person is not None else None

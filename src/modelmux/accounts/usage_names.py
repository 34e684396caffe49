"""The names of keys, teams and people, beside the ids that usage is grouped by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.usage_query import UsageQuery, UsageRow

#: Dimension -> the field that has the name in JSON.
NAME_FIELDS: Final[Mapping[str, str]] = {"key": "key_name", "team": "team_name", "person": "person_email"}

#: (dimension, value of a group) -> name.
Names = Mapping[tuple[str, str | None], str | None]


def name_of(directory: Directory, dimension: str, value: str | None) -> str | None:
    """The name of today; None for a value that the directory does not have, and for dimensions without names.

    :param value: id; of a team with those above it.
    """
    id = (value or "").rpartition("/")[2]
    match dimension:
        case "key":
            key = directory.keys.get(id)
            return None if key is None else key.name
        case "team":
            team = directory.teams.get(id)
            return None if team is None else team.name
        case "person":
            person = directory.people.get(id)
            return None if person is None else person.email
    return None


def names_of(directory: Directory, query: UsageQuery, rows: Iterable[UsageRow]) -> Names:
    """The names of all groups of a report, as far as they have one."""
    groups = [row.group for row in rows if not row.others]
    pairs = {pair for group in groups for pair in zip(query.group_by, group, strict=True) if pair[0] in NAME_FIELDS}
    return {pair: name for pair in pairs if (name := name_of(directory, *pair)) is not None}

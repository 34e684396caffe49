"""Which usage and which rows of the ledger a principal of the admin API sees. Whatever is not listed here is hidden."""

from __future__ import annotations

from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.roles import Principal

#: Dimension -> the values that count: what queries for usage and for rows have in common.
Where = tuple[tuple[str, tuple[str, ...]], ...]

#: Of a principal that sees none.
_NOTHING: Final[Where] = (("key", ()),)
_EVERYTHING: Final = ("owner", "admin", "viewer")
#: By what a viewer may group usage: numbers, not people.
_OF_VIEWER: Final = ("team", "model")
_DIMENSIONS: Final = ("key", "team", "person", "model")


def visible(directory: Directory, principal: Principal) -> Where:
    """The filter of what the principal sees: of teams, what was used in them and in those below them at the time."""
    if principal.role in _EVERYTHING:
        return ()
    if principal.role == "team_admin":
        teams = tuple(team for team in principal.teams if team in directory.teams)
        return (("team", teams),) if teams else _NOTHING
    if principal.role == "member":
        if principal.person is not None:
            return (("person", (principal.person,)),)
        if principal.key is not None:
            return (("key", (principal.key,)),)
    return _NOTHING


def is_visible(where: Where, entry: Entry) -> bool:
    """Whether a row is one of those that ``visible`` selects."""
    for name, values in where:
        if name == "team":
            matches = any(team in values for team in entry.team.split("/"))
        else:
            matches = getattr(entry, name) in values
        if not matches:
            return False
    return True


def dimensions(principal: Principal) -> tuple[str, ...]:
    """By what the principal may group and filter usage, besides tags."""
    return _OF_VIEWER if principal.role == "viewer" else _DIMENSIONS

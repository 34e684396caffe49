"""A directory of a few records, and a way to make edits to it without a store."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.edits import Edit, save_key, save_person, save_team, set_member
from modelmux.accounts.records import Key, Person, Secret, Team
from modelmux.accounts.windows import WindowRule
from modelmux.store.directory.base import Author, DirectoryStore

#: Microseconds in UTC: 2026-11-29T12:00Z.
NOW = 1_795_953_600_000_000


def applied(directory: Directory, edit: Edit) -> Directory:
    fields: dict[str, Any] = {
        name: getattr(edit, name)
        for name in ("teams", "people", "memberships", "keys", "secrets", "budgets", "adjustments", "limits", "prices")
    }
    return directory.updated(Changes(version=directory.version + 1, **fields))


def team(id: str = "team_a", name: str = "Data", **fields: Any) -> Team:
    return Team(id=id, name=name, **fields)


def person(id: str = "usr_a", email: str = "ann@example.com", **fields: Any) -> Person:
    return Person(id=id, email=email, **fields)


def key(id: str = "key_a", name: str = "laptop", **fields: Any) -> Key:
    return Key(id=id, name=name, **({"created": NOW} | fields))


def secret(text: str = "one", key: str = "key_a", **fields: Any) -> Secret:
    return Secret(digest=hashlib.sha256(text.encode()).digest(), key=key, hint=text, **({"created": NOW} | fields))


def budget(id: str = "bud_a", name: str = "Data", limit: int = 50, every: Any = "month", **fields: Any) -> Budget:
    """Fields of a selector by their names, all others as they are."""
    chosen = {field: fields.pop(field) for field in Selector.__struct_fields__ if field in fields}
    window = fields.pop("window", WindowRule(every=every))
    return Budget(id=id, name=name, limit=limit, window=window, applies_to=Selector(**chosen), **fields)


def adjustment(id: str = "adj_a", kind: Any = "top_up", amount: int = 10, **fields: Any) -> Adjustment:
    return Adjustment(id=id, kind=kind, amount=amount, **({"budget": "bud_a", "created": NOW} | fields))


def directory_of(*records: Team | Person | Key | Secret | Budget | Adjustment) -> Directory:
    def of(kind: type) -> list[Any]:
        return [record for record in records if isinstance(record, kind)]

    changes = Changes(
        version=1, teams=of(Team), people=of(Person), keys=of(Key), secrets=of(Secret), budgets=of(Budget),
        adjustments=of(Adjustment),
    )  # fmt: skip
    return Directory().updated(changes)


#: Who makes changes.
ANN: Final = Author("ann", "cli")


async def fill(store: DirectoryStore) -> Directory:
    """A member of a team, with a key."""
    for decide in (
        lambda d: save_team(d, team()),
        lambda d: save_person(d, person()),
        lambda d: set_member(d, "usr_a", "team_a", "member"),
        lambda d: save_key(d, key(team="team_a", person="usr_a", tags=(("app", "chat"),)), secret()),
    ):
        directory, _ = await store.change(decide, ANN, NOW)
    return directory

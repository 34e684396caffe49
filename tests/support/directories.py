"""A directory of a few records, and a way to make edits to it without a store."""

from __future__ import annotations

import hashlib
from typing import Any

from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.records import Key, Person, Secret, Team

#: Microseconds in UTC: 2026-11-29T12:00Z.
NOW = 1_795_953_600_000_000


def applied(directory: Directory, edit: Edit) -> Directory:
    fields: dict[str, Any] = {
        name: getattr(edit, name) for name in ("teams", "people", "memberships", "keys", "secrets")
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


def directory_of(*records: Team | Person | Key | Secret) -> Directory:
    def of(kind: type) -> list[Any]:
        return [record for record in records if isinstance(record, kind)]

    changes = Changes(version=1, teams=of(Team), people=of(Person), keys=of(Key), secrets=of(Secret))
    return Directory().updated(changes)

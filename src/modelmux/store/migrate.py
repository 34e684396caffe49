"""Numbered migrations of a database: which there are, which it has, and how a SQLite file gets those that it lacks.

A database has a table of the names and hashes of what was applied. Whatever applies a migration to a file holds the
file's lock; ``postgres.migrate`` does the same for PostgreSQL.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from modelmux.store.base import StoreFailed

_NAME: Final = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, applied_at INTEGER NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """:param number: from 1, without gaps."""

    number: int
    name: str
    sql: str

    @property
    def hash(self) -> str:
        """Of the text, however its lines end."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@cache
def sqlite_migrations() -> tuple[Migration, ...]:
    """Those of this version, in order."""
    return migrations_in("sqlite")


def migrations_in(dialect: str) -> tuple[Migration, ...]:
    """Those of this version in one folder, as ``sqlite`` or ``postgres``, in order."""
    folder = resources.files("modelmux.store").joinpath("migrations", dialect)
    migrations = []
    for file in folder.iterdir():
        match = _NAME.fullmatch(file.name)
        if match is not None:
            migrations.append(Migration(int(match[1]), file.name, file.read_text("utf-8").replace("\r\n", "\n")))
    return tuple(sorted(migrations, key=lambda migration: migration.number))


def pending(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Those that the file lacks, in order. :raises StoreFailed: see ``lacking``."""
    return lacking(_applied(connection), migrations)


def lacking(applied: Iterable[tuple[int, str, str]], migrations: Sequence[Migration]) -> list[Migration]:
    """The migrations that a database lacks, in order.

    :param applied: number, name and hash of those that it has.
    :raises StoreFailed: it has one that is unknown or was changed; the message lacks the path.
    """
    by_number = {migration.number: migration for migration in migrations}
    for number, name, digest in applied:
        known = by_number.pop(number, None)
        if known is None:
            raise StoreFailed(
                f"made by a newer version of modelmux (it has the migration {name}); install that version or a later "
                "one, or restore a backup of before"
            )
        if (known.name, known.hash) != (name, digest):
            raise StoreFailed(
                f"its migration {name} is not the {known.name} of this version of modelmux; install the version that "
                "made it"
            )
    return sorted(by_number.values(), key=lambda migration: migration.number)


def apply(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Apply what is pending, within a transaction of the caller. :raises StoreFailed: see ``pending``."""
    connection.execute(_TABLE)
    for migration in pending(connection, migrations):
        for statement in statements(migration.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO migrations VALUES (?, ?, ?, CAST(strftime('%s', 'now') AS INTEGER))",
            (migration.number, migration.name, migration.hash),
        )


def statements(sql: str) -> Iterator[str]:
    """The statements of a script, one at a time: ``executescript`` would commit the transaction first."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _applied(connection: sqlite3.Connection) -> list[tuple[int, str, str]]:
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'").fetchone()
    if exists is None:
        return []
    return connection.execute("SELECT number, name, hash FROM migrations ORDER BY number").fetchall()

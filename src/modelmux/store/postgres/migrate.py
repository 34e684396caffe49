"""Numbered migrations of a PostgreSQL database: checked with the first connection of a process, applied by one at once,
and looked at again while the process runs.

A gateway of before may run beside a schema that a newer one has migrated, as in a rolling upgrade, if that migration
says so in its first line: ``-- usable from 2`` means that a version whose last migration is the second can go on.
One with a line ``-- after a commit`` at its begin needs that those before it are committed: what they changed is in
force for all others then, and their locks are free.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from modelmux.config.postgres_url import MIGRATION, MIGRATION_TIMEOUT
from modelmux.store.base import StoreFailed, StoreOutdated
from modelmux.store.migrate import Migration, lacking, migrations_in
from modelmux.store.postgres.locks import MIGRATIONS, lock
from modelmux.store.postgres.problems import QUERY_CANCELED, code_of
from modelmux.store.postgres.session import READ, WRITE, Session, begin, ending

_TOO_LONG: Final = (
    "a step of the upgrade {name} took longer than {seconds:g} s, and was taken back; give it more time at the next "
    "start with the parameter {parameter}=SECONDS in the URL of the database"
)
_USABLE_FROM: Final = re.compile(r"-- usable from ([0-9]+)\n")
_AFTER_A_COMMIT: Final = re.compile(r"(--.*\n)*-- after a commit\n")
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS modelmux_migrations (
    number bigint PRIMARY KEY, name text NOT NULL, hash text NOT NULL, usable_from bigint NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """The statements of one table of what was applied. Accounts and conversations may be in one database or in two."""

    create: str
    exists: str
    read: str
    add: str


ACCOUNTS: Final = Applied(
    _TABLE,
    "SELECT to_regclass('modelmux_migrations') IS NOT NULL",
    "SELECT number, name, hash, usable_from FROM modelmux_migrations ORDER BY number",
    "INSERT INTO modelmux_migrations (number, name, hash, usable_from) VALUES ($1, $2, $3, $4)",
)
CONVERSATIONS: Final = Applied(
    _TABLE.replace("modelmux_migrations", "modelmux_conversation_migrations"),
    "SELECT to_regclass('modelmux_conversation_migrations') IS NOT NULL",
    "SELECT number, name, hash, usable_from FROM modelmux_conversation_migrations ORDER BY number",
    "INSERT INTO modelmux_conversation_migrations (number, name, hash, usable_from) VALUES ($1, $2, $3, $4)",
)


@cache
def postgres_migrations() -> tuple[Migration, ...]:
    """Those of this version, in order."""
    return migrations_in("postgres")


@cache
def conversation_migrations() -> tuple[Migration, ...]:
    """Those of the tables of stored responses and of remembered thinking, in order."""
    return migrations_in("postgres_conversations")


def usable_from(migration: Migration) -> int:
    """Number of the last migration that the oldest version has which can use the database afterwards."""
    match = _USABLE_FROM.match(migration.sql)
    return migration.number if match is None else int(match[1])


async def migrate(
    connection: Any,
    migrations: Sequence[Migration] | None = None,
    applied: Applied = ACCOUNTS,
    *,
    timeout: float = MIGRATION_TIMEOUT,
) -> None:
    """Apply what is pending, all or nothing between two commits that migrations need. Of several processes at once, one
    does, and the others wait for it.

    :param timeout: seconds that a statement takes at most, and that one process waits for another's.
    :raises StoreFailed: the database is of a newer version that this one cannot use, or has other migrations; or a
        statement took too long.
    """
    wanted = postgres_migrations() if migrations is None else migrations
    while await _apply(connection, wanted, applied, timeout):
        pass


async def _apply(connection: Any, wanted: Sequence[Migration], applied: Applied, timeout: float) -> bool:
    """One transaction. :returns: whether migrations are left that needed its commit."""
    await begin(connection, WRITE, timeout)
    async with ending(connection) as session:
        if not _pending(await _applied(session, applied), wanted):
            return False
        await lock(session, MIGRATIONS)
        await session.execute(applied.create)
        for index, migration in enumerate(_pending(await _applied(session, applied), wanted)):
            if index > 0 and _AFTER_A_COMMIT.match(migration.sql):
                return True
            await _run(session, migration, timeout)
            await session.execute(applied.add, migration.number, migration.name, migration.hash, usable_from(migration))
    return False


async def _run(session: Session, migration: Migration, timeout: float) -> None:
    try:
        await session.execute(migration.sql)
    except Exception as error:
        if code_of(error) != QUERY_CANCELED:
            raise
        raise StoreFailed(_TOO_LONG.format(name=migration.name, seconds=timeout, parameter=MIGRATION)) from None


async def check_migrated(
    connection: Any, migrations: Sequence[Migration] | None = None, applied: Applied = ACCOUNTS
) -> None:
    """Change nothing. :raises StoreOutdated: something is pending. :raises StoreFailed: see ``migrate``."""
    wanted = postgres_migrations() if migrations is None else migrations
    await begin(connection, READ, MIGRATION_TIMEOUT)
    async with ending(connection) as session:
        if _pending(await _applied(session, applied), wanted):
            raise StoreOutdated("the database is new or of an older version; the next start of the gateway prepares it")


async def check_usable(
    session: Session, migrations: Sequence[Migration] | None = None, applied: Applied = ACCOUNTS
) -> None:
    """Whether a process that has begun can go on: a newer version may have migrated the database meanwhile.

    :raises StoreFailed: this version cannot use it any more.
    """
    _pending(await _applied(session, applied), postgres_migrations() if migrations is None else migrations)


async def check_conversations_usable(session: Session) -> None:
    """See ``check_usable``; of the tables of conversations."""
    await check_usable(session, conversation_migrations(), CONVERSATIONS)


def _pending(applied: list[tuple[int, str, str, int]], wanted: Sequence[Migration]) -> list[Migration]:
    """:raises StoreFailed:"""
    last = max((migration.number for migration in wanted), default=0)
    known = [row[:3] for row in applied if row[0] <= last or row[3] > last]
    try:
        return lacking(known, wanted)
    except StoreFailed as error:
        raise StoreFailed(f"the database was {error}" if str(error).startswith("made") else str(error)) from None


async def _applied(session: Session, applied: Applied) -> list[tuple[int, str, str, int]]:
    if not await session.fetchval(applied.exists):
        return []
    return [tuple(row) for row in await session.fetch(applied.read)]

"""Locks of PostgreSQL that end with their transaction: the only ones that work through PgBouncer.

They are numbers, common to all that use the database, and a transaction that takes several takes them in this order.
"""

from __future__ import annotations

from typing import Final

from modelmux.store.postgres.session import Session

#: "MMX", so that other programs of the database are unlikely to use the same.
_BASE: Final = 0x4D4D58 << 32
#: Who applies migrations.
MIGRATIONS: Final = _BASE + 1
#: Who changes the directory.
DIRECTORY: Final = _BASE + 2
#: Who repairs sums.
REPAIRS: Final = _BASE + 7
#: Shared by all that add rows to the ledger; alone whoever needs that none is added.
LEDGER: Final = _BASE + 3
#: Who adds rows whose count depends on other rows: corrections, and requests without a price.
CORRECTIONS: Final = _BASE + 4
#: Who takes alerts and deliveries, so that each is taken once.
ALERTS: Final = _BASE + 5
#: Who makes room for stored responses.
ROOM: Final = _BASE + 6


async def lock(session: Session, number: int) -> None:
    """Wait until no other transaction has it."""
    await session.execute("SELECT pg_advisory_xact_lock($1)", number)


async def lock_shared(session: Session, number: int) -> None:
    """Wait until no other transaction has it alone."""
    await session.execute("SELECT pg_advisory_xact_lock_shared($1)", number)


async def try_lock(session: Session, number: int) -> bool:
    """Whether no other transaction has it; it is this one's then."""
    return bool(await session.fetchval("SELECT pg_try_advisory_xact_lock($1)", number))

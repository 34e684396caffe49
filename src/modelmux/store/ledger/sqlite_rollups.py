"""How sums in memory are added to the tables of SQLite: see ``rollups``."""

from __future__ import annotations

import itertools
import sqlite3
from typing import Final

from modelmux.store.ledger.rollups import SUMS, Rollup
from modelmux.store.ledger.slots import OF_GROUPS, OF_SLICES

_UPSERTS: Final[dict[str, str]] = {
    table: f"INSERT INTO {table} VALUES (?, ?, {', '.join('?' * len(SUMS))}) ON CONFLICT (slot, series) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    for table in (*itertools.chain.from_iterable(OF_GROUPS.items()), *OF_SLICES.values())
}


def upsert(connection: sqlite3.Connection, table: str, rollup: Rollup) -> None:
    """Within a transaction: add sums to those of a table."""
    connection.executemany(_UPSERTS[table], [(*key, *rollup[key]) for key in sorted(rollup)])

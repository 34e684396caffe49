"""How sums in memory are added to the tables of PostgreSQL: see ``rollups``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

from modelmux.store.ledger.rollups import SUMS, Rollup
from modelmux.store.ledger.slots import OF_GROUPS, OF_SLICES
from modelmux.store.postgres.session import Session

#: All tables of sums.
TABLES: Final[tuple[str, ...]] = (*itertools.chain.from_iterable(OF_GROUPS.items()), *OF_SLICES.values())
#: Adds rows, which are arrays, one a column.
INSERTS: Final[dict[str, str]] = {
    table: f"INSERT INTO {table} (slot, series, {', '.join(SUMS)}) SELECT * FROM unnest("
    + ", ".join(f"${number}::bigint[]" for number in range(1, len(SUMS) + 3))
    + ")"
    for table in TABLES
}
_UPSERTS: Final[dict[str, str]] = {
    table: f"{INSERTS[table]} ON CONFLICT (slot, series) DO UPDATE SET "
    + ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in SUMS)
    for table in TABLES
}


async def upsert(session: Session, table: str, rollup: Rollup) -> None:
    """Within a transaction: add sums to those of a table, in the order of their keys."""
    if rollup:
        await session.execute(_UPSERTS[table], *columns(rows_of(rollup)))


def rows_of(rollup: Rollup) -> list[tuple[int, ...]]:
    """As rows, in the order of their keys."""
    return [(*key, *rollup[key]) for key in sorted(rollup)]


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as arrays, one a column."""
    return [list(column) for column in zip(*rows, strict=True)]

"""Sums of days that are over, made once from the others: by hour, and by one team, model or set of tags alone.

A day is sealed in one transaction, so a migration and a new day are the same small step. What is added to a sealed day
later is added to these sums, too, in its own transaction: they are never behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from modelmux.store.ledger import sqlite_blocks
from modelmux.store.ledger.rollups import SUMS, Rollup, coarser, of_slices
from modelmux.store.ledger.slots import QUARTERS, QUARTERS_OF_HOUR, SLICED, SliceKind, SliceTable
from modelmux.store.ledger.sqlite_rollups import upsert

_BEFORE: Final = "SELECT before FROM ledger_sealed"
_NEXT: Final = "SELECT min(slot) FROM group_day WHERE slot >= ? AND slot < ?"
_SEALED: Final = "UPDATE ledger_sealed SET before = ?"
_COLUMNS: Final = ", ".join(SUMS)
_ADDED: Final = ", ".join(f"sum(u.{name})" for name in SUMS)
#: Kind -> what it has of a group.
_VALUES: Final[Mapping[SliceKind, str]] = {"all": "''", "team": "g.team", "model": "g.model", "tags": "g.tags"}
_HOURS_OF: Final = tuple(
    f"INSERT INTO {kind}_hour (slot, series, {_COLUMNS}) SELECT u.slot / {QUARTERS_OF_HOUR}, u.series, {_ADDED} "
    f"FROM {kind}_quarter AS u WHERE u.slot >= :day * {QUARTERS} AND u.slot < (:day + 1) * {QUARTERS} GROUP BY 1, 2"
    for kind in ("usage", "group")
)
_NEW_SLICES: Final = tuple(
    f"INSERT OR IGNORE INTO ledger_slice (kind, value) SELECT DISTINCT '{kind}', {value} FROM group_day AS u "
    "CROSS JOIN ledger_group AS g ON g.number = u.series WHERE u.slot = :day"
    for kind, value in _VALUES.items()
)
_TEMPORARY: Final = (
    (
        "CREATE TEMP TABLE IF NOT EXISTS slice_of (series INTEGER NOT NULL, number INTEGER NOT NULL, "
        "PRIMARY KEY (series, number)) WITHOUT ROWID"
    ),
    "DELETE FROM slice_of",
)
_SLICES_OF: Final = tuple(
    "INSERT INTO slice_of SELECT DISTINCT g.number, s.number FROM group_day AS u CROSS JOIN ledger_group AS g "
    f"ON g.number = u.series CROSS JOIN ledger_slice AS s ON s.kind = '{kind}' AND s.value = {value} "
    "WHERE u.slot = :day"
    for kind, value in _VALUES.items()
)
_SLICED: Final = tuple(
    f"INSERT INTO {table} (slot, series, {_COLUMNS}) SELECT u.slot, o.number, {_ADDED} FROM {source} AS u "
    f"CROSS JOIN slice_of AS o ON o.series = u.series WHERE u.slot >= :day * {scale} AND u.slot < (:day + 1) * {scale} "
    "GROUP BY 1, 2"
    for table, source, scale in SLICED
)
_GROUP: Final = "SELECT '', team, model, tags FROM ledger_group WHERE number = ?"
_ADD_SLICE: Final = "INSERT OR IGNORE INTO ledger_slice (kind, value) VALUES (?, ?)"
_SLICE: Final = "SELECT number FROM ledger_slice WHERE kind = ? AND value = ?"


def sealed_before(connection: sqlite3.Connection) -> int:
    """Days since 1970: of those before, there are sums by hour and slices."""
    (before,) = connection.execute(_BEFORE).fetchone()
    return int(before)


def seal_next(connection: sqlite3.Connection, before: int) -> bool:
    """Within a write transaction: seal the next day.

    :param before: days since 1970; days from this on are not over.
    :returns: whether there was one.
    """
    (day,) = connection.execute(_NEXT, (sealed_before(connection), before)).fetchone()
    if day is None:
        return False
    for statement in _TEMPORARY:
        connection.execute(statement)
    for statement in (*_HOURS_OF, *_NEW_SLICES, *_SLICES_OF, *_SLICED):
        connection.execute(statement, {"day": day})
    connection.execute(_SEALED, (day + 1,))
    return True


def add_sealed(connection: sqlite3.Connection, quarters: Rollup, groups: Rollup) -> None:
    """Within the transaction of rows: add them to the sums of their days, as far as those are sealed.

    :param quarters, groups: of the rows, by series and by group.
    """
    before = sealed_before(connection) * QUARTERS
    late = {key: sums for key, sums in groups.items() if key[0] < before}
    if not late:
        return
    of_series = {key: sums for key, sums in quarters.items() if key[0] < before}
    sqlite_blocks.add_late(connection, of_series)
    upsert(connection, "usage_hour", coarser(of_series, "usage_hour"))
    upsert(connection, "group_hour", coarser(late, "usage_hour"))
    for table, rollup in sliced(connection, late).items():
        upsert(connection, table, rollup)


def sliced(connection: sqlite3.Connection, groups: Rollup, *, adds: bool = True) -> dict[SliceTable, Rollup]:
    """Table -> its sums of slices, from sums by quarter and group.

    :param adds: whether slices that are new are written; else they have numbers that no slice has.
    """
    return of_slices(groups, {group: _slices_of(connection, group, adds=adds) for group in {one for _, one in groups}})


def _slices_of(connection: sqlite3.Connection, group: int, *, adds: bool) -> list[int]:
    values = connection.execute(_GROUP, (group,)).fetchone() or ()  # there is none in a damaged file only
    numbers = []
    for place, (kind, value) in enumerate(zip(_VALUES, values, strict=False)):
        if adds:
            connection.execute(_ADD_SLICE, (kind, value))
        (number,) = connection.execute(_SLICE, (kind, value)).fetchone() or (-1 - place,)
        numbers.append(number)
    return numbers

"""Whether rollups are the sums of their rows, a day or month at a time, and how they are made so."""

from __future__ import annotations

import sqlite3
from operator import add
from typing import Final

from modelmux.store.ledger import sqlite_blocks
from modelmux.store.ledger.base import Difference
from modelmux.store.ledger.rollups import SUMS, Rollup, new_rollup
from modelmux.store.ledger.slots import DAY, QUARTER, QUARTERS, GroupTable, SliceTable, Table
from modelmux.store.ledger.sqlite_append import by_group
from modelmux.store.ledger.sqlite_rows import COSTS, COUNTS, SLACK, first_id, id_time
from modelmux.store.ledger.sqlite_sealed import sealed_before, sliced
from modelmux.store.ledger.verify_sections import (
    MONTHS,
    Section,
    day_sections,
    days_of,
    describe,
    differing_sums,
    instants_of,
    kind_of,
    months_of,
)

_IS_UNPRICED: Final = (
    "(l.corrects IS NULL AND l.cost_input IS NULL AND NOT EXISTS (SELECT 1 FROM ledger AS c INDEXED BY "
    "ledger_by_corrected WHERE c.corrects IS NOT NULL AND c.corrects = l.id AND c.cost_input IS NOT NULL))"
)
_SUMS: Final = ", ".join(
    ("sum(l.corrects IS NULL)", "sum(l.failed)", f"sum({_IS_UNPRICED})", *(f"sum(l.{name})" for name in COUNTS),
     *(f"coalesce(sum(l.{name}), 0)" for name in COSTS))
)  # fmt: skip
_BY_ID: Final = (
    f"SELECT l.at / {QUARTER}, l.series, {_SUMS} FROM ledger AS l WHERE l.id >= ? AND l.id < ? AND +l.displaced = 0 "
    "AND l.at >= ? AND l.at < ? GROUP BY 1, 2"
)
_DISPLACED: Final = (
    f"SELECT l.at / {QUARTER}, l.series, {_SUMS} FROM ledger AS l INDEXED BY ledger_displaced_by_time "
    "WHERE l.displaced = 1 AND l.at >= ? AND l.at < ? GROUP BY 1, 2"
)
_DAYS: Final = f"""
SELECT slot FROM usage_day WHERE slot >= :first
UNION SELECT slot / {QUARTERS} FROM usage_quarter WHERE slot >= :first * {QUARTERS}
UNION SELECT slot FROM group_day WHERE slot >= :first
UNION SELECT slot / {QUARTERS} FROM group_quarter WHERE slot >= :first * {QUARTERS}
UNION SELECT at / {DAY} FROM ledger INDEXED BY ledger_displaced_by_time WHERE displaced = 1 AND at >= :first * {DAY}
"""
_DAYS_OF_MONTHS: Final = (
    "SELECT DISTINCT slot FROM usage_day",
    "SELECT DISTINCT slot FROM group_day",
    "SELECT first FROM cost_block",
)
_MARKS: Final = ", ".join("?" * (len(SUMS) + 2))
_SERIES: Final = (
    "SELECT k.name, s.person, s.team, s.model, s.tags FROM ledger_series AS s "
    "JOIN ledger_key AS k ON k.number = s.key WHERE s.number = ?"
)
_GROUP: Final = "SELECT team, model, tags FROM ledger_group WHERE number = ?"
_SLICE: Final = "SELECT kind, value FROM ledger_slice WHERE number = ?"
#: Part of the name of a table -> where the names of its sums are.
_LABELS: Final = {"usage": _SERIES, "group": _GROUP, "slice": _SLICE}


def of_section(connection: sqlite3.Connection, section: int, *, adds: bool = False) -> list[Section]:
    """Within a transaction: what the rollups of a day or month have to be.

    :param section: of ``days``, ``months``. :param adds: see ``sliced``.
    :returns: nothing of a day whose rows are dropped, or are about to be: its rollups are all that is left of them.
    """
    if section >= MONTHS // 2:
        return of_month(connection, section - MONTHS)
    if section * DAY < _dropped_before(connection):  # perhaps since ``days``
        return []
    return of_day(connection, section, adds=adds)


def days(connection: sqlite3.Connection) -> list[int]:
    """The days, in order, whose rollups can be recomputed: those of before lack rows."""
    first = -(-_dropped_before(connection) // DAY)
    present = {day for (day,) in connection.execute(_DAYS, {"first": first})}
    present |= _with_rows(connection, first)
    return sorted(present)


def months(connection: sqlite3.Connection) -> list[int]:
    """All months that have rollups, by numbers above those of all days."""
    present = {month for (month,) in connection.execute("SELECT DISTINCT slot FROM usage_month")}
    present |= {month for (month,) in connection.execute("SELECT DISTINCT slot FROM group_month")}
    for sql in _DAYS_OF_MONTHS:
        present |= months_of(day for (day,) in connection.execute(sql))
    return sorted(MONTHS + month for month in present)


def of_day(connection: sqlite3.Connection, day: int, *, adds: bool = False) -> list[Section]:
    """Within a transaction: what the rollups of a day have to be, from its rows."""
    quarters = _recomputed(connection, day)
    groups = by_group(connection, quarters)
    slices = sliced(connection, groups, adds=adds) if day < sealed_before(connection) else None
    return day_sections(day, quarters, groups, slices)


def of_month(connection: sqlite3.Connection, month: int) -> list[Section]:
    """Within a transaction: what the rollups of a month have to be, from those of its days: some may lack rows."""
    return [
        Section("usage_month", month, month + 1, _of_days(connection, "usage_day", month)),
        Section("group_month", month, month + 1, _of_days(connection, "group_day", month)),
    ]


def differences(connection: sqlite3.Connection, sections: list[Section]) -> list[Difference]:
    """Within the transaction of the sections."""
    differing: list[Difference] = []
    for section in sections:
        stored = _stored(connection, section.table, section.low, section.high)
        for key, before, after in differing_sums(stored, section.rollup):
            labels = connection.execute(_LABELS[kind_of(section.table)], (key[1],)).fetchone() or ()
            differing += describe(section.table, key[0], labels, before, after)
        if section.table == "usage_month" and days_of(section.low):
            differing += sqlite_blocks.differences(connection, section.low)
    return differing


def repair(connection: sqlite3.Connection, section: int) -> list[Difference]:
    """Within a write transaction: make the rollups of a section what they have to be. :returns: what differed."""
    sections = of_section(connection, section, adds=True)
    differing = differences(connection, sections)
    for table, low, high, rollup in sections if differing else ():
        connection.execute(f"DELETE FROM {table} WHERE {_within(table)}", (low, high))
        rows = [(*key, *rollup[key]) for key in sorted(rollup)]
        connection.executemany(f"INSERT INTO {table} VALUES ({_MARKS})", rows)
        if table == "usage_month" and days_of(low):
            sqlite_blocks.repair(connection, low)
    return differing


def _dropped_before(connection: sqlite3.Connection) -> int:
    """Microseconds in UTC: rows of before are dropped."""
    (before,) = connection.execute("SELECT dropped_before FROM ledger_state").fetchone()
    return int(before)


def _within(table: str) -> str:
    """Slots of a table, by its key: in those of slices, the slice comes first."""
    is_slice = table.startswith("slice_")
    return f"{'series IN (SELECT number FROM ledger_slice) AND ' if is_slice else ''}slot >= ? AND slot < ?"


def _stored(connection: sqlite3.Connection, table: Table | GroupTable | SliceTable, low: int, high: int) -> Rollup:
    rows = connection.execute(f"SELECT * FROM {table} WHERE {_within(table)}", (low, high))
    return {(slot, series): sums for slot, series, *sums in rows}


def _of_days(connection: sqlite3.Connection, table: Table | GroupTable, month: int) -> Rollup:
    """The sums of a month, from those of its days. Of many keys those are millions: none is kept."""
    rollup = new_rollup()
    days = days_of(month)
    rows = connection.execute(f"SELECT * FROM {table} WHERE {_within(table)}", (days.start, days.stop))
    for _, series, *sums in rows:
        rollup[month, series] = list(map(add, rollup[month, series], sums))
    return rollup


def _recomputed(connection: sqlite3.Connection, day: int) -> Rollup:
    start, end = instants_of(day)
    rollup = new_rollup()
    ids = (first_id(start - SLACK - 1000), first_id(end + SLACK + 1000))
    for sql, values in ((_BY_ID, (*ids, start, end)), (_DISPLACED, (start, end))):
        for slot, series, *sums in connection.execute(sql, values):
            total = rollup[slot, series]
            for index, value in enumerate(sums):
                total[index] += value
    return rollup


def _with_rows(connection: sqlite3.Connection, first: int) -> set[int]:
    """The days from the first one on that may have rows, displaced ones aside."""
    present = set[int]()
    after = first_id(first * DAY - SLACK)
    while True:
        row = connection.execute("SELECT id FROM ledger WHERE id >= ? ORDER BY id LIMIT 1", (after,)).fetchone()
        if row is None:
            return present
        day = id_time(row[0]) // DAY
        present.update(range(max(first, day - 1), day + 2))
        if (day + 1) * DAY // 1000 >= 1 << 48:  # the last day that an id can have
            return present
        after = first_id((day + 1) * DAY)

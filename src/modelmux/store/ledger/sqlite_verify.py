"""Whether rollups are the sums of their rows, a day or month at a time, and how they are made so."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from modelmux.store.ledger.base import Difference
from modelmux.store.ledger.slots import DAY, QUARTER, QUARTERS, GroupTable, Table, first_day, month_of
from modelmux.store.ledger.sqlite_append import SUMS, Rollup, by_day, by_group, by_month
from modelmux.store.ledger.sqlite_rows import COSTS, COUNTS, SLACK, first_id, id_time

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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
#: What is added to the number of a month: more than any day has, in a year that an id can have.
_MONTHS: Final = 1 << 40
_NOTHING: Final = [0] * len(SUMS)
_SERIES: Final = (
    "SELECT k.name, s.person, s.team, s.model, s.tags FROM ledger_series AS s "
    "JOIN ledger_key AS k ON k.number = s.key WHERE s.number = ?"
)
_GROUP: Final = "SELECT team, model, tags FROM ledger_group WHERE number = ?"


class Section(NamedTuple):
    """Slots of a table, ``high`` not included, and all that they have to have."""

    table: Table | GroupTable
    low: int
    high: int
    rollup: Rollup


def of_section(connection: sqlite3.Connection, section: int) -> list[Section]:
    """Within a transaction: what the rollups of a day or month have to be. :param section: of ``days``, ``months``."""
    return of_month(connection, section - _MONTHS) if section >= _MONTHS // 2 else of_day(connection, section)


def days(connection: sqlite3.Connection) -> list[int]:
    """The days, in order, whose rollups can be recomputed: those of before lack rows."""
    (dropped_before,) = connection.execute("SELECT dropped_before FROM ledger_state").fetchone()
    first = -(-dropped_before // DAY)
    present = {day for (day,) in connection.execute(_DAYS, {"first": first})}
    present |= _with_rows(connection, first)
    return sorted(present)


def months(connection: sqlite3.Connection) -> list[int]:
    """All months that have rollups, by numbers above those of all days."""
    present = {month for (month,) in connection.execute("SELECT DISTINCT slot FROM usage_month")}
    present |= {month for (month,) in connection.execute("SELECT DISTINCT slot FROM group_month")}
    present |= {month_of(day) for (day,) in connection.execute("SELECT DISTINCT slot FROM usage_day")}
    present |= {month_of(day) for (day,) in connection.execute("SELECT DISTINCT slot FROM group_day")}
    return sorted(_MONTHS + month for month in present)


def of_day(connection: sqlite3.Connection, day: int) -> list[Section]:
    """Within a transaction: what the rollups of a day have to be, from its rows."""
    quarters = _recomputed(connection, day)
    groups = by_group(connection, quarters)
    first = day * QUARTERS
    return [
        Section("usage_quarter", first, first + QUARTERS, quarters),
        Section("usage_day", day, day + 1, by_day(quarters)),
        Section("group_quarter", first, first + QUARTERS, groups),
        Section("group_day", day, day + 1, by_day(groups)),
    ]


def of_month(connection: sqlite3.Connection, month: int) -> list[Section]:
    """Within a transaction: what the rollups of a month have to be, from those of its days: some may lack rows."""
    low, high = first_day(month), first_day(month + 1)
    return [
        Section("usage_month", month, month + 1, by_month(_stored(connection, "usage_day", low, high))),
        Section("group_month", month, month + 1, by_month(_stored(connection, "group_day", low, high))),
    ]


def differences(connection: sqlite3.Connection, sections: list[Section]) -> list[Difference]:
    """Within the transaction of the sections."""
    differing: list[Difference] = []
    for section in sections:
        stored = _stored(connection, section.table, section.low, section.high)
        for key in sorted(stored.keys() | section.rollup.keys()):
            before, after = stored.get(key, _NOTHING), section.rollup.get(key, _NOTHING)
            if before != after:
                differing += _describe(connection, section.table, key, before, after)
    return differing


def repair(connection: sqlite3.Connection, sections: list[Section]) -> None:
    """Within the write transaction of the sections: make the rollups what they have to be."""
    marks = ", ".join("?" * (len(SUMS) + 2))
    for table, low, high, rollup in sections:
        connection.execute(f"DELETE FROM {table} WHERE slot >= ? AND slot < ?", (low, high))
        rows = [(*key, *rollup[key]) for key in sorted(rollup)]
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def _stored(connection: sqlite3.Connection, table: Table | GroupTable, low: int, high: int) -> Rollup:
    rows = connection.execute(f"SELECT * FROM {table} WHERE slot >= ? AND slot < ?", (low, high))
    return {(slot, series): sums for slot, series, *sums in rows}


def _recomputed(connection: sqlite3.Connection, day: int) -> Rollup:
    start, end = day * DAY, (day + 1) * DAY
    rollup: Rollup = defaultdict(lambda: [0] * len(SUMS))
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


def _describe(
    connection: sqlite3.Connection,
    table: Table | GroupTable,
    key: tuple[int, int],
    stored: list[int],
    recomputed: list[int],
) -> Iterator[Difference]:
    slot, number = key
    if table.endswith("_month"):
        slot, unit, form = first_day(slot), DAY, "%Y-%m"
    else:
        unit, form = (DAY, "%Y-%m-%d") if table.endswith("_day") else (QUARTER, "%Y-%m-%dT%H:%MZ")
    when = (_EPOCH + timedelta(microseconds=slot * unit)).strftime(form)
    is_group = table.startswith("group_")
    names = ("team", "model", "tags") if is_group else ("key", "person", "team", "model", "tags")
    series = connection.execute(_GROUP if is_group else _SERIES, (number,)).fetchone() or ()
    labels = "".join(f" {name}={value}" for name, value in zip(names, series, strict=False) if value)
    labels = f" of all keys{labels}" if is_group else labels
    for name, before, after in zip(SUMS, stored, recomputed, strict=True):
        if before != after:
            yield Difference(f"{when}{labels} {name}", before, after)

"""Whether rollups are the sums of their rows, a day at a time, and how they are made so."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from modelmux.store.ledger.base import Difference
from modelmux.store.ledger.slots import DAY, QUARTER, QUARTERS
from modelmux.store.ledger.sqlite_append import SUMS, Rollup, by_day
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
UNION SELECT at / {DAY} FROM ledger INDEXED BY ledger_displaced_by_time WHERE displaced = 1 AND at >= :first * {DAY}
"""
_NOTHING: Final = [0] * len(SUMS)
_SERIES: Final = (
    "SELECT k.name, s.person, s.team, s.model, s.tags FROM ledger_series AS s "
    "JOIN ledger_key AS k ON k.number = s.key WHERE s.number = ?"
)


def days(connection: sqlite3.Connection) -> list[int]:
    """The days, in order, whose rollups can be recomputed: those of before lack rows."""
    (dropped_before,) = connection.execute("SELECT dropped_before FROM ledger_state").fetchone()
    first = -(-dropped_before // DAY)
    present = {day for (day,) in connection.execute(_DAYS, {"first": first})}
    present |= _with_rows(connection, first)
    return sorted(present)


def differences(connection: sqlite3.Connection, day: int) -> list[Difference]:
    """Within a transaction: what differs in the rollups of a day."""
    recomputed = _recomputed(connection, day)
    differing: list[Difference] = []
    for table, low, width, expected in (
        ("usage_quarter", day * QUARTERS, QUARTERS, recomputed),
        ("usage_day", day, 1, by_day(recomputed)),
    ):
        stored = {
            (slot, series): sums
            for slot, series, *sums in connection.execute(
                f"SELECT * FROM {table} WHERE slot >= ? AND slot < ?", (low, low + width)
            )
        }
        for key in sorted(stored.keys() | expected.keys()):
            before, after = stored.get(key, _NOTHING), expected.get(key, _NOTHING)
            if before != after:
                differing += _describe(connection, table, key, before, after)
    return differing


def repair(connection: sqlite3.Connection, day: int) -> None:
    """Within a write transaction: replace the rollups of a day by the sums of its rows."""
    recomputed = _recomputed(connection, day)
    for table, low, width, rollup in (
        ("usage_quarter", day * QUARTERS, QUARTERS, recomputed),
        ("usage_day", day, 1, by_day(recomputed)),
    ):
        connection.execute(f"DELETE FROM {table} WHERE slot >= ? AND slot < ?", (low, low + width))
        marks = ", ".join("?" * (len(SUMS) + 2))
        connection.executemany(
            f"INSERT INTO {table} VALUES ({marks})", [(*key, *sums) for key, sums in sorted(rollup.items())]
        )


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
    connection: sqlite3.Connection, table: str, key: tuple[int, int], stored: list[int], recomputed: list[int]
) -> Iterator[Difference]:
    slot, number = key
    unit = QUARTER if table == "usage_quarter" else DAY
    at = _EPOCH + timedelta(microseconds=slot * unit)
    when = f"{at:%Y-%m-%dT%H:%MZ}" if table == "usage_quarter" else f"{at:%Y-%m-%d}"
    series = connection.execute(_SERIES, (number,)).fetchone() or ()
    labels = "".join(
        f" {name}={value}"
        for name, value in zip(("key", "person", "team", "model", "tags"), series, strict=False)
        if value
    )
    for name, before, after in zip(SUMS, stored, recomputed, strict=True):
        if before != after:
            yield Difference(f"{when}{labels} {name}", before, after)

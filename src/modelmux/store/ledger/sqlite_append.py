"""Rows of the ledger and their part of the rollups, written within one transaction."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import add
from typing import Final, TypeVar

from modelmux.store.ledger.slots import DAY, QUARTER, QUARTERS, month_of
from modelmux.store.ledger.sqlite_rows import (
    COSTS,
    COUNTS,
    KINDS,
    Context,
    Row,
    context_bytes,
    first_id,
    rest_of,
    tags_text,
    without_choices,
)

#: Different sets of tags that rollups have for one day; further ones are added up as ``OTHER``.
MOST_TAG_SETS: Final = 1_000
#: In the column ``tags`` of a series; JSON, but not of pairs.
OTHER: Final = '"other"'
#: Contexts after which those of new rows lack what clients choose, which each row has then for itself.
MOST_CONTEXTS: Final = 20_000
#: Numbers of texts in memory. The cache is emptied when it has so many.
_MOST_CACHED: Final = 50_000

#: Columns of a rollup that are sums, in the order of its table.
SUMS: Final = ("requests", "errors", "unpriced", *COUNTS, *COSTS)
_UNPRICED: Final = SUMS.index("unpriced")
_ZERO_COST: Final = (0,) * len(COSTS)
_INSERT: Final = f"INSERT INTO ledger VALUES ({', '.join('?' * 25)})"
_UPSERTS: Final = {
    table: f"INSERT INTO {table} VALUES (?, ?, {', '.join('?' * len(SUMS))}) ON CONFLICT (slot, series) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    for table in ("usage_quarter", "usage_day", "usage_month")
}
_UNPRICED_REQUEST: Final = "SELECT at, series FROM ledger WHERE id = ? AND corrects IS NULL AND cost_input IS NULL"
_PRICED_CORRECTIONS: Final = "SELECT id FROM ledger WHERE corrects = ? AND cost_input IS NOT NULL"
#: Parameters of one statement; SQLite takes more.
_MOST_IDS: Final = 500

Key = TypeVar("Key")
Value = TypeVar("Value")
#: (slot, series) -> values of ``SUMS``.
Rollup = dict[tuple[int, int], list[int]]


class Appender:
    """Adds rows. It remembers numbers of texts from one transaction to the next: ``forget`` after one that failed.

    :param tags: the names of the tags that usage is reported by.
    """

    def __init__(self, tags: Iterable[str]) -> None:
        self._reported = frozenset(tags)
        self._keys: dict[str, int] = {}
        self._series: dict[tuple[int, str, str, str, str], int] = {}
        self._contexts: dict[Context, tuple[int, bool]] = {}
        self._tag_sets: dict[tuple[int, str], str] = {}

    def forget(self) -> None:
        for cache in (self._keys, self._series, self._contexts, self._tag_sets):
            cache.clear()

    def append(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Within a transaction."""
        new = _new(connection, rows)
        quarters: Rollup = defaultdict(lambda: [0] * len(SUMS))
        connection.executemany(_INSERT, [self._values(connection, row, quarters) for row in new.values()])
        _count_unpriced(connection, new, quarters)
        _add(connection, "usage_quarter", quarters)
        days = by_day(quarters)
        _add(connection, "usage_day", days)
        _add(connection, "usage_month", by_month(days))

    def _values(self, connection: sqlite3.Connection, row: Row, quarters: Rollup) -> tuple[object, ...]:
        """The values of the columns of a row, which is added to the rollup."""
        entry = row.entry
        key = self._key(connection, row.key)
        tags = self._tags(connection, row)
        series = self._series_number(connection, (key, row.person, row.team, row.model, tags))
        context, in_context = self._context(connection, row.context)
        sums = quarters[entry.at // QUARTER, series]
        sums[0] += row.is_request
        sums[1] += row.failed
        counts = row.sums if row.is_priced else (*row.sums[: len(COUNTS)], *_ZERO_COST)
        sums[_UNPRICED + 1 :] = map(add, sums[_UNPRICED + 1 :], counts)
        return (
            entry.id, entry.at, key, series, context, KINDS.index(entry.kind), row.failed, row.displaced,
            entry.corrects, row.end_user, None if tags == row.tags else row.tags, *row.sums,
            rest_of(row, in_context=in_context),
        )  # fmt: skip

    def _key(self, connection: sqlite3.Connection, name: str) -> int:
        number = self._keys.get(name)
        if number is None:
            number = _number(connection, "ledger_key", {"name": name})
            _remember(self._keys, name, number)
        return number

    def _series_number(self, connection: sqlite3.Connection, values: tuple[int, str, str, str, str]) -> int:
        number = self._series.get(values)
        if number is None:
            columns = dict(zip(("key", "person", "team", "model", "tags"), values, strict=True))
            number = _number(connection, "ledger_series", columns)
            _remember(self._series, values, number)
        return number

    def _context(self, connection: sqlite3.Connection, context: Context) -> tuple[int, bool]:
        """The number of a context, and whether it has what the client chose."""
        known = self._contexts.get(context)
        if known is not None:
            return known
        data, complete = context_bytes(context), True
        row = connection.execute("SELECT number FROM ledger_context WHERE data = ?", (data,)).fetchone()
        if row is None:
            (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM ledger_context").fetchone()
            complete = last < MOST_CONTEXTS
            data = data if complete else context_bytes(without_choices(context))
        number = row[0] if row else _number(connection, "ledger_context", {"data": data}, outcome=context.outcome)
        if complete:
            _remember(self._contexts, context, (number, complete))
        return number, complete

    def _tags(self, connection: sqlite3.Connection, row: Row) -> str:
        """The tags of the series of a row."""
        if not row.tags or not self._reported:
            return ""
        day = row.entry.at // DAY
        known = self._tag_sets.get((day, row.tags))
        if known is None:
            known = tags_text(tuple(tag for tag in row.entry.tags if tag[0] in self._reported))
            if known and not _admit(connection, day, known):
                known = OTHER
            _remember(self._tag_sets, (day, row.tags), known)
        return known


def by_day(quarters: Rollup) -> Rollup:
    """Rollups by quarter of an hour -> by day."""
    return _coarser(quarters, lambda slot: slot // QUARTERS)


def by_month(days: Rollup) -> Rollup:
    """Rollups by day -> by month."""
    return _coarser(days, month_of)


def _coarser(rollup: Rollup, unit_of: Callable[[int], int]) -> Rollup:
    units = {slot: unit_of(slot) for slot in {slot for slot, _ in rollup}}
    coarser: Rollup = {}
    for (slot, series), sums in rollup.items():
        key = (units[slot], series)
        total = coarser.get(key)
        coarser[key] = sums if total is None else list(map(add, total, sums))
    return coarser


def _add(connection: sqlite3.Connection, table: str, rollup: Rollup) -> None:
    connection.executemany(_UPSERTS[table], [(*key, *rollup[key]) for key in sorted(rollup)])


def _admit(connection: sqlite3.Connection, day: int, tags: str) -> bool:
    """Whether a set of tags is one of those that the day has, or can have."""
    if connection.execute("SELECT 1 FROM ledger_tag_set WHERE day = ? AND tags = ?", (day, tags)).fetchone():
        return True
    (count,) = connection.execute("SELECT count(*) FROM ledger_tag_set WHERE day = ?", (day,)).fetchone()
    if count < MOST_TAG_SETS:
        connection.execute("INSERT INTO ledger_tag_set VALUES (?, ?)", (day, tags))
    return bool(count < MOST_TAG_SETS)


def _new(connection: sqlite3.Connection, rows: Sequence[Row]) -> dict[bytes, Row]:
    """Those that are not in the ledger, by id. Nothing else adds any before the end of the transaction."""
    (dropped_before,) = connection.execute("SELECT dropped_before FROM ledger_state").fetchone()
    dropped_id = first_id(dropped_before)
    new: dict[bytes, Row] = {}
    for row in rows:
        entry = row.entry
        # One that may have been dropped was here, and is in the rollups.
        if entry.at >= dropped_before or entry.id >= dropped_id:
            new.setdefault(entry.id, row)
    ids = list(new)
    for first in range(0, len(ids), _MOST_IDS):
        some = ids[first : first + _MOST_IDS]
        marks = ", ".join("?" * len(some))
        for (id,) in connection.execute(f"SELECT id FROM ledger WHERE id IN ({marks})", some).fetchall():
            del new[id]
    return new


def _count_unpriced(connection: sqlite3.Connection, new: dict[bytes, Row], quarters: Rollup) -> None:
    """Count the requests without a price: to none of their corrections it is known. The order in which rows arrive does
    not matter.

    :param new: rows that were added just now.
    """
    targets = {id for id, row in new.items() if row.is_request and not row.is_priced}
    targets |= {row.entry.corrects for row in new.values() if row.entry.corrects is not None and row.is_priced}
    for target in targets:
        row = connection.execute(_UNPRICED_REQUEST, (target,)).fetchone()
        if row is not None:
            corrections = {id for (id,) in connection.execute(_PRICED_CORRECTIONS, (target,))}
            was_counted = target not in new and corrections <= new.keys()
            quarters[row[0] // QUARTER, row[1]][_UNPRICED] += (not corrections) - was_counted


def _number(connection: sqlite3.Connection, table: str, unique: dict[str, object], **others: object) -> int:
    """The number of a row, which is added if there is none."""
    condition = " AND ".join(f"{name} = ?" for name in unique)
    row = connection.execute(f"SELECT number FROM {table} WHERE {condition}", tuple(unique.values())).fetchone()
    if row is not None:
        return int(row[0])
    values = unique | others
    insert = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
    number = connection.execute(insert, tuple(values.values())).lastrowid
    assert number is not None
    return number


def _remember(cache: dict[Key, Value], key: Key, value: Value) -> None:
    if len(cache) >= _MOST_CACHED:
        cache.clear()
    cache[key] = value

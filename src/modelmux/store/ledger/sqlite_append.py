"""Rows of the ledger and their part of the rollups, written within one transaction."""

from __future__ import annotations

import itertools
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import add
from typing import Final, NamedTuple, TypeVar

from modelmux.accounts.entry import Entry
from modelmux.store.ledger.slots import DAY, OF_GROUPS, QUARTER, QUARTERS, month_of
from modelmux.store.ledger.sqlite_rows import (
    COSTS,
    COUNTS,
    KINDS,
    Context,
    Row,
    clean,
    context_bytes,
    context_fields,
    first_id,
    is_displaced,
    is_failed,
    pack,
    rest_of,
    tags_text,
)
from modelmux.store.ledger.sqlite_windows import book

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
_OUTCOME: Final = Context.__struct_fields__.index("outcome")
_ZERO_COST: Final = (0,) * len(COSTS)
_INSERT: Final = f"INSERT INTO ledger VALUES ({', '.join('?' * 25)})"
_UPSERTS: Final[dict[str, str]] = {
    table: f"INSERT INTO {table} VALUES (?, ?, {', '.join('?' * len(SUMS))}) ON CONFLICT (slot, series) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    for table in itertools.chain.from_iterable(OF_GROUPS.items())
}
#: Of a series that there is not, which only a damaged file has.
NO_GROUP: Final = 0
_GROUP_OF: Final = (
    "SELECT g.number FROM ledger_series AS s JOIN ledger_group AS g ON g.team = s.team AND g.model = s.model "
    "AND g.tags = s.tags WHERE s.number = ?"
)
_UNPRICED_REQUEST: Final = "SELECT at, series FROM ledger WHERE id = ? AND corrects IS NULL AND cost_input IS NULL"
_PRICED_CORRECTIONS: Final = "SELECT id FROM ledger WHERE corrects = ? AND cost_input IS NOT NULL"
#: Parameters of one statement; SQLite takes more.
_MOST_IDS: Final = 500

Key = TypeVar("Key")
Value = TypeVar("Value")
#: (slot, series) -> values of ``SUMS``.
Rollup = dict[tuple[int, int], list[int]]


class _Series(NamedTuple):
    """Where a row counts.

    :param row_tags: all tags of the row, if they are others than those of the series.
    """

    key: int
    number: int
    row_tags: str | None


class Appender:
    """Adds rows. It remembers numbers of texts from one transaction to the next: ``forget`` after one that failed.

    :param tags: the names of the tags that usage is reported by.
    """

    def __init__(self, tags: Iterable[str]) -> None:
        self._reported = frozenset(tags)
        self._series: dict[tuple[object, ...], _Series] = {}
        self._contexts: dict[tuple[object, ...], int] = {}
        self._groups: dict[int, int] = {}

    def forget(self) -> None:
        self._series.clear()
        self._groups.clear()
        self._contexts.clear()

    def append(self, connection: sqlite3.Connection, rows: Sequence[Row], holder: str | None = None) -> None:
        """Within a transaction.

        :param holder: the process whose leases the rows are spent from; None if it has none.
        """
        new = _new(connection, rows)
        book(connection, holder, (debit for row in new.values() for debit in row.entry.debits))
        quarters: Rollup = defaultdict(lambda: [0] * len(SUMS))
        connection.executemany(_INSERT, [self._values(connection, row, quarters) for row in new.values()])
        _count_unpriced(connection, new, quarters)
        _add_all(connection, "usage", quarters)
        _add_all(connection, "group", by_group(connection, quarters, self._groups))

    def _values(self, connection: sqlite3.Connection, row: Row, quarters: Rollup) -> tuple[object, ...]:
        """The values of the columns of a row, which is added to the rollup."""
        entry, numbers = row
        day = entry.at // DAY if entry.tags else None
        dimensions = (entry.key, entry.person, entry.team, entry.model, entry.tags, day)
        series = self._series.get(dimensions)
        if series is None:
            series = self._find_series(connection, entry)
            _remember(self._series, dimensions, series)
        fields = context_fields(entry)
        context = self._contexts.get(fields)
        is_complete = True
        if context is None:
            context, is_complete = _find_context(connection, fields)
            if is_complete:
                _remember(self._contexts, fields, context)
        failed = is_failed(entry)
        counted = numbers if entry.cost is not None else numbers[: -len(COSTS)] + _ZERO_COST
        sums = quarters[entry.at // QUARTER, series.number]
        sums[:] = map(add, sums, (entry.corrects is None, failed, 0, *counted))
        return (
            entry.id, entry.at, series.key, series.number, context, KINDS.index(entry.kind), failed,
            is_displaced(entry), entry.corrects, pack(entry.end_user), series.row_tags, *numbers,
            rest_of(entry, with_choices=not is_complete),
        )  # fmt: skip

    def _find_series(self, connection: sqlite3.Connection, entry: Entry) -> _Series:
        all_tags = tags_text(entry.tags)
        tags = tags_text(tuple(tag for tag in entry.tags if tag[0] in self._reported))
        if tags and not _admit(connection, entry.at // DAY, tags):
            tags = OTHER
        key = _number(connection, "ledger_key", {"name": clean(entry.key)})
        person, team, model = (clean(text) or "" for text in (entry.person, entry.team, entry.model))
        columns = {"key": key, "person": person, "team": team, "model": model, "tags": tags}
        number = _number(connection, "ledger_series", columns)
        _number(connection, "ledger_group", {"team": team, "model": model, "tags": tags})
        return _Series(key, number, None if tags == all_tags else all_tags)


def by_group(connection: sqlite3.Connection, rollup: Rollup, known: dict[int, int] | None = None) -> Rollup:
    """A rollup by series -> by group, which has all keys and people.

    :param known: groups of series, from one call to the next.
    """
    groups: dict[int, int] = {} if known is None else known
    grouped: Rollup = {}
    for (slot, series), sums in rollup.items():
        group = groups.get(series)
        if group is None:
            (group,) = connection.execute(_GROUP_OF, (series,)).fetchone() or (NO_GROUP,)
            _remember(groups, series, group)
        total = grouped.get((slot, group))
        grouped[slot, group] = sums if total is None else list(map(add, total, sums))
    return grouped


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


def _add_all(connection: sqlite3.Connection, kind: str, quarters: Rollup) -> None:
    """:param kind: ``usage`` or ``group``."""
    days = by_day(quarters)
    for unit, rollup in (("quarter", quarters), ("day", days), ("month", by_month(days))):
        _add(connection, f"{kind}_{unit}", rollup)


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
    targets = set()
    for id, row in new.items():
        corrects, is_priced = row.entry.corrects, row.entry.cost is not None
        if corrects is None and not is_priced:
            targets.add(id)
        elif corrects is not None and is_priced:
            targets.add(corrects)
    for target in targets:
        row = connection.execute(_UNPRICED_REQUEST, (target,)).fetchone()
        if row is not None:
            corrections = {id for (id,) in connection.execute(_PRICED_CORRECTIONS, (target,))}
            was_counted = target not in new and corrections <= new.keys()
            quarters[row[0] // QUARTER, row[1]][_UNPRICED] += (not corrections) - was_counted


def _find_context(connection: sqlite3.Connection, fields: tuple[object, ...]) -> tuple[int, bool]:
    """The number of a context, and whether it has what the client chose."""
    data = context_bytes(fields, with_choices=True)
    row = connection.execute("SELECT number FROM ledger_context WHERE data = ?", (data,)).fetchone()
    if row is not None:
        return int(row[0]), True
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM ledger_context").fetchone()
    is_complete = last < MOST_CONTEXTS
    data = data if is_complete else context_bytes(fields, with_choices=False)
    return _number(connection, "ledger_context", {"data": data}, outcome=fields[_OUTCOME]), is_complete


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

"""Rows of the ledger and their part of the rollups, written within one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from modelmux.accounts.entry import Entry
from modelmux.store.ledger.rollups import (
    MOST_CONTEXTS,
    MOST_TAG_SETS,
    NO_GROUP,
    OTHER,
    UNPRICED,
    Rollup,
    Series,
    by_month,
    coarser,
    columns_of,
    count,
    grouped,
    new_rollup,
    priced_targets,
    remember,
    unpriced_change,
)
from modelmux.store.ledger.slots import DAY, QUARTER
from modelmux.store.ledger.sqlite_rollups import upsert
from modelmux.store.ledger.sqlite_rows import Context, Row, clean, context_bytes, context_fields, first_id, tags_text
from modelmux.store.ledger.sqlite_sealed import add_sealed
from modelmux.store.ledger.sqlite_windows import book

_OUTCOME: Final = Context.__struct_fields__.index("outcome")
#: Rows of one statement. SQLite lets other threads run meanwhile, and to have its turn again costs a thread about as
#: much as a row does. 32 rows have 800 parameters, which every SQLite takes.
_AT_ONCE: Final = (32, 4, 1)
_INSERTS: Final = {
    rows: "INSERT INTO ledger VALUES " + ", ".join([f"({', '.join('?' * 25)})"] * rows) for rows in _AT_ONCE
}
_GROUP_OF: Final = (
    "SELECT g.number FROM ledger_series AS s JOIN ledger_group AS g ON g.team = s.team AND g.model = s.model "
    "AND g.tags = s.tags WHERE s.number = ?"
)
_UNPRICED_REQUEST: Final = "SELECT at, series FROM ledger WHERE id = ? AND corrects IS NULL AND cost_input IS NULL"
_PRICED_CORRECTIONS: Final = "SELECT id FROM ledger WHERE corrects = ? AND cost_input IS NOT NULL"
#: Parameters of one statement; SQLite takes more.
_MOST_IDS: Final = 500


class Appender:
    """Adds rows. It remembers numbers of texts from one transaction to the next: ``forget`` after one that failed.

    :param tags: the names of the tags that usage is reported by.
    """

    def __init__(self, tags: Iterable[str]) -> None:
        self._reported = frozenset(tags)
        self._series: dict[tuple[object, ...], Series] = {}
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
        quarters = new_rollup()
        _insert(connection, [self._values(connection, row, quarters) for row in new.values()])
        _count_unpriced(connection, new, quarters)
        _add_all(connection, "usage", quarters)
        groups = by_group(connection, quarters, self._groups)
        _add_all(connection, "group", groups)
        add_sealed(connection, quarters, groups)

    def _values(self, connection: sqlite3.Connection, row: Row, quarters: Rollup) -> tuple[object, ...]:
        """The values of the columns of a row, which is added to the rollup."""
        entry = row.entry
        day = entry.at // DAY if entry.tags else None
        dimensions = (entry.key, entry.person, entry.team, entry.model, entry.tags, day)
        series = self._series.get(dimensions)
        if series is None:
            series = self._find_series(connection, entry)
            remember(self._series, dimensions, series)
        fields = context_fields(entry)
        context = self._contexts.get(fields)
        is_complete = True
        if context is None:
            context, is_complete = _find_context(connection, fields)
            if is_complete:
                remember(self._contexts, fields, context)
        count(quarters, row, series.number)
        return columns_of(row, series, context, with_choices=not is_complete)

    def _find_series(self, connection: sqlite3.Connection, entry: Entry) -> Series:
        all_tags = tags_text(entry.tags)
        tags = tags_text(tuple(tag for tag in entry.tags if tag[0] in self._reported))
        if tags and not _admit(connection, entry.at // DAY, tags):
            tags = OTHER
        key = _number(connection, "ledger_key", {"name": clean(entry.key)})
        person, team, model = (clean(text) or "" for text in (entry.person, entry.team, entry.model))
        columns = {"key": key, "person": person, "team": team, "model": model, "tags": tags}
        number = _number(connection, "ledger_series", columns)
        _number(connection, "ledger_group", {"team": team, "model": model, "tags": tags})
        return Series(key, number, None if tags == all_tags else all_tags)


def by_group(connection: sqlite3.Connection, rollup: Rollup, known: dict[int, int] | None = None) -> Rollup:
    """A rollup by series -> by group, which has all keys and people.

    :param known: groups of series, from one call to the next.
    """
    cache: dict[int, int] = {} if known is None else known
    groups = dict[int, int]()
    for series in {series for _, series in rollup}:
        group = cache.get(series)
        if group is None:
            (group,) = connection.execute(_GROUP_OF, (series,)).fetchone() or (NO_GROUP,)
            remember(cache, series, group)
        groups[series] = group
    return grouped(rollup, groups)


def _add_all(connection: sqlite3.Connection, kind: str, quarters: Rollup) -> None:
    """:param kind: ``usage`` or ``group``."""
    days = coarser(quarters, "usage_day")
    for unit, rollup in (("quarter", quarters), ("day", days), ("month", by_month(days))):
        upsert(connection, f"{kind}_{unit}", rollup)


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


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """:param rows: the values of their columns."""
    first = 0
    for many in _AT_ONCE:
        while first + many <= len(rows):
            connection.execute(_INSERTS[many], [value for row in rows[first : first + many] for value in row])
            first += many


def _count_unpriced(connection: sqlite3.Connection, new: dict[bytes, Row], quarters: Rollup) -> None:
    """Count the requests without a price: to none of their corrections it is known. The order in which rows arrive does
    not matter.

    :param new: rows that were added just now.
    """
    for target in priced_targets(new):
        row = connection.execute(_UNPRICED_REQUEST, (target,)).fetchone()
        if row is not None:
            corrections = {id for (id,) in connection.execute(_PRICED_CORRECTIONS, (target,))}
            quarters[row[0] // QUARTER, row[1]][UNPRICED] += unpriced_change(target, corrections, new)


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

"""Pages of entries (see ``entry_pages``), and what corrects an entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from modelmux.accounts.entry import Entry
from modelmux.store.ledger.base import MOST_READ, EntryPage, EntryQuery
from modelmux.store.ledger.entry_pages import Range, are_errors, id_before, ranges_of, stored_value
from modelmux.store.ledger.sqlite_rows import COSTS, ENTRY_COLUMNS, ENTRY_JOINS, ENTRY_JOINS_BY_OUTCOME, clean, to_entry

#: Rows of the first steps of a search, which doubles them: a page is filled after few steps, most of the time.
_FIRST_STEP: Final = 2_000
_LARGEST_STEP: Final = 20_000
_TAG: Final = "tag:"
_CONDITIONS: Final = {
    "key": "k.name = ?",
    "person": "s.person = ?",
    "team": "instr('/' || s.team || '/', '/' || ? || '/')",
    "model": "s.model = ?",
    "outcome": "c.outcome = ?",
    "end_user": "l.end_user = ?",
    "kind": "l.kind = ?",
}
#: See ``are_errors``.
_ERRORS: Final = "(l.failed = 1 OR l.corrects IS NOT NULL)"
_HAS_TAG: Final = "instr(coalesce(l.tags, s.tags), ?)"
_MOST_IDS: Final = 500
_BY_ID: Final = f"SELECT {ENTRY_COLUMNS} FROM ledger AS l {ENTRY_JOINS} WHERE l.id = ?"


class _Filter(NamedTuple):
    """:param key: if one key is asked for, and an index has its rows. :param is_selective: rows may fail it.

    :param joins: in the order in which a row is looked into.
    """

    key: int | None
    condition: str
    values: list[Any]
    is_selective: bool
    joins: str


def entries(connection: sqlite3.Connection, query: EntryQuery) -> EntryPage:
    """Within a transaction."""
    matching = _filter(connection, query)
    if matching is None:
        return EntryPage([])
    rows: list[Entry] = []
    read = 0
    for ids in ranges_of(query):
        step = _FIRST_STEP
        at: Range | None = ids
        while at is not None:
            size = min(step, MOST_READ - read)
            if size == 0:
                return EntryPage(rows, (at.high if query.newest_first else at.low).ljust(16, b"\0"))
            chunk, following, count = _chunk(connection, query, matching, at, size)
            read += count
            rows += _matching(connection, query, matching, chunk, query.limit + 1 - len(rows))
            if len(rows) > query.limit:
                return EntryPage(rows[: query.limit], rows[query.limit - 1].id)
            step, at = min(2 * step, _LARGEST_STEP), following
    return EntryPage(rows)


def corrections(connection: sqlite3.Connection, ids: Sequence[bytes]) -> list[Entry]:
    """Within a transaction: all rows that correct these, by id."""
    rows = list[Any]()
    for first in range(0, len(ids), _MOST_IDS):
        some = ids[first : first + _MOST_IDS]
        rows += connection.execute(
            f"SELECT {ENTRY_COLUMNS} FROM ledger AS l INDEXED BY ledger_by_corrected {ENTRY_JOINS} "
            f"WHERE l.corrects IS NOT NULL AND l.corrects IN ({', '.join('?' * len(some))})",
            list(some),
        )
    return sorted(map(to_entry, rows), key=lambda entry: entry.id)


def by_id(connection: sqlite3.Connection, ids: Sequence[bytes]) -> list[Entry]:
    """Within a transaction: the rows with these ids, in their order."""
    rows = (connection.execute(_BY_ID, (id,)).fetchone() for id in ids)
    return [to_entry(row) for row in rows if row is not None]


def _filter(connection: sqlite3.Connection, query: EntryQuery) -> _Filter | None:
    """None if no row can match."""
    key = None
    conditions, values = [], list[Any]()
    for name, wanted in query.where:
        if not wanted:  # SQLite could not use an index for a condition that is never true
            return None
        if name == "key" and len(wanted) == 1 and key is None:
            row = connection.execute("SELECT number FROM ledger_key WHERE name = ?", (clean(wanted[0]),)).fetchone()
            if row is None:
                return None
            (key,) = row
            continue
        one = _CONDITIONS.get(name, _HAS_TAG)
        conditions.append(f"({' OR '.join([one] * len(wanted))})")
        conditions += [_ERRORS] if are_errors(name, wanted) else []
        values += [stored_value(name, value) for value in wanted]
    if query.min_cost is not None:
        conditions.append(f"{' + '.join(f'l.{name}' for name in COSTS)} >= ?")
        values.append(query.min_cost)
    if query.start is not None:
        conditions.append("l.at >= ?")
        values.append(query.start)
    if query.end is not None:
        conditions.append("l.at < ?")
        values.append(query.end)
    joins = ENTRY_JOINS_BY_OUTCOME if "outcome" in dict(query.where) else ENTRY_JOINS
    return _Filter(key, " AND ".join(conditions) or "1", values, bool(conditions), joins)


def _source(matching: _Filter, ids: Range) -> tuple[str, list[Any]]:
    """FROM and WHERE of the rows of a range, and their parameters."""
    if ids.displaced:
        index, condition = "INDEXED BY ledger_displaced", "l.displaced = 1 AND +l.key = ?"
    else:
        index, condition = "INDEXED BY ledger_by_key", "l.key = ?"
    if matching.key is None:
        index, condition = (index, "l.displaced = 1") if ids.displaced else ("", "1")
    values = [] if matching.key is None else [matching.key]
    return f"ledger AS l {index} WHERE {condition} AND l.id > ? AND l.id < ?", [*values, ids.low, ids.high]


def _chunk(
    connection: sqlite3.Connection, query: EntryQuery, matching: _Filter, ids: Range, size: int
) -> tuple[Range, Range | None, int]:
    """The next rows of a range, what follows them, and how many they are at most."""
    if not matching.is_selective:
        return ids, None, query.limit + 1
    source, values = _source(matching, ids)
    order = "DESC" if query.newest_first else "ASC"
    row = connection.execute(
        f"SELECT l.id FROM {source} ORDER BY l.id {order} LIMIT 1 OFFSET ?", [*values, size - 1]
    ).fetchone()
    if row is None:
        return ids, None, size
    (last,) = row
    if query.newest_first:
        return ids._replace(low=id_before(last)), ids._replace(high=last), size
    return ids._replace(high=last + b"\0"), ids._replace(low=last), size


def _matching(
    connection: sqlite3.Connection, query: EntryQuery, matching: _Filter, ids: Range, limit: int
) -> list[Entry]:
    source, values = _source(matching, ids)
    table, _, condition = source.partition(" WHERE ")
    order = "DESC" if query.newest_first else "ASC"
    rows = connection.execute(
        f"SELECT {ENTRY_COLUMNS} FROM {table} {matching.joins} WHERE {condition} AND {matching.condition} "
        f"ORDER BY l.id {order} LIMIT ?",
        [*values, *matching.values, limit],
    )
    return [to_entry(row) for row in rows]

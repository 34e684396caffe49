"""A ledger of many rows in little time: what the gateway would have written, made in bulk.

Rows are inserted in the order of their ids, the index by key is made after them, and rollups are one statement for each
day or month. No row becomes an object of the gateway's: ``usage verify`` and the test of this module compare what is
made here with what the gateway makes of the same requests.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bench.ledger_rows import DAY, DAYS, START, TAGS, columns_of, entry_of, instants, variant_of
from modelmux.accounts.entry import Entry
from modelmux.store.ledger.rollups import SUMS
from modelmux.store.ledger.slots import QUARTERS, first_day, month_of
from modelmux.store.ledger.sqlite_blocks import make_next
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.ledger.sqlite_rows import COSTS, COUNTS, context_bytes, context_fields, first_id, tags_text
from modelmux.store.ledger.sqlite_sealed import seal_next

_INDEX: Final = "ledger_by_key"
_KINDS: Final = ("usage", "group")
_SETTINGS: Final = (
    "PRAGMA journal_mode = DELETE",  # out of the write-ahead log, before it can be off
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -400000",
)
_INSERT: Final = f"INSERT INTO ledger VALUES ({', '.join('?' * 25)})"
_OF_ROWS: Final = (
    f"INSERT INTO usage_quarter SELECT at / 900000000, series, count(*), sum(failed), 0, "
    f"{', '.join(f'sum({name})' for name in (*COUNTS, *COSTS))} FROM ledger WHERE id >= ? AND id < ? GROUP BY 1, 2"
)
_ADDED: Final = ", ".join(f"sum(u.{name})" for name in SUMS)
_DAY_OF: Final = (
    f"INSERT INTO {{0}}_day SELECT u.slot / {QUARTERS}, u.series, {_ADDED} FROM {{0}}_quarter AS u "
    "WHERE u.slot >= ? AND u.slot < ? GROUP BY 1, 2"
)
_GROUPS_OF: Final = (
    f"INSERT INTO group_quarter SELECT u.slot, g.number, {_ADDED} FROM usage_quarter AS u "
    "CROSS JOIN group_of AS g ON g.series = u.series WHERE u.slot >= ? AND u.slot < ? GROUP BY 1, 2"
)
_MONTH_OF: Final = (
    f"INSERT INTO {{0}}_month SELECT ?, u.series, {_ADDED} FROM {{0}}_day AS u WHERE u.slot >= ? AND u.slot < ? "
    "GROUP BY u.series"
)


class WrongLedger(Exception):
    """A folder has another ledger than the one that is wanted."""


def fill(path: Path, rows: int, keys: int) -> bool:
    """Make a ledger with sealed days, unless it is there. :returns: whether it was made.

    :raises WrongLedger: there is another one, or one that was not finished.
    """
    if path.exists():
        mark, wanted = _mark(path), _described(rows, keys)
        found = mark.read_text("utf-8") if mark.exists() else "one that was not finished"
        if found != wanted:
            raise WrongLedger(f"{path}: wanted {wanted}, found {found}; delete it, or name another folder")
        return False
    SqliteLedger(path, TAGS).check()
    began = time.monotonic()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in _SETTINGS:
            connection.execute(statement)
        connection.execute("BEGIN")
        (index,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (_INDEX,)).fetchone()
        connection.execute(f"DROP INDEX {_INDEX}")
        texts = _Texts(keys)
        connection.executemany(_INSERT, texts.rows(rows))
        texts.write(connection)
        print(f"{rows:,} rows inserted in {time.monotonic() - began:,.0f} s", flush=True)
        connection.execute(index)
        print(f"their index made after {time.monotonic() - began:,.0f} s", flush=True)
        _add_up(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    print(f"rollups made and days sealed after {time.monotonic() - began:,.0f} s", flush=True)
    return True


def mark_filled(path: Path, rows: int, keys: int) -> None:
    """What was made is complete, and may be used again."""
    _mark(path).write_text(_described(rows, keys), "utf-8")


def _mark(path: Path) -> Path:
    return path.with_name(path.name + "-filled")


def _described(rows: int, keys: int) -> str:
    return f"{rows:,} rows of {keys:,} keys"


class _Texts:
    """What rows refer to by numbers."""

    def __init__(self, keys: int) -> None:
        self._keys = keys
        self._found: dict[tuple[int, int], tuple[int, int, int, str]] = {}
        self._tables: dict[str, dict[tuple[Any, ...], int]] = {
            name: {} for name in ("ledger_key", "ledger_series", "ledger_context", "ledger_group")
        }
        self._groups: dict[int, int] = {}
        self._tag_sets: set[tuple[int, str]] = set()

    def rows(self, count: int) -> Iterator[tuple[object, ...]]:
        for at, number in instants(count):
            repeated = number % self._keys, variant_of(number)
            found = self._found.get(repeated)
            if found is None:
                found = self._found[repeated] = self._find(entry_of(at, number, self._keys))
            key, series, context, tags = found
            self._tag_sets.add((at // DAY, tags))
            yield columns_of(at, number, key, series, context)

    def write(self, connection: sqlite3.Connection) -> None:
        for table, numbers in self._tables.items():
            marks = ", ".join("?" * (1 + len(next(iter(numbers), ()))))
            connection.executemany(
                f"INSERT INTO {table} VALUES ({marks})", ((number, *values) for values, number in numbers.items())
            )
        connection.executemany("INSERT INTO ledger_tag_set VALUES (?, ?)", sorted(self._tag_sets))
        connection.execute("CREATE TEMP TABLE group_of (series INTEGER PRIMARY KEY, number INTEGER)")
        connection.executemany("INSERT INTO group_of VALUES (?, ?)", self._groups.items())

    def _find(self, entry: Entry) -> tuple[int, int, int, str]:
        """The numbers of key, series and context, and the tags."""
        key, tags = self._number("ledger_key", entry.key), tags_text(entry.tags)
        series = self._number("ledger_series", key, entry.person, entry.team, entry.model, tags)
        self._groups[series] = self._number("ledger_group", entry.team, entry.model, tags)
        data = context_bytes(context_fields(entry), with_choices=True)
        return key, series, self._number("ledger_context", entry.outcome, data), tags

    def _number(self, table: str, *values: Any) -> int:
        numbers = self._tables[table]
        return numbers.setdefault(values, len(numbers) + 1)


def _add_up(connection: sqlite3.Connection) -> None:
    """The rollups of the rows, as the gateway has them once the days are over."""
    first = START // DAY
    for day in range(first, first + DAYS):
        quarters = (day * QUARTERS, (day + 1) * QUARTERS)
        connection.execute(_OF_ROWS, (first_id(day * DAY), first_id((day + 1) * DAY)))
        connection.execute(_GROUPS_OF, quarters)
        for kind in _KINDS:
            connection.execute(_DAY_OF.format(kind), quarters)
        seal_next(connection, day + 1)
    for month in range(month_of(first), month_of(first + DAYS - 1) + 1):
        for kind in _KINDS:
            connection.execute(_MONTH_OF.format(kind), (month, first_day(month), first_day(month + 1)))
    while make_next(connection):
        pass

"""Which keys or people cost most, in SQLite (see ``usage_ranks``)."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

from modelmux.accounts.usage_query import Group, UsageQuery
from modelmux.accounts.usage_top import in_order
from modelmux.store.ledger import sqlite_blocks
from modelmux.store.ledger.slots import additive_parts
from modelmux.store.ledger.sqlite_rows import COSTS
from modelmux.store.ledger.usage_groups import TABLES
from modelmux.store.ledger.usage_ranks import NO_RANKING, Ranking, at_least_as_expensive, wanted

_COSTS: Final = {
    table: f"SELECT series, {' + '.join(COSTS)} FROM {table} WHERE slot >= ? AND slot < ?" for table in TABLES
}
_GROUPS: Final = "SELECT number, '', '', team, model, tags FROM ledger_group"
_TEMPORARY: Final = "CREATE TEMP TABLE IF NOT EXISTS wanted (name TEXT, value TEXT, PRIMARY KEY (name, value))"
_WANTED: Final = "s.{0} IN (SELECT value FROM wanted WHERE name = '{0}')"
_LAST_SERIES: Final = "SELECT max(number) FROM ledger_series"
_USED: Final = ("CREATE TEMP TABLE IF NOT EXISTS used (series INTEGER PRIMARY KEY)", "DELETE FROM used")
_USE: Final = "INSERT INTO used VALUES (?)"
#: Rows that are read in the time of a look-up of one.
_LOOKUP: Final = 4
_KEY: Final = "SELECT name FROM ledger_key WHERE number = ?"


def rank(connection: sqlite3.Connection, query: UsageQuery, bounds: list[int], sealed: int) -> Ranking:
    """Within a transaction.

    SQLite groups by sorting, so costs are added up here: by number of series, then by group.

    :param bounds: of the buckets. :param sealed: days since 1970; of those before, there are hours.
    """
    all_groups = connection.execute(_GROUPS).fetchall()
    limits = wanted(query, all_groups)
    if limits is None:
        return NO_RANKING
    if sqlite_blocks.answers(connection):
        return sqlite_blocks.rank(connection, query, all_groups, bounds[0], bounds[-1], sealed)
    of_series: defaultdict[int, int] = defaultdict(int)
    for part in additive_parts(bounds[0], bounds[-1], sealed):
        for series, cost in connection.execute(_COSTS[part.table], (part.low, part.high)):
            of_series[series] += cost
    rows, groups = _series(connection, query, limits, of_series), dict[int, Any]()
    if len(query.group_by) == 1:
        groups.update(rows)  # there are many
    else:
        groups.update((number, tuple(values)) for number, *values in rows)
    of_numbers: defaultdict[Any, int] = defaultdict(int)
    for number, cost in of_series.items():
        if number in groups:
            of_numbers[groups[number]] += cost
    if not of_numbers:
        return NO_RANKING
    some = at_least_as_expensive(of_numbers, query.top)
    costs = {_named(connection, query, group): of_numbers[group] for group in some}
    return Ranking(in_order(costs)[: query.top], max(0, len(of_numbers) - query.top))


def set_wanted(connection: sqlite3.Connection, limits: Mapping[str, list[str]]) -> None:
    """For ``condition_of``. :param limits: column -> the values that count."""
    connection.execute(_TEMPORARY)
    connection.execute("DELETE FROM wanted")
    pairs = ((name, value) for name, values in limits.items() for value in values)
    connection.executemany("INSERT INTO wanted VALUES (?, ?)", pairs)


def condition_of(column: str) -> str:
    """Whether a series, ``s``, has one of the values that count."""
    return _WANTED.format(column)


def _series(
    connection: sqlite3.Connection, query: UsageQuery, limits: Mapping[str, list[str]], used: Collection[int]
) -> sqlite3.Cursor:
    """Number and groups of the series that count, keys as numbers: their names are many, and few are needed.

    :param used: those that are wanted; others may come as well.
    """
    set_wanted(connection, limits)
    conditions = " AND ".join(map(condition_of, limits)) or "1"
    columns = ", ".join(f"s.{name}" for name in query.group_by)
    source = "ledger_series AS s"
    (last,) = connection.execute(_LAST_SERIES).fetchone()
    if len(used) * _LOOKUP < (last or 0):  # else it takes less to read all of them
        for statement in _USED:
            connection.execute(statement)
        connection.executemany(_USE, ((number,) for number in used))
        source = "used CROSS JOIN ledger_series AS s ON s.number = used.series"
    return connection.execute(f"SELECT s.number, {columns} FROM {source} WHERE {conditions}")


def _named(connection: sqlite3.Connection, query: UsageQuery, group: Any) -> Group:
    values = group if isinstance(group, tuple) else (group,)
    return tuple(
        str(connection.execute(_KEY, (value,)).fetchone()[0] if name == "key" else value) or None
        for name, value in zip(query.group_by, values, strict=True)
    )

"""Reports, read from rollups alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Final

from modelmux.accounts.usage_pages import Position, UsagePage
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.accounts.usage_top import top_groups
from modelmux.store.ledger import sqlite_blocks
from modelmux.store.ledger.base import TooManyResults
from modelmux.store.ledger.rollups import SUMS
from modelmux.store.ledger.slots import SliceKind, Table
from modelmux.store.ledger.sqlite_ranks import condition_of, rank, set_wanted
from modelmux.store.ledger.sqlite_rows import clean
from modelmux.store.ledger.sqlite_sealed import sealed_before
from modelmux.store.ledger.usage_groups import (
    TABLES,
    Group,
    Series,
    Source,
    Totals,
    add_sums,
    additive_sources,
    bounds_of,
    grouping_of,
    is_of_groups,
    ranges_of,
    report_of,
    sources_of,
)
from modelmux.store.ledger.usage_pages import PageReader, Values
from modelmux.store.ledger.usage_ranks import NO_RANKING, is_ranked, of_all, of_groups, wanted, with_others

_DAYS: Final = "SELECT (SELECT min(slot) FROM group_day), (SELECT max(slot) FROM group_day)"
_SERIES: Final = (
    "SELECT s.number, k.name, s.person, s.team, s.model, s.tags FROM ledger_series AS s "
    "JOIN ledger_key AS k ON k.number = s.key"
)
_SERIES_OF: Final = {"key": f"{_SERIES} WHERE k.name = ?", "person": f"{_SERIES} WHERE s.person = ?"}
#: In the order of their names, by an index. The places are for a comparison, and conditions.
_COUNTS: Final = {
    "key": "SELECT k.name, count(*) FROM ledger_key AS k CROSS JOIN ledger_series AS s ON s.key = k.number "
    "WHERE k.name {0} ?{1} GROUP BY k.name ORDER BY k.name LIMIT ?",
    "person": "SELECT s.person, count(*) FROM ledger_series AS s WHERE s.person {0} ?{1} GROUP BY s.person "
    "ORDER BY s.person LIMIT ?",
}
_GROUPS: Final = "SELECT number, '', '', team, model, tags FROM ledger_group"
_SLICES: Final = (
    "SELECT number, '', '', iif(kind = 'team', value, ''), iif(kind = 'model', value, ''), "
    "iif(kind = 'tags', value, '') FROM ledger_slice WHERE kind = ?"
)
_USE: Final = {
    table: f"INSERT OR IGNORE INTO used SELECT DISTINCT u.series FROM part CROSS JOIN {table} AS u "
    "ON u.slot >= part.low AND u.slot < part.high"
    for table in TABLES
}
_USED_SERIES: Final = (
    "SELECT s.number, k.name, s.person, s.team, s.model, s.tags FROM used CROSS JOIN ledger_series AS s "
    "ON s.number = used.series CROSS JOIN ledger_key AS k ON k.number = s.key"
)
_SERIES_COUNT: Final = "SELECT count(*) FROM grouping"
#: Look-ups of single sums that take no longer than to read all sums of a period of a large gateway.
_MOST_LOOKUPS: Final = 200_000
_TEMPORARY: Final = (
    "CREATE TEMP TABLE IF NOT EXISTS part (number INTEGER PRIMARY KEY, low INTEGER, high INTEGER, place INTEGER)",
    "CREATE TEMP TABLE IF NOT EXISTS grouping (series INTEGER PRIMARY KEY, number INTEGER)",
    "CREATE TEMP TABLE IF NOT EXISTS used (series INTEGER PRIMARY KEY)",
)

_IN_PART: Final = "u.slot >= part.low AND u.slot < part.high"
_RESULTS: Final = (
    "SELECT DISTINCT part.place, grouping.number FROM part CROSS JOIN {} AS u "
    f"ON {_IN_PART} CROSS JOIN grouping ON grouping.series = u.series"
)


def usage(connection: sqlite3.Connection, query: UsageQuery, zone: tzinfo, most: int | None) -> list[UsageRow]:
    """Within a transaction. By bucket and group; groups without any usage are left out. :raises TooManyResults:"""
    bounds = bounds_of(query, zone, *connection.execute(_DAYS).fetchone())
    if not is_ranked(query, by_tags=sqlite_blocks.answers(connection)):
        rows = _report(connection, query, bounds, None if query.top else most)
        return top_groups(rows, query.top) if query.top else rows
    ranking = rank(connection, query, bounds, sealed_before(connection)) if bounds else NO_RANKING
    if not ranking.groups:
        return []
    return with_others(
        ranking, _report(connection, of_groups(query, ranking.groups), bounds, shown=set(ranking.groups)),
        _report(connection, of_all(query), bounds) if ranking.others else (),
    )  # fmt: skip


def usage_page(
    connection: sqlite3.Connection, query: UsageQuery, zone: tzinfo, after: Position, limit: int
) -> UsagePage:
    """Within a transaction. See ``Ledger.usage_page``."""
    bounds = bounds_of(query, zone, *connection.execute(_DAYS).fetchone())
    if not bounds:
        return UsagePage([])
    sources = sources_of(query, bounds, sealed_before(connection))
    reader = PageReader(query, sources, len(bounds) - 1, after, limit)
    if reader.is_by_values:
        limits = wanted(query, connection.execute(_GROUPS))
        if limits is None:
            return UsagePage([])
        set_wanted(connection, limits)
        while not reader.is_over:
            values = reader.values()
            chosen = reader.choose_values(_counts(connection, values, limits))
            series = [one for value in chosen for one in connection.execute(_SERIES_OF[values.name], (value,))]
            _read_chosen(connection, reader, query, bounds, sources, [series])
    else:
        offered = [list(_candidates(connection, query, source)) for source in sources]
        while not reader.is_over:
            _read_chosen(connection, reader, query, bounds, sources, offered)
    return reader.page()


def _read_chosen(
    connection: sqlite3.Connection, reader: PageReader, query: UsageQuery, bounds: list[int], sources: list[Source],
    offered: Sequence[Sequence[Series]],
) -> None:  # fmt: skip
    chosen = reader.choose(offered)
    totals: Totals = {}
    for source, rows in zip(sources, chosen.series, strict=True):
        _add_source(connection, source, rows, totals)
    reader.add(report_of(query, bounds, chosen.numbers, totals))


def _counts(connection: sqlite3.Connection, values: Values, limits: Mapping[str, list[str]]) -> list[tuple[str, int]]:
    """Keys or people, each with the number of its series that count. :param limits: see ``set_wanted``."""
    comparison = ">=" if values.is_included else ">"
    conditions = "".join(f" AND {condition_of(name)}" for name in limits)
    statement = _COUNTS[values.name].format(comparison, conditions)
    return connection.execute(statement, (clean(values.first), values.most)).fetchall()


def _report(
    connection: sqlite3.Connection, query: UsageQuery, bounds: list[int], most: int | None = None,
    shown: Container[Group] | None = None,
) -> list[UsageRow]:  # fmt: skip
    """:param most: results at most. :param shown: the groups that count; None for all. :raises TooManyResults:"""
    if not bounds:
        return []
    numbers: dict[Group, int] = {}
    totals: Totals = {}
    sources = sources_of(query, bounds, sealed_before(connection))
    series = [grouping_of(query, _candidates(connection, query, source), numbers, shown) for source in sources]
    if most is not None and len(numbers) * (len(bounds) - 1) > most:
        _check_size(
            connection, query, bounds, {one.slices: rows for one, rows in zip(sources, series, strict=True)}, most
        )
    for source, rows in zip(sources, series, strict=True):
        _add_source(connection, source, rows, totals)
    return report_of(query, bounds, numbers, totals)


def _check_size(
    connection: sqlite3.Connection, query: UsageQuery, bounds: list[int],
    series: Mapping[SliceKind | None, list[tuple[int, int]]], most: int,
) -> None:  # fmt: skip
    """Whether there is room for the results, before their sums are read. :raises TooManyResults:"""
    results: set[tuple[int, int]] = set()
    for source in additive_sources(query, bounds, sealed_before(connection)):
        _set_grouping(connection, series.get(source.slices, ()))
        for table in TABLES:
            parts = [(part.low, part.high, part.bucket) for part in source.parts if part.table == table]
            _set_parts(connection, parts)
            for result in connection.execute(_RESULTS.format(source.tables[table])) if parts else ():
                results.add(result)
                if len(results) > most:
                    raise TooManyResults(most)


def _add_source(
    connection: sqlite3.Connection, source: Source, rows: Sequence[tuple[int, int]], totals: Totals
) -> None:
    """Add up what a source has. :param rows: number of a series, and of its group."""
    if rows:
        _set_grouping(connection, rows)
        for table in TABLES:
            ranges = ranges_of(source, table)
            add_sums(totals, ranges, _sums(connection, source, table, list(ranges)))


def _set_grouping(connection: sqlite3.Connection, rows: Iterable[tuple[int, int]]) -> None:
    for statement in _TEMPORARY:
        connection.execute(statement)
    connection.execute("DELETE FROM grouping")
    connection.executemany("INSERT INTO grouping VALUES (?, ?)", rows)


def _candidates(connection: sqlite3.Connection, query: UsageQuery, source: Source) -> Iterator[Series]:
    """The series that may count: slices or groups; those of the keys or people that are asked for; or all of the
    period."""
    if source.slices is not None:
        yield from connection.execute(_SLICES, (source.slices,))
        return
    if is_of_groups(query):
        yield from connection.execute(_GROUPS)
        return
    where = dict(query.where)
    for name, statement in _SERIES_OF.items():
        if name in where:
            for value in dict.fromkeys(where[name]):
                yield from connection.execute(statement, (clean(value),))
            return
    for statement in _TEMPORARY:
        connection.execute(statement)
    connection.execute("DELETE FROM used")
    for table in TABLES:
        _set_parts(connection, [(part.low, part.high, 0) for part in source.parts if part.table == table])
        connection.execute(_USE[table])
    yield from connection.execute(_USED_SERIES)


def _set_parts(connection: sqlite3.Connection, ranges: list[tuple[int, int, int]]) -> None:
    connection.execute("DELETE FROM part")
    connection.executemany("INSERT INTO part (low, high, place) VALUES (?, ?, ?)", ranges)


def _sums(
    connection: sqlite3.Connection, source: Source, table: Table, ranges: list[tuple[int, int]]
) -> list[tuple[int, ...]]:
    """Number of a range, number of a group, and the sums of ``SUMS``.

    :param ranges: slots, the second of each not included.
    """
    if not ranges:
        return []
    (series,) = connection.execute(_SERIES_COUNT).fetchone()
    numbered = [(low, high, number) for number, (low, high) in enumerate(ranges)]
    name = source.tables[table]
    # CROSS JOIN fixes the order of the loops: of each slice its ranges; of each slot the series that count; or ranges
    # of the rollup and of each of its rows the group.
    if source.slices is not None:
        loops = f"grouping CROSS JOIN part CROSS JOIN {name} AS u ON u.series = grouping.series AND {_IN_PART}"
    elif series * sum(high - low for low, high in ranges) <= _MOST_LOOKUPS:
        numbered = [(slot, slot + 1, number) for low, high, number in numbered for slot in range(low, high)]
        loops = f"part CROSS JOIN grouping CROSS JOIN {name} AS u ON u.slot = part.low AND u.series = grouping.series"
    else:
        loops = f"part CROSS JOIN {name} AS u ON {_IN_PART} CROSS JOIN grouping ON grouping.series = u.series"
    _set_parts(connection, numbered)
    sums = ", ".join(f"sum(u.{name})" for name in SUMS)
    return connection.execute(f"SELECT part.place, grouping.number, {sums} FROM {loops} GROUP BY 1, 2").fetchall()

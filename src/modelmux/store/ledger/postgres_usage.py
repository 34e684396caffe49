"""Reports from rollups alone, in PostgreSQL (see ``usage_groups``)."""

from __future__ import annotations

from collections.abc import Container
from datetime import tzinfo
from typing import Any, Final

from modelmux.accounts.usage_pages import Position, UsagePage
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.accounts.usage_top import top_groups
from modelmux.store.ledger.base import TooManyResults
from modelmux.store.ledger.postgres_ranks import rank
from modelmux.store.ledger.postgres_sealed import sealed_before
from modelmux.store.ledger.postgres_sums import TABLES as SUM_TABLES
from modelmux.store.ledger.postgres_sums import columns
from modelmux.store.ledger.rollups import SUMS
from modelmux.store.ledger.slots import SliceKind
from modelmux.store.ledger.sqlite_rows import clean
from modelmux.store.ledger.usage_groups import (
    TABLES,
    Group,
    Ranges,
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
from modelmux.store.postgres import text
from modelmux.store.postgres.session import Session

_DAYS: Final = "SELECT (SELECT min(slot) FROM group_day), (SELECT max(slot) FROM group_day)"
_SERIES: Final = (
    "SELECT s.number, k.name, s.person, s.team, s.model, s.tags FROM ledger_series AS s "
    "JOIN ledger_key AS k ON k.number = s.key"
)
_SERIES_OF: Final = {
    "key": f"{_SERIES} WHERE k.name = ANY($1::text[])",
    "person": f"{_SERIES} WHERE s.person = ANY($1::text[])",
}
_GROUPS: Final = "SELECT number, '', '', team, model, tags FROM ledger_group"
_SLICES: Final = (
    "SELECT number, '', '', CASE kind WHEN 'team' THEN value ELSE '' END, "
    "CASE kind WHEN 'model' THEN value ELSE '' END, CASE kind WHEN 'tags' THEN value ELSE '' END "
    "FROM ledger_slice WHERE kind = $1"
)
_PARTS: Final = "unnest($1::bigint[], $2::bigint[]) AS p (low, high)"
#: One by one: an equality can be looked up by a hash, a range cannot. A year has 35,000 quarters of an hour.
_SLOTS: Final = "unnest($1::bigint[], $2::integer[]) AS p (slot, place)"
_USED: Final = {
    table: f"SELECT DISTINCT u.series FROM {_PARTS} JOIN {table} AS u ON u.slot >= p.low AND u.slot < p.high"
    for table in TABLES
}
_USED_SERIES: Final = f"{_SERIES} WHERE s.number = ANY($1::bigint[])"
_SUMS: Final = {
    table: f"SELECT p.place, g.number, {', '.join(f'sum(u.{name})::bigint' for name in SUMS)} FROM {_SLOTS} "
    f"JOIN {table} AS u ON u.slot = p.slot "
    "JOIN unnest($3::bigint[], $4::integer[]) AS g (series, number) ON g.series = u.series GROUP BY 1, 2"
    for table in SUM_TABLES
}

_RESULTS: Final = {
    table: f"SELECT DISTINCT p.place, g.number FROM {_SLOTS} JOIN {table} AS u ON u.slot = p.slot "
    "JOIN unnest($3::bigint[], $4::integer[]) AS g (series, number) ON g.series = u.series LIMIT $5"
    for table in SUM_TABLES
}
#: In the order of their names, which is that of Python's texts. The places are for a comparison, and conditions.
_COUNTS: Final = {
    "key": "SELECT k.name, count(*) FROM ledger_key AS k JOIN ledger_series AS s ON s.key = k.number "
    'WHERE k.name COLLATE "C" {0} $1{1} GROUP BY k.name ORDER BY k.name COLLATE "C" LIMIT $2',
    "person": 'SELECT s.person, count(*) FROM ledger_series AS s WHERE s.person COLLATE "C" {0} $1{1} '
    'GROUP BY s.person ORDER BY s.person COLLATE "C" LIMIT $2',
}


async def usage(session: Session, query: UsageQuery, zone: tzinfo, most: int | None) -> list[UsageRow]:
    """Within a transaction. By bucket and group; groups without any usage are left out. :raises TooManyResults:"""
    first, last = await session.fetchrow(_DAYS)
    bounds = bounds_of(query, zone, first, last)
    if not is_ranked(query):
        rows = await _report(session, query, bounds, None if query.top else most)
        return top_groups(rows, query.top) if query.top else rows
    ranking = await rank(session, query, bounds, await sealed_before(session)) if bounds else NO_RANKING
    if not ranking.groups:
        return []
    rows = await _report(session, of_groups(query, ranking.groups), bounds, shown=set(ranking.groups))
    return with_others(ranking, rows, await _report(session, of_all(query), bounds) if ranking.others else ())


async def usage_page(session: Session, query: UsageQuery, zone: tzinfo, after: Position, limit: int) -> UsagePage:
    """Within a transaction. See ``Ledger.usage_page``."""
    first, last = await session.fetchrow(_DAYS)
    bounds = bounds_of(query, zone, first, last)
    if not bounds:
        return UsagePage([])
    sources = sources_of(query, bounds, await sealed_before(session))
    reader = PageReader(query, sources, len(bounds) - 1, after, limit)
    if reader.is_by_values:
        limits = wanted(query, _series(await session.fetch(_GROUPS)))
        if limits is None:
            return UsagePage([])
        while not reader.is_over:
            values = reader.values()
            chosen = reader.choose_values(await _counts(session, values, limits))
            series = _series(await session.fetch(_SERIES_OF[values.name], chosen))
            await _read_chosen(session, reader, query, bounds, sources, [series])
    else:
        offered = [await _candidates(session, query, source) for source in sources]
        while not reader.is_over:
            await _read_chosen(session, reader, query, bounds, sources, offered)
    return reader.page()


async def _read_chosen(
    session: Session, reader: PageReader, query: UsageQuery, bounds: list[int], sources: list[Source],
    offered: list[list[Series]],
) -> None:  # fmt: skip
    chosen = reader.choose(offered)
    totals: Totals = {}
    for source, rows in zip(sources, chosen.series, strict=True):
        await _add_source(session, source, rows, totals)
    reader.add(report_of(query, bounds, chosen.numbers, totals))


async def _counts(session: Session, values: Values, limits: dict[str, list[str]]) -> list[tuple[str, int]]:
    """Keys or people, each with the number of its series that count. :param limits: column -> the values that count."""
    comparison = ">=" if values.is_included else ">"
    conditions = "".join(f" AND s.{name} = ANY(${index}::text[])" for index, name in enumerate(limits, 3))
    statement = _COUNTS[values.name].format(comparison, conditions)
    first = text.clean(clean(values.first) or "")
    return [(value, count) for value, count in await session.fetch(statement, first, values.most, *limits.values())]


async def _report(
    session: Session, query: UsageQuery, bounds: list[int], most: int | None = None,
    shown: Container[Group] | None = None,
) -> list[UsageRow]:  # fmt: skip
    """:param most: results at most. :param shown: the groups that count; None for all. :raises TooManyResults:"""
    if not bounds:
        return []
    numbers: dict[Group, int] = {}
    totals: Totals = {}
    sources = sources_of(query, bounds, await sealed_before(session))
    series = [grouping_of(query, await _candidates(session, query, source), numbers, shown) for source in sources]
    if most is not None and len(numbers) * (len(bounds) - 1) > most:
        await _check_size(
            session, query, bounds, {one.slices: rows for one, rows in zip(sources, series, strict=True)}, most
        )
    for source, rows in zip(sources, series, strict=True):
        await _add_source(session, source, rows, totals)
    return report_of(query, bounds, numbers, totals)


async def _check_size(
    session: Session, query: UsageQuery, bounds: list[int], series: dict[SliceKind | None, list[tuple[int, int]]],
    most: int,
) -> None:  # fmt: skip
    """Whether there is room for the results, before their sums are read. :raises TooManyResults:"""
    results: set[tuple[int, int]] = set()
    for source in additive_sources(query, bounds, await sealed_before(session)):
        for table in TABLES:
            parts = [part for part in source.parts if part.table == table]
            slots = [(slot, part.bucket) for part in parts for slot in range(part.low, part.high)]
            if slots and series.get(source.slices):
                statement = _RESULTS[source.tables[table]]
                rows = await session.fetch(statement, *columns(slots), *columns(series[source.slices]), most + 1)
                results.update((bucket, group) for bucket, group in rows)
                if len(results) > most:
                    raise TooManyResults(most)


async def _add_source(session: Session, source: Source, rows: list[tuple[int, int]], totals: Totals) -> None:
    """Add up what a source has. :param rows: number of a series, and of its group."""
    for table in TABLES:
        ranges = ranges_of(source, table)
        if ranges and rows:
            statement = _SUMS[source.tables[table]]
            add_sums(totals, ranges, await session.fetch(statement, *_slots(ranges), *columns(rows)))


async def _candidates(session: Session, query: UsageQuery, source: Source) -> list[Series]:
    """The series that may count: slices or groups; those of the keys or people that are asked for; or all of the
    period."""
    if source.slices is not None:
        return _series(await session.fetch(_SLICES, source.slices))
    if is_of_groups(query):
        return _series(await session.fetch(_GROUPS))
    where = dict(query.where)
    for name, statement in _SERIES_OF.items():
        if name in where:
            return _series(await session.fetch(statement, [text.clean(clean(value) or "") for value in where[name]]))
    used: set[int] = set()
    for table in TABLES:
        ranges = ranges_of(source, table)
        if ranges:
            used.update(number for (number,) in await session.fetch(_USED[table], *_columns(ranges)))
    return _series(await session.fetch(_USED_SERIES, sorted(used)))


def _series(rows: list[Any]) -> list[Series]:
    return [(number, key, person, team, model, tags) for number, key, person, team, model, tags in rows]


def _columns(ranges: Ranges) -> list[list[int]]:
    return [[low for low, _ in ranges], [high for _, high in ranges]]


def _slots(ranges: Ranges) -> list[list[int]]:
    """Each slot, with the number of its range."""
    slots = [(slot, number) for number, (low, high) in enumerate(ranges) for slot in range(low, high)]
    return [[slot for slot, _ in slots], [number for _, number in slots]]

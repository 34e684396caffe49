"""Reports from rollups alone, in PostgreSQL (see ``usage_groups``)."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, Final

from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.accounts.usage_top import top_groups
from modelmux.store.ledger.postgres_ranks import rank
from modelmux.store.ledger.postgres_sealed import sealed_before
from modelmux.store.ledger.postgres_sums import TABLES as SUM_TABLES
from modelmux.store.ledger.postgres_sums import columns
from modelmux.store.ledger.rollups import SUMS
from modelmux.store.ledger.sqlite_rows import clean
from modelmux.store.ledger.usage_groups import (
    TABLES,
    Group,
    Ranges,
    Series,
    Source,
    Totals,
    add_sums,
    bounds_of,
    grouping_of,
    is_of_groups,
    ranges_of,
    report_of,
    sources_of,
)
from modelmux.store.ledger.usage_ranks import NO_RANKING, is_ranked, of_all, of_groups, with_others
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


async def usage(session: Session, query: UsageQuery, zone: tzinfo) -> list[UsageRow]:
    """Within a transaction. By bucket and group; groups without any usage are left out."""
    first, last = await session.fetchrow(_DAYS)
    bounds = bounds_of(query, zone, first, last)
    if not is_ranked(query):
        rows = await _report(session, query, bounds)
        return top_groups(rows, query.top) if query.top else rows
    ranking = await rank(session, query, bounds, await sealed_before(session)) if bounds else NO_RANKING
    if not ranking.groups:
        return []
    rows = await _report(session, of_groups(query, ranking.groups), bounds)
    return with_others(ranking, rows, await _report(session, of_all(query), bounds) if ranking.others else ())


async def _report(session: Session, query: UsageQuery, bounds: list[int]) -> list[UsageRow]:
    if not bounds:
        return []
    numbers: dict[Group, int] = {}
    totals: Totals = {}
    for source in sources_of(query, bounds, await sealed_before(session)):
        series = grouping_of(query, await _candidates(session, query, source), numbers)
        for table in TABLES:
            ranges = ranges_of(source, table)
            if ranges and series:
                statement = _SUMS[source.tables[table]]
                add_sums(totals, ranges, await session.fetch(statement, *_slots(ranges), *columns(series)))
    return report_of(query, bounds, numbers, totals)


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

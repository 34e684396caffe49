"""Which keys or people cost most, in PostgreSQL (see ``usage_ranks``): one statement, which returns no more of them."""

from __future__ import annotations

from typing import Any, Final

from modelmux.accounts.usage_query import UsageQuery
from modelmux.store.ledger.slots import additive_parts
from modelmux.store.ledger.sqlite_rows import COSTS
from modelmux.store.ledger.usage_groups import TABLES
from modelmux.store.ledger.usage_ranks import NO_RANKING, Ranking, wanted
from modelmux.store.postgres.session import Session

_GROUPS: Final = "SELECT number, '', '', team, model, tags FROM ledger_group"
_COST: Final = " + ".join(f"u.{name}" for name in COSTS)
#: Parameters: twice as many as there are tables, the beginnings and ends of ranges.
_COSTS: Final = " UNION ALL ".join(
    f"SELECT u.series, {_COST} AS cost FROM unnest(${2 * index + 1}::bigint[], ${2 * index + 2}::bigint[]) "
    f"AS p (low, high) JOIN {table} AS u ON u.slot >= p.low AND u.slot < p.high"
    for index, table in enumerate(TABLES)
)
#: That of Python's texts.
_IN_ORDER: Final = 'COLLATE "C"'
_COLUMNS: Final = {"key": "k.name", "person": "s.person", "team": "s.team", "model": "s.model"}


async def rank(session: Session, query: UsageQuery, bounds: list[int], sealed: int) -> Ranking:
    """Within a transaction. :param bounds: of the buckets. :param sealed: see ``sqlite_ranks.rank``."""
    limits = wanted(query, [tuple(row) for row in await session.fetch(_GROUPS)])
    if limits is None:
        return NO_RANKING
    parts, ranges = additive_parts(bounds[0], bounds[-1], sealed), list[Any]()
    for table in TABLES:
        of_table = [part for part in parts if part.table == table]
        ranges += [[part.low for part in of_table], [part.high for part in of_table]]
    first = len(ranges) + 1
    where = " AND ".join(f"s.{name} = ANY(${first + index}::text[])" for index, name in enumerate(limits)) or "true"
    names = [_COLUMNS[name] for name in query.group_by]
    rows = await session.fetch(
        f"SELECT count(*) OVER (), {', '.join(names)} FROM ({_COSTS}) AS u "
        f"JOIN ledger_series AS s ON s.number = u.series JOIN ledger_key AS k ON k.number = s.key WHERE {where} "
        f"GROUP BY {', '.join(names)} "
        f"ORDER BY sum(u.cost) DESC, {', '.join(f'{name} {_IN_ORDER}' for name in names)} "
        f"LIMIT ${first + len(limits)}",
        *ranges, *limits.values(), query.top,
    )  # fmt: skip
    groups = [tuple(str(value) or None for value in values) for _, *values in rows]
    return Ranking(groups, rows[0][0] - len(groups)) if rows else NO_RANKING

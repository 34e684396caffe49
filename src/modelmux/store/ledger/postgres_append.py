"""Rows of the ledger and their part of the rollups in PostgreSQL, written within one transaction.

Each table is written by one statement with arrays, its rows in the order of their keys: so nodes wait for each other,
and never in a circle. All take their locks in one order: rows, rollups, windows of budgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from modelmux.store.ledger.postgres_numbers import Numbers
from modelmux.store.ledger.postgres_sealed import add_sealed
from modelmux.store.ledger.postgres_sums import columns, upsert
from modelmux.store.ledger.rollups import (
    NO_GROUP,
    UNPRICED,
    Rollup,
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
from modelmux.store.ledger.sqlite_rows import COSTS, COUNTS, Row, first_id, id_time
from modelmux.store.postgres.locks import CORRECTIONS, LEDGER, lock, lock_shared
from modelmux.store.postgres.session import Session

_COLUMNS: Final[dict[str, str]] = {
    "id": "bytea", "at": "bigint", "key": "bigint", "series": "bigint", "context": "bigint", "kind": "smallint",
    "failed": "boolean", "displaced": "boolean", "corrects": "bytea", "end_user": "bytea", "tags": "text",
    **dict.fromkeys((*COUNTS, *COSTS), "bigint"), "rest": "bytea", "day": "integer",
}  # fmt: skip
_END_USER: Final = list(_COLUMNS).index("end_user")
_INSERT: Final = (
    f"INSERT INTO ledger ({', '.join(_COLUMNS)}) SELECT * FROM unnest("
    + ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_COLUMNS.values(), 1))
    + ") ON CONFLICT DO NOTHING RETURNING id"
)
_GROUPS_OF: Final = 'SELECT number, "group" FROM ledger_series WHERE number = ANY($1::bigint[])'
_DROPPED: Final = "SELECT dropped_before FROM ledger_state"
_UNPRICED_REQUESTS: Final = (
    "SELECT l.id, l.at, l.series FROM unnest($1::integer[], $2::bytea[]) AS w (day, id) "
    "JOIN ledger_lookup AS l ON l.day = w.day AND l.id = w.id WHERE l.corrects IS NULL AND NOT l.priced"
)
_PRICED_CORRECTIONS: Final = (
    "SELECT corrects, id FROM ledger_lookup WHERE corrects = ANY($1::bytea[]) AND corrects IS NOT NULL AND priced"
)


class PostgresAppender:
    """Adds rows. ``forget`` after a transaction that failed.

    :param tags: the names of the tags that usage is reported by.
    """

    def __init__(self, tags: Iterable[str]) -> None:
        self._numbers = Numbers(tags)

    def forget(self) -> None:
        self._numbers.forget()

    async def append(self, session: Session, rows: Sequence[Row]) -> dict[bytes, Row]:
        """Within a transaction. What they spent of windows is booked afterwards.

        :returns: by id, those that were not in the ledger before.
        """
        await lock_shared(session, LEDGER)
        wanted = await _not_dropped(session, rows)
        if not wanted:
            return {}
        if any(row.entry.corrects is not None or row.entry.cost is None for row in wanted):
            await lock(session, CORRECTIONS)  # what they count depends on rows that others may be adding
        entries = [row.entry for row in wanted]
        series = await self._numbers.series_of(session, entries)
        contexts = await self._numbers.contexts_of(session, entries)
        values = [
            _values(columns_of(row, one, context, with_choices=not is_complete))
            for row, one, (context, is_complete) in zip(wanted, series, contexts, strict=True)
        ]
        added = {id for (id,) in await session.fetch(_INSERT, *columns(values))}
        new = {row.entry.id: row for row in wanted if row.entry.id in added}
        quarters = new_rollup()
        for row, one in zip(wanted, series, strict=True):
            if row.entry.id in added:
                count(quarters, row, one.number)
        await _count_unpriced(session, new, quarters)
        await _add_all(session, "usage", quarters)
        groups = await by_group(session, quarters, self._numbers.groups)
        await _add_all(session, "group", groups)
        await add_sealed(session, quarters, groups)
        return new


def day_of(id: bytes) -> int:
    """Of the time within an id."""
    return id_time(id) // DAY


async def by_group(session: Session, rollup: Rollup, known: dict[int, int] | None = None) -> Rollup:
    """See ``sqlite_append.by_group``."""
    cache: dict[int, int] = {} if known is None else known
    every = {series for _, series in rollup}
    groups = {series: cache[series] for series in every if series in cache}
    if missing := sorted(every - groups.keys()):
        groups |= dict.fromkeys(missing, NO_GROUP)
        for series, group in await session.fetch(_GROUPS_OF, missing):
            groups[series] = group
            remember(cache, series, group)
    return grouped(rollup, groups)


async def _not_dropped(session: Session, rows: Sequence[Row]) -> list[Row]:
    """Each row once, in the order of their ids. One that may have been dropped was here, and is in the rollups."""
    dropped_before = await session.fetchval(_DROPPED)
    dropped_id = first_id(dropped_before)
    by_id: dict[bytes, Row] = {}
    for row in rows:
        if row.entry.at >= dropped_before or row.entry.id >= dropped_id:
            by_id.setdefault(row.entry.id, row)
    return [by_id[id] for id in sorted(by_id)]


def _values(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The columns of SQLite's table -> those of this one."""
    end_user = values[_END_USER]
    if isinstance(end_user, str):
        end_user = b"t" + end_user.encode()
    return (*values[:_END_USER], end_user, *values[_END_USER + 1 :], day_of(values[0]))


async def _count_unpriced(session: Session, new: dict[bytes, Row], quarters: Rollup) -> None:
    """Count the requests without a price: to none of their corrections it is known."""
    targets = sorted(priced_targets(new))
    if not targets:
        return
    corrections: dict[bytes, set[bytes]] = {}
    for target, id in await session.fetch(_PRICED_CORRECTIONS, targets):
        corrections.setdefault(target, set()).add(id)
    for target, at, series in await session.fetch(_UNPRICED_REQUESTS, list(map(day_of, targets)), targets):
        change = unpriced_change(target, corrections.get(target, ()), new)
        quarters[at // QUARTER, series][UNPRICED] += change


async def _add_all(session: Session, kind: str, quarters: Rollup) -> None:
    """:param kind: ``usage`` or ``group``."""
    days = coarser(quarters, "usage_day")
    for unit, rollup in (("quarter", quarters), ("day", days), ("month", by_month(days))):
        await upsert(session, f"{kind}_{unit}", rollup)

"""Whether rollups are the sums of their rows in PostgreSQL (see ``postgres_compare``)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from modelmux.config.postgres_url import PostgresUrl
from modelmux.store.ledger.base import Difference
from modelmux.store.ledger.postgres_append import day_of
from modelmux.store.ledger.postgres_compare import of_day, of_month
from modelmux.store.ledger.postgres_days import Read, dropped_before, id_bounds
from modelmux.store.ledger.postgres_sealed import sealed_before
from modelmux.store.ledger.postgres_sums import TABLES
from modelmux.store.ledger.slots import DAY
from modelmux.store.ledger.verify_run import SectionFailed
from modelmux.store.ledger.verify_sections import MONTHS, days_of, describe, instants_of, kind_of, when
from modelmux.store.postgres.problems import QUERY_CANCELED, code_of
from modelmux.store.postgres.problems import describe as problem
from modelmux.store.postgres.session import Session

_DISPLACED_DAYS: Final = "SELECT DISTINCT day FROM ledger_lookup WHERE displaced AND at >= $1 AND at < $2 ORDER BY day"
_SERIES: Final = (
    "SELECT k.name, s.person, s.team, s.model, s.tags FROM ledger_series AS s "
    "JOIN ledger_key AS k ON k.number = s.key WHERE s.number = $1"
)
_GROUP: Final = "SELECT team, model, tags FROM ledger_group WHERE number = $1"
_SLICE: Final = "SELECT kind, value FROM ledger_slice WHERE number = $1"
#: Part of the name of a table -> where the names of its sums are.
_LABELS: Final = {"usage": _SERIES, "group": _GROUP, "slice": _SLICE}
#: Series that one statement compares of a month, or of one of its days, at most.
MONTHS_AT_ONCE: Final = 20_000
#: Table of months -> the last one of its next series of a month ($1), or of those of one of its days ($4), which may be
#: more if the month lacks some; null if none of them has as many.
_NEXT_SERIES: Final = {
    f"{kind}_month": "SELECT min(series) FROM ("
    f"(SELECT series FROM {kind}_month WHERE slot = $1 AND series > $2 ORDER BY series OFFSET $3 LIMIT 1) "
    "UNION ALL SELECT d.series FROM unnest($4::bigint[]) AS u (day) CROSS JOIN LATERAL "
    f"(SELECT series FROM {kind}_day WHERE slot = u.day AND series > $2 ORDER BY series OFFSET $3 LIMIT 1) AS d"
    ") AS last"
    for kind in ("usage", "group")
}
#: Codes of statements that took too long, or more memory or temporary files than they may.
_FAILS_ALONE: Final = (QUERY_CANCELED, "53200", "53400")
_TOO_LONG: Final = (
    "they could not be {}; others were tried all the same. Try these again when the database has little else to do, "
    "and let it sort in memory: ALTER ROLE … SET work_mem = '256MB' for the user of {}"
)


class Part(NamedTuple):
    """What is compared at once.

    :param slot: the day, or the month. :param table: of months; empty for all tables of a day.
    :param after, last: series, or groups, of the table.
    """

    slot: int
    table: str = ""
    after: int = -(2**63)
    last: int = 2**63 - 1


class Comparison(NamedTuple):
    """A statement, whose last parameter is the number of differences, and its other parameters."""

    sql: str
    values: tuple[object, ...]


async def _fetch(sql: str, values: Sequence[object], session: Session) -> list[Any]:
    return await session.fetch(sql, *values)


async def parts(read: Read, section: int) -> AsyncIterator[Part]:
    """What a section of ``days`` or ``months`` is compared in: each takes a bounded time, and so a transaction."""
    if section < MONTHS // 2:
        yield Part(section)
        return
    for table, sql in _NEXT_SERIES.items():
        part = Part(section - MONTHS, table)
        days = list(days_of(part.slot))
        while True:
            ((last,),) = await read(partial(_fetch, sql, (part.slot, part.after, MONTHS_AT_ONCE - 1, days)))
            if last is None:
                break
            yield part._replace(last=last)
            part = part._replace(after=last)
        yield part


async def has_all_rows(session: Session, part: Part) -> bool:
    """Whether no rows of a part are dropped, or about to be: the sums of such a day are all that is left of them.

    Before it, days were listed; retention may go on since then. Sums of months are made of those of days, which stay.
    """
    return bool(part.table) or part.slot * DAY >= await dropped_before(session)


async def differences(session: Session, part: Part, most: int) -> list[Difference]:
    """Within a transaction: what differs from what it has to be. A partition that is dropped meanwhile is missing in
    it, so ``has_all_rows`` has to be asked again after it.

    :param most: series, groups and slices.
    """
    if not await has_all_rows(session, part):
        return []
    sql, values = await comparison(session, part)
    return await described(session, await session.fetch(sql, *values, most))


async def comparison(session: Session, part: Part) -> Comparison:
    """How a part is compared. In a transaction that sees what others commit, it may be another one the next time."""
    if part.table:
        return Comparison(of_month(part.table), (part.slot, list(days_of(part.slot)), part.after, part.last))
    is_sealed, values, displaced = await _day(session, part.slot)
    sql = of_day(is_sealed=is_sealed, has_displaced=bool(displaced))
    return Comparison(sql, (*values, displaced) if displaced else values)


async def described(session: Session, rows: Sequence[Any]) -> list[Difference]:
    """:param rows: of a comparison."""
    differing: list[Difference] = []
    for index, slot, series, stored, right in rows:
        labels = await session.fetchrow(_LABELS[kind_of(TABLES[index])], series)
        differing += describe(TABLES[index], slot, tuple(labels or ()), stored, list(map(int, right)))
    return differing


@contextlib.contextmanager
def failing_alone(url: PostgresUrl, part: Part, done: str) -> Iterator[None]:
    """Around the statements of a part: one that the server ends keeps no other part from its turn.

    :param done: what could not be done in time. :raises SectionFailed:
    """
    try:
        yield
    except Exception as error:
        code = code_of(error)
        if code not in _FAILS_ALONE:
            raise
        text = _TOO_LONG.format(done, url.setting) if code == QUERY_CANCELED else problem(error, url.setting)
        raise SectionFailed(f"{url}: the sums of {when(part.table or 'usage_day', part.slot)}: {text}") from None


async def _day(session: Session, day: int) -> tuple[bool, tuple[object, ...], list[int]]:
    """Whether a day is sealed, parameters of ``of_day``, and the days of ids of its displaced rows."""
    low, high = id_bounds(day)
    start, end = instants_of(day)
    displaced = [one for (one,) in await session.fetch(_DISPLACED_DAYS, start, end)]
    values = (day_of(low), day_of(high), start, end, day, low, high)
    return day < await sealed_before(session), values, displaced

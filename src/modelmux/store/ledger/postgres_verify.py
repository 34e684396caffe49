"""Whether rollups are the sums of their rows in PostgreSQL, and how they are made so (see ``postgres_compare``)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from modelmux.config.postgres_url import PostgresUrl
from modelmux.store.ledger.base import Difference
from modelmux.store.ledger.postgres_append import day_of
from modelmux.store.ledger.postgres_compare import of_day, of_month, repair_slices
from modelmux.store.ledger.postgres_partitions import cuts, last_day, partitions
from modelmux.store.ledger.postgres_sealed import add_slices, sealed_before
from modelmux.store.ledger.postgres_sums import TABLES
from modelmux.store.ledger.slots import DAY, QUARTERS
from modelmux.store.ledger.sqlite_rows import SLACK, first_id
from modelmux.store.ledger.verify_run import SectionFailed
from modelmux.store.ledger.verify_sections import MONTHS, days_of, describe, instants_of, kind_of, months_of, when
from modelmux.store.postgres.problems import QUERY_CANCELED, code_of
from modelmux.store.postgres.problems import describe as problem
from modelmux.store.postgres.session import Session

_DISPLACED_DAYS: Final = "SELECT DISTINCT day FROM ledger_lookup WHERE displaced AND at >= $1 AND at < $2 ORDER BY day"
_DAYS: Final = f"""
SELECT slot FROM usage_day WHERE slot >= $1
UNION SELECT slot / {QUARTERS} FROM usage_quarter WHERE slot >= $1 * {QUARTERS}
UNION SELECT slot FROM group_day WHERE slot >= $1
UNION SELECT slot / {QUARTERS} FROM group_quarter WHERE slot >= $1 * {QUARTERS}
UNION SELECT at / {DAY} FROM ledger_lookup WHERE displaced AND at >= $1 * {DAY}
"""
_DAYS_OF_ROWS: Final = (
    f"SELECT DISTINCT at / {DAY} FROM ledger WHERE NOT displaced AND day >= $1 AND day <= $2 AND at >= $3 * {DAY}"
)
_DROPPED: Final = "SELECT dropped_before FROM ledger_state"
_MONTHS: Final = "SELECT slot FROM usage_month UNION SELECT slot FROM group_month"
_MONTH_DAYS: Final = "SELECT slot FROM usage_day UNION SELECT slot FROM group_day"
_SERIES: Final = (
    "SELECT k.name, s.person, s.team, s.model, s.tags FROM ledger_series AS s "
    "JOIN ledger_key AS k ON k.number = s.key WHERE s.number = $1"
)
_GROUP: Final = "SELECT team, model, tags FROM ledger_group WHERE number = $1"
_SLICE: Final = "SELECT kind, value FROM ledger_slice WHERE number = $1"
#: Part of the name of a table -> where the names of its sums are.
_LABELS: Final = {"usage": _SERIES, "group": _GROUP, "slice": _SLICE}
#: A day before 1970 that no time has, in the type of the column.
_FIRST_DAY: Final = -(2**31)
_AFTER_LAST_ID: Final = b"\xff" * 17
#: Parameters of a day without rows that are displaced.
_PLAIN: Final = 5
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
Read = Callable[[Callable[[Session], Awaitable[Any]]], Awaitable[Any]]


class Part(NamedTuple):
    """What is compared at once.

    :param slot: the day, or the month. :param table: of months; empty for all tables of a day.
    :param after, last: series, or groups, of the table.
    """

    slot: int
    table: str = ""
    after: int = -(2**63)
    last: int = 2**63 - 1


async def days(read: Read) -> list[int]:
    """The days, in order, whose rollups can be recomputed: those of before lack rows.

    :param read: runs something in a transaction of its own: there are too many partitions for one.
    """
    first = max(-(-await read(_dropped) // DAY), _FIRST_DAY)
    result = {day for (day,) in await read(partial(_fetch, _DAYS, (first,)))}
    low = first_id(max(first - 1, 0) * DAY)[:6]
    for piece in cuts(low, _AFTER_LAST_ID, await read(partitions), newest_first=False):
        values = (day_of(piece[0].ljust(16, b"\0")), last_day(piece[1]), first)
        result |= {day for (day,) in await read(partial(_fetch, _DAYS_OF_ROWS, values))}
    return sorted(result)


async def _fetch(sql: str, values: Sequence[object], session: Session) -> list[Any]:
    return await session.fetch(sql, *values)


async def _dropped(session: Session) -> int:
    before: int = await session.fetchval(_DROPPED)
    return before


async def months(session: Session) -> list[int]:
    """All months that have rollups, by numbers above those of all days."""
    present = {month for (month,) in await session.fetch(_MONTHS)}
    present |= months_of(day for (day,) in await session.fetch(_MONTH_DAYS))
    return sorted(MONTHS + month for month in present)


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
    return bool(part.table) or part.slot * DAY >= await _dropped(session)


async def differences(session: Session, part: Part, most: int) -> list[Difference]:
    """Within a transaction: what differs from what it has to be. A partition that is dropped meanwhile is missing in
    it, so ``has_all_rows`` has to be asked again after it.

    :param most: series, groups and slices.
    """
    if not await has_all_rows(session, part):
        return []
    if part.table:
        return await _differing(session, of_month(part.table), *_month(part), most)
    is_sealed, values = await _day(session, part.slot)
    return await _differing(session, of_day(is_sealed=is_sealed, has_displaced=len(values) > _PLAIN), *values, most)


async def repair(session: Session, part: Part, most: int, bound: Callable[[], Awaitable[None]]) -> list[Difference]:
    """Within a write transaction in which no row is added, and no day begins to be dropped: make all rollups of it
    what they have to be.

    :param bound: limits each further statement to what is left of the time. :returns: what differed; see
        ``differences``.
    """
    if not await has_all_rows(session, part):
        return []
    await bound()
    if part.table:
        return await _differing(session, of_month(part.table, writes=True), *_month(part), most)
    is_sealed, values = await _day(session, part.slot)
    sql = of_day(is_sealed=is_sealed, has_displaced=len(values) > _PLAIN, writes=True)
    await bound()
    differing = await _differing(session, sql, *values, most)
    if is_sealed:
        await bound()
        await add_slices(session, part.slot)
        await bound()
        differing += await _differing(session, repair_slices(), part.slot, most)
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


def _month(part: Part) -> tuple[object, ...]:
    """Parameters of ``of_month``."""
    return part.slot, list(days_of(part.slot)), part.after, part.last


async def _day(session: Session, day: int) -> tuple[bool, tuple[object, ...]]:
    """Whether a day is sealed, and the parameters of ``of_day``."""
    start, end = instants_of(day)
    ids = (day_of(first_id(start - SLACK - 1000)), day_of(first_id(end + SLACK + 1000)))
    displaced = [one for (one,) in await session.fetch(_DISPLACED_DAYS, start, end)]
    return day < await sealed_before(session), (*ids, start, end, day, *([displaced] if displaced else []))


async def _differing(session: Session, sql: str, *values: object) -> list[Difference]:
    differing: list[Difference] = []
    for index, slot, series, stored, right in await session.fetch(sql, *values):
        labels = await session.fetchrow(_LABELS[kind_of(TABLES[index])], series)
        differing += describe(TABLES[index], slot, tuple(labels or ()), stored, list(map(int, right)))
    return differing

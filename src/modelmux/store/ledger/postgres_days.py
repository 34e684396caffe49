"""Which days and months have sums or rows in PostgreSQL: found by as many look-ups as there are days.

``SELECT DISTINCT`` reads a whole index. Here each day is looked up in it from the one before (a loose index scan, which
PostgreSQL does not do by itself).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from modelmux.store.ledger.postgres_append import day_of
from modelmux.store.ledger.postgres_partitions import cuts, last_day, partitions
from modelmux.store.ledger.slots import DAY, QUARTERS
from modelmux.store.ledger.sqlite_rows import SLACK, first_id
from modelmux.store.ledger.verify_sections import MONTHS, instants_of, months_of
from modelmux.store.postgres.session import Session

#: The first value of the type of slots and instants and the last one, and days before and after all that there are.
_LOWEST: Final = -(2**63)
_LAST: Final = 2**63 - 1
_FIRST_DAY: Final = -(2**31)
_AFTER_LAST_ID: Final = b"\xff" * 17
_DROPPED: Final = "SELECT dropped_before FROM ledger_state"
#: Of a day: whether it has a row that is not displaced.
_HAS_ROW: Final = (
    "SELECT EXISTS (SELECT FROM ledger WHERE day >= $1 AND day <= $2 AND id >= $3 AND id < $4 AND NOT displaced "
    "AND at >= $5 AND at < $6)"
)

#: Runs something in a transaction of its own.
Read = Callable[[Callable[[Session], Awaitable[Any]]], Awaitable[Any]]


def _distinct(source: str, column: str, scale: int = 1, kind: str = "bigint") -> str:
    """Units of a column that an index begins with, from a value on ($1).

    :param source: the table, and a condition if there is one. :param scale: values of a unit.
    """
    table, _, condition = source.partition(" WHERE ")
    also = f"{condition} AND " if condition else ""
    find = f"SELECT {column} FROM {table} WHERE {also}{column} {{}} ORDER BY {column} LIMIT 1"
    # Units below 0 are rounded down, as Python does it. The end of the last one is that of the type.
    within = f"(u.value % {scale} + {scale}) % {scale}"
    end = "u.value" if scale == 1 else f"least(u.value::numeric + {scale - 1} - {within}, {_LAST})::bigint"
    unit = f"u.value / {scale} - (u.value % {scale} < 0)::integer"
    return (
        f"WITH RECURSIVE u AS (SELECT ({find.format(f'>= $1::{kind}')}) AS value "
        f"UNION ALL SELECT ({find.format(f'> {end}')}) FROM u WHERE u.value IS NOT NULL) "
        f"SELECT {unit} FROM u WHERE u.value IS NOT NULL"
    )


#: Finds the days that a table has, from a slot or an instant on -> slots, or microseconds, of a day.
_DAYS: Final = {
    _distinct(f"{kind}_{unit}", "slot", scale): scale
    for kind in ("usage", "group")
    for unit, scale in (("day", 1), ("quarter", QUARTERS))
} | {_distinct("ledger_lookup WHERE displaced", "at", DAY): DAY}
#: $1 and $2: the first and the last day, in each part of the query, which locks no other partitions then.
_DAYS_OF_IDS: Final = _distinct("ledger WHERE day >= $1::integer AND day <= $2", "day", kind="integer")
_MONTHS: Final = tuple(_distinct(f"{kind}_month", "slot") for kind in ("usage", "group"))
_MONTH_DAYS: Final = tuple(_distinct(f"{kind}_day", "slot") for kind in ("usage", "group"))


async def dropped_before(session: Session) -> int:
    """Microseconds: rows of before may have been dropped."""
    before: int = await session.fetchval(_DROPPED)
    return before


async def days(read: Read) -> list[int]:
    """The days, in order, whose rollups can be recomputed: those of before lack rows.

    :param read: runs something in a transaction of its own: there are too many partitions for one.
    """
    first = max(-(-await read(dropped_before) // DAY), _FIRST_DAY)
    known = set[int]()
    for sql, scale in _DAYS.items():
        known |= await read(partial(_fetch, sql, (max(first * scale, _LOWEST),)))
    near = {one for day in await _days_of_ids(read, first) for one in (day - 1, day, day + 1)}
    for day in sorted(near - known):  # few, but where sums were lost: next to a day that has ids
        if day >= first and await read(partial(_has_row, day)):
            known.add(day)
    return sorted(known)


async def months(session: Session) -> list[int]:
    """All months that have rollups, by numbers above those of all days."""
    present = set[int]()
    for sql in _MONTHS:
        present |= await _fetch(sql, (_LOWEST,), session)
    for sql in _MONTH_DAYS:
        present |= months_of(await _fetch(sql, (_LOWEST,), session))
    return sorted(MONTHS + month for month in present)


def id_bounds(day: int) -> tuple[bytes, bytes]:
    """Ids that the rows of a day may have, unless they are displaced: the smallest, and the first above all of them."""
    start, end = instants_of(day)
    return first_id(start - SLACK - 1000), first_id(end + SLACK + 1000)


async def _days_of_ids(read: Read, first: int) -> set[int]:
    """Days of ids in the ledger that may have rows from a day on."""
    known = set[int]()
    low = first_id(max(first - 1, 0) * DAY)[:6]
    for piece in cuts(low, _AFTER_LAST_ID, await read(partitions), newest_first=False):
        values = (day_of(piece[0].ljust(16, b"\0")), last_day(piece[1]))
        known |= await read(partial(_fetch, _DAYS_OF_IDS, values))
    return known


async def _has_row(day: int, session: Session) -> bool:
    low, high = id_bounds(day)
    return bool(await session.fetchval(_HAS_ROW, day_of(low), day_of(high), low, high, *instants_of(day)))


async def _fetch(sql: str, values: Sequence[object], session: Session) -> set[int]:
    rows: Iterable[tuple[int]] = await session.fetch(sql, *values)
    return {one for (one,) in rows}

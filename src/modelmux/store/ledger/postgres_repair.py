"""How sums in PostgreSQL are made those of their rows while nodes add rows, however long the rows take to read.

What a node adds to rows it adds to their sums in the same transaction. So what a sum lacks stays the same, whatever is
added meanwhile: it is computed from one state of the database, without a lock that nodes wait for, and then added to
what is stored by then, while they wait. That is a bounded number of sums in each transaction.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple

from modelmux.config.postgres_url import PostgresUrl
from modelmux.store.base import StoreFailed
from modelmux.store.directory import postgres_audit
from modelmux.store.directory.base import Author
from modelmux.store.ledger.base import Difference
from modelmux.store.ledger.postgres_partitions import Partition, partitions
from modelmux.store.ledger.postgres_sealed import add_slices, sealed_before
from modelmux.store.ledger.postgres_sums import TABLES
from modelmux.store.ledger.postgres_verify import Comparison, Part, comparison, described, failing_alone, has_all_rows
from modelmux.store.ledger.rollups import SUMS
from modelmux.store.ledger.slots import OF_SLICES
from modelmux.store.ledger.verify_sections import audit_records
from modelmux.store.postgres.locks import LEDGER, REPAIRS, lock
from modelmux.store.postgres.problems import LOCK_NOT_AVAILABLE, code_of
from modelmux.store.postgres.session import CONNECT_TIMEOUT, Session, limit, limit_locking
from modelmux.store.postgres.thread import STATEMENT_TIMEOUT

#: Sums that one transaction writes at most. They take some seconds.
AT_ONCE: Final = 100_000
#: Times that a part is compared again because days were sealed, or partitions changed, meanwhile.
_TRIES: Final = 5
_FIND: Final = "CREATE TEMPORARY TABLE modelmux_differing ON COMMIT DROP AS {}"
_DIFFERENCES: Final = (
    "SELECT index, slot, series, stored, recomputed FROM modelmux_differing WHERE index <> ALL($1::integer[]) "
    "OR series >= 0 ORDER BY index, slot, series LIMIT $2::bigint"
)
_SLICES: Final = [TABLES.index(table) for table in OF_SLICES.values()]
#: Slices that are not there have negative numbers.
_MISSING: Final = "SELECT count(*) FROM modelmux_differing WHERE index = ANY($1::integer[]) AND series < 0"
_TABLES: Final = "SELECT DISTINCT index FROM modelmux_differing ORDER BY index"
#: Each sum is looked up by its key: a plan that reads all of a table may take longer than others may wait.
_BY_KEY: Final = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
_KEY: Final = "d.index = $1 AND t.slot = d.slot AND t.series = d.series"
_WRITES: Final = {
    table: (
        f"UPDATE {table} AS t SET "
        + ", ".join(f"{name} = t.{name} - d.stored[{i}] + d.recomputed[{i}]" for i, name in enumerate(SUMS, 1))
        + f" FROM modelmux_differing AS d WHERE {_KEY}",
        f"INSERT INTO {table} (slot, series, {', '.join(SUMS)}) SELECT d.slot, d.series, "
        + ", ".join(f"d.recomputed[{i}] - d.stored[{i}]" for i in range(1, len(SUMS) + 1))
        + " FROM modelmux_differing AS d WHERE d.index = $1 "
        + ("AND d.series >= 0 " if table in OF_SLICES.values() else "")
        + f"AND NOT EXISTS (SELECT FROM {table} AS t WHERE {_KEY}) ORDER BY d.slot, d.series",
        f"DELETE FROM {table} AS t USING modelmux_differing AS d WHERE {_KEY} "
        + "".join(f"AND t.{name} = 0 " for name in SUMS),
    )
    for table in TABLES
}

#: Runs something in a write transaction of its own, within some seconds.
Run = Callable[[Callable[[Session], Awaitable[Any]], float], Awaitable[Any]]


class Limits(NamedTuple):
    """Seconds that the comparison of a part may take, and that others wait while its sums are written."""

    compare: float
    write: float

    def total(self) -> float:
        """With the time to connect, and until locks are free."""
        return CONNECT_TIMEOUT + self.compare + 2 * STATEMENT_TIMEOUT + self.write + 1


class _Pass(NamedTuple):
    """What one transaction did. :param is_void: nothing, because what it had compared has changed.
    :param has_more: the part may have other differences."""

    differences: list[Difference]
    is_void: bool = False
    has_more: bool = False


class Repair:
    """Repairs of parts.

    :param most: differences that are told; all are repaired. :param author: of rows of the audit log, at an instant.
    """

    def __init__(self, url: PostgresUrl, run: Run, limits: Limits, most: int, author: Author | None, at: int) -> None:
        self._url, self._run, self._limits = url, run, limits
        self._most, self._author, self._at = most, author, at

    async def repair(self, part: Part) -> list[Difference]:
        """:returns: what differed. :raises StoreFailed:"""
        differing: list[Difference] = []
        tries, has_more = _TRIES, True
        while has_more:
            if not part.table:
                await self._add_slices(part.slot)
            one: _Pass = await self._run(partial(self._pass, part), self._limits.total())
            tries = tries - 1 if one.is_void else _TRIES
            if not tries:
                raise StoreFailed(f"{self._url}: days of the ledger change all the time; try again later")
            differing += one.differences[: self._most - len(differing)]
            has_more = one.is_void or one.has_more
        return differing

    async def _add_slices(self, day: int) -> None:
        """Those that a sealed day needs. In transactions of their own: nodes that add the same ones wait for them."""

        async def add(session: Session, after: int) -> int | None:
            return await add_slices(session, day, after) if day < await sealed_before(session) else None

        after: int | None = -(2**63)
        while after is not None:
            after = await self._run(partial(add, after=after), self._limits.total())

    async def _pass(self, part: Part, session: Session) -> _Pass:
        await self._lock_repairs(session)
        if not await has_all_rows(session, part):
            return _Pass([])
        before = await _basis(session, part)
        with failing_alone(self._url, part, f"compared within {self._limits.compare:g} s"):
            await limit(session, self._limits.compare)
            (sql, values), _ = before
            created = await session.execute(_FIND.format(sql), *values, AT_ONCE)
            count = int(created.split()[-1])
            if not count:
                return _Pass([])
            missing = await session.fetchval(_MISSING, _SLICES)
            differing = await described(session, await session.fetch(_DIFFERENCES, _SLICES, self._most))
        await limit_locking(session, STATEMENT_TIMEOUT)
        await lock(session, LEDGER)  # no row is added meanwhile, no day begins to be dropped, none is sealed
        end = time.monotonic() + self._limits.write
        with failing_alone(self._url, part, f"written anew within {self._limits.write:g} s"):
            await limit(session, self._limits.write)
            if not await has_all_rows(session, part):
                return _Pass([])
            if await _basis(session, part) != before:
                return _Pass([], is_void=True)
            await self._write(session, end)
        if differing and self._author is not None:
            records = audit_records(differing)
            await postgres_audit.add(session, self._author, self._at, "ledger.repair", "ledger", *records)
        is_rest = count == AT_ONCE or missing > 0  # the next one adds the slices that are missing
        return _Pass(differing, has_more=is_rest and bool(differing))

    async def _lock_repairs(self, session: Session) -> None:
        """Of two repairs at once, both would add what a sum lacks."""
        await limit_locking(session, STATEMENT_TIMEOUT)
        try:
            await lock(session, REPAIRS)
        except Exception as error:
            if code_of(error) != LOCK_NOT_AVAILABLE:
                raise
            raise StoreFailed(f"{self._url}: sums are being made by another process; try again after it") from None

    async def _write(self, session: Session, end: float) -> None:
        """:param end: monotonic seconds, until which others may wait."""
        await session.execute(_BY_KEY)
        for (index,) in await session.fetch(_TABLES):
            for statement in _WRITES[TABLES[index]]:
                await limit(session, end - time.monotonic())
                await session.execute(statement, index)


async def _basis(session: Session, part: Part) -> tuple[Comparison, list[Partition]]:
    """What must not change between a comparison and what is written by it: rows or tables would be missing in it.

    Displaced rows may have come whose ids are of another day, rows may have gone to a new partition, and a day may have
    been sealed, from sums that were wrong.
    """
    compared = await comparison(session, part)
    if part.table:
        return compared, []
    first, last, *_ = compared.values
    days = (first, last) if isinstance(first, int) and isinstance(last, int) else (0, 0)
    return compared, [one for one in await partitions(session) if one.low <= days[1] and days[0] < one.high]

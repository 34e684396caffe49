"""How days that are over are sealed in PostgreSQL, a day in a transaction: see ``sqlite_sealed``.

Nodes that add rows wait only until it is sure that none was added to the day while its sums were made. If one was, the
transaction is taken back, and repeated.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final

from modelmux.store.ledger.postgres_repair import Limits, Run
from modelmux.store.ledger.postgres_sealed import add_slices, sealed_before, slices_of
from modelmux.store.ledger.rollups import SUMS
from modelmux.store.ledger.slots import QUARTERS, QUARTERS_OF_HOUR, SLICED
from modelmux.store.postgres.locks import LEDGER, REPAIRS, lock, try_lock
from modelmux.store.postgres.session import Session, limit, limit_locking
from modelmux.store.postgres.thread import STATEMENT_TIMEOUT

#: Times that a day is tried; the last time no row is added while its sums are made.
_TRIES: Final = 5
#: Seconds between two transactions.
_PAUSE: Final = 0.005
_NEXT: Final = "SELECT min(slot) FROM group_day WHERE slot >= $1 AND slot < $2"
_SEALED: Final = "UPDATE ledger_sealed SET before = $1"
_GROUPS_OF_DAY: Final = "SELECT DISTINCT series FROM group_day WHERE slot = $1"
#: Of the rows of a day's sums: each row that is added to the ledger makes another version of one of them.
_VERSIONS: Final = (
    "SELECT md5(string_agg(series::text || ' ' || xmin::text || ' ' || ctid::text, ',' ORDER BY series)) "
    "FROM group_day WHERE slot = $1"
)
_COLUMNS: Final = ", ".join(SUMS)
_ADDED: Final = ", ".join(f"sum(u.{name})::bigint" for name in SUMS)
_HOURS_OF: Final = tuple(
    f"INSERT INTO {kind}_hour (slot, series, {_COLUMNS}) SELECT u.slot / {QUARTERS_OF_HOUR}, u.series, {_ADDED} "
    f"FROM {kind}_quarter AS u WHERE u.slot >= $1 * {QUARTERS} AND u.slot < ($1 + 1) * {QUARTERS} GROUP BY 1, 2"
    for kind in ("usage", "group")
)
_SLICED: Final = tuple(
    f"INSERT INTO {table} (slot, series, {_COLUMNS}) SELECT u.slot, o.number, {_ADDED} FROM {source} AS u "
    "JOIN unnest($2::bigint[], $3::bigint[]) AS o (series, number) ON o.series = u.series "
    f"WHERE u.slot >= $1 * {scale} AND u.slot < ($1 + 1) * {scale} GROUP BY 1, 2"
    for table, source, scale in SLICED
)


class _Changed(Exception):
    """Rows were added to a day meanwhile."""


async def seal_days(run: Run, before: int, limits: Limits) -> int:
    """See ``Ledger.seal_days``. While another process seals days, or repairs sums, nothing is done.

    :param before: days since 1970; days from this on are not over.
    """
    count, tries = 0, _TRIES
    while (day := await run(partial(_next, before=before), limits.total())) is not None:
        after: int | None = -(2**63)
        while after is not None:  # in transactions of their own: nodes that add the same ones wait for them
            after = await run(partial(add_slices, day=day, after=after), limits.total())
        try:
            if not await run(partial(_seal, day=day, limits=limits, is_alone=tries <= 1), limits.total()):
                break
        except _Changed:
            tries -= 1
            continue
        count, tries = count + 1, _TRIES
        await asyncio.sleep(_PAUSE)
    return count


async def _next(session: Session, before: int) -> int | None:
    """The next day that is not sealed."""
    day: int | None = await session.fetchval(_NEXT, await sealed_before(session), before)
    return day


async def _seal(session: Session, day: int, limits: Limits, *, is_alone: bool) -> bool:
    """Within a write transaction. :param is_alone: no row is added while sums are made.

    :returns: whether no other process is at it. :raises _Changed: nothing may be committed.
    """
    if not await try_lock(session, REPAIRS):
        return False
    await limit_locking(session, STATEMENT_TIMEOUT)
    if is_alone:
        await lock(session, LEDGER)
    if await _next(session, day + 1) != day:  # another one has sealed it since it was looked for
        raise _Changed
    versions = await session.fetchval(_VERSIONS, day)
    await _make(session, day, time.monotonic() + (limits.write if is_alone else limits.compare))
    await lock(session, LEDGER)
    await limit(session, limits.write)
    # Also of a day before it, which had none, or by an older version of the gateway, which seals days as well.
    if await _next(session, day + 1) != day or await session.fetchval(_VERSIONS, day) != versions:
        raise _Changed
    await session.execute(_SEALED, day + 1)
    return True


async def _make(session: Session, day: int, end: float) -> None:
    """The sums of a day. :param end: monotonic seconds, until which they have to be there."""
    groups = [group for (group,) in await session.fetch(_GROUPS_OF_DAY, day)]
    slices = await slices_of(session, groups)
    pairs = [(group, number) for group in sorted(slices) for number in slices[group]]
    columns = ([group for group, _ in pairs], [number for _, number in pairs])
    for statement, values in (*((one, ()) for one in _HOURS_OF), *((one, columns) for one in _SLICED)):
        await limit(session, end - time.monotonic())
        await session.execute(statement, day, *values)

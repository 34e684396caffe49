"""Old rows leave the ledger in PostgreSQL: partitions that are over as a whole, others a few rows at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from modelmux.store.base import StoreFailed
from modelmux.store.ledger.postgres_partitions import DEFAULT, Partition, about, drop, old_rows, partitions
from modelmux.store.ledger.postgres_upkeep import drop_chunk, drop_lookup
from modelmux.store.ledger.slots import DAY
from modelmux.store.postgres.session import Session

#: Seconds between two transactions of a long task.
_PAUSE: Final = 0.005
#: Tries to drop a partition that questions are using, and seconds between two.
_TRIES: Final = 5
_PAUSE_IN_USE: Final = 1.0
IN_USE: Final = "in use by queries that do not end; look at pg_stat_activity"

#: Runs something in a transaction of its own.
Run = Callable[[Callable[[Session], Awaitable[Any]]], Awaitable[Any]]


async def drop_all(url: str, read: Run, write: Run, before: int) -> int:
    """All rows that are old. One partition that cannot be dropped keeps none of the others.

    :param before: microseconds in UTC, the begin of a day; it was written that rows of before are dropped.
    :returns: how many rows. :raises StoreFailed: what was dropped so far stays so.
    """
    dropped = 0
    busy: list[str] = []
    failures: list[StoreFailed] = []
    for one in await read(partitions):
        try:
            if one.high <= before // DAY:
                count, is_busy = await _drop(read, write, one, before)
                dropped += count
                busy += [one.name] * is_busy
            elif one.low < before // DAY:
                dropped += await _drop_rows(write, one, before)
        except StoreFailed as error:
            failures.append(error)
    dropped += await _drop_rows(write, DEFAULT, before)
    if failures:
        raise failures[0]
    if busy:
        raise StoreFailed(f"{url}: {len(busy)} old partitions, as {busy[0]}, are {IN_USE}")
    return dropped


async def _drop(read: Run, write: Run, one: Partition, before: int) -> tuple[int, bool]:
    """:returns: how many rows were dropped, and whether the partition is in use."""
    count = await _count(read, one, before)
    has_more = True
    while has_more:  # here, and not while all others wait
        has_more = await write(lambda session: drop_lookup(session, one, before))
        await asyncio.sleep(_PAUSE)
    for _ in range(_TRIES):
        result = await write(lambda session: drop(session, one, before))
        if not result.is_busy:
            break
        await asyncio.sleep(_PAUSE_IN_USE)
    if result.is_dropped:
        return count if result.is_mine else 0, False
    return (0, True) if result.is_busy else (await _drop_rows(write, one, before), False)


async def _count(read: Run, one: Partition, before: int) -> int:
    """How many old rows a partition has; of one that is too large to count, by its statistics."""
    try:
        count: int = await read(lambda session: old_rows(session, one, before))
    except StoreFailed:
        count = await read(lambda session: about(session, one))
    return count


async def _drop_rows(write: Run, one: Partition, before: int) -> int:
    """Of a partition that stays."""
    dropped = 0
    after: bytes | None = b""
    while after is not None:
        count, after = await write(
            lambda session, start=after: drop_chunk(session, one, before, start)  # type: ignore[misc]
        )
        dropped += count
        await asyncio.sleep(_PAUSE)
    return dropped

"""The partitions of the ledger in PostgreSQL: one for each day, made ahead, and dropped when all of its rows are old.

A question locks each partition that its condition on the day leaves, with its indexes, until its transaction ends, and
the lock table of a server has a fixed size. So every question names its days, and reads ``MOST`` partitions at most.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from modelmux.store.ledger.slots import DAY
from modelmux.store.ledger.sqlite_rows import SLACK, first_id, id_time
from modelmux.store.postgres.locks import LEDGER, lock
from modelmux.store.postgres.problems import LOCK_NOT_AVAILABLE, code_of
from modelmux.store.postgres.session import Session

#: Partitions that one transaction reads at most, and one statement of it.
MOST: Final = 32
AT_ONCE: Final = 16
#: Days that have partitions before they begin. They are looked at once a day.
AHEAD: Final = 4
#: Rows that change their partition in one transaction, while no row is added.
MOST_MOVED: Final = 20_000
#: Milliseconds that a change of partitions waits for questions that run. Later ones wait behind it.
_PATIENCE: Final = 500
#: Days before and after all that there are, in the type of the column.
_FIRST: Final = -(2**31)
_DAY_NAME: Final = "ledger_day_"
_BEFORE_NAME: Final = "ledger_before_"
_NAMES: Final = (
    "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = to_regclass('ledger')"
)
_TODAY: Final = f"SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint / {DAY}"
_HAS_MANY: Final = "SELECT 1 FROM ledger_default WHERE day = $1 ORDER BY id LIMIT 1 OFFSET $2"
_LOOK_UP: Final = (
    "INSERT INTO ledger_lookup (day, id, at, series, corrects, displaced, priced) "
    "SELECT day, id, at, series, corrects, displaced, cost_input IS NOT NULL FROM {0} "
    "WHERE corrects IS NOT NULL OR displaced OR cost_input IS NULL ON CONFLICT DO NOTHING"
)
#: With the name of a partition, and its day.
_MAKE: Final = (
    "CREATE TABLE {0} (LIKE ledger INCLUDING ALL)",
    "WITH moved AS (DELETE FROM ledger_default WHERE day = {1} RETURNING *) INSERT INTO {0} SELECT * FROM moved",
    "ALTER TABLE ledger ATTACH PARTITION {0} FOR VALUES FROM ({1}) TO ({1} + 1)",
    _LOOK_UP,
)
_OLD_ROWS: Final = "SELECT count(*) FROM ledger WHERE day >= $1 AND day < $2 AND at < $3"
_ABOUT: Final = "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass($1)"
#: Rows of a partition that are not old: displaced ones, and those next to its end. By indexes alone.
_REMAINING: Final = (
    "SELECT * FROM {0} WHERE displaced AND at >= $1 "
    "UNION ALL SELECT * FROM {0} WHERE NOT displaced AND at >= $1 AND (day, id) >= ($2::integer, $3::bytea)"
)
_DROP_LOOKUP: Final = "DELETE FROM ledger_lookup WHERE day >= $1 AND day < $2 AND at < $3"


class Partition(NamedTuple):
    """:param low, high: days since 1970; ``high`` is not included."""

    name: str
    low: int
    high: int


#: Of rows whose day has no other partition.
DEFAULT: Final = Partition("ledger_default", _FIRST, 2**31)


async def today(session: Session) -> int:
    """The day by the clock of the server."""
    day: int = await session.fetchval(_TODAY)
    return day


async def partitions(session: Session) -> list[Partition]:
    """All but ``ledger_default``, in the order of their days."""
    return sorted(
        (one for (name,) in await session.fetch(_NAMES) if (one := _named(name)) is not None), key=lambda one: one.low
    )


def last_day(bound: bytes) -> int:
    """The last day that ids below a bound may have."""
    before = max(int.from_bytes(bound[:16].ljust(16, b"\0")) - 1, 0)
    return id_time(before.to_bytes(16)) // DAY


def cuts(low: bytes, high: bytes, parts: Iterable[Partition], *, newest_first: bool) -> Iterator[tuple[bytes, bytes]]:
    """Ids between two, in the order of pages, in pieces each of which is in ``AT_ONCE`` partitions at most (and that of
    rows without one)."""
    bounds = sorted({first_id(day * DAY)[:6] for one in parts for day in (one.low, one.high)})
    inner = [bound for bound in bounds if low < bound < high]
    remaining = inner[-AT_ONCE::-AT_ONCE][::-1] if newest_first else inner[AT_ONCE - 1 :: AT_ONCE]
    ends = [low, *remaining, high]
    pieces = list(itertools.pairwise(ends))
    yield from reversed(pieces) if newest_first else pieces


async def prepare(session: Session, day: int) -> bool:
    """Within a write transaction: make the partitions of a day and of those around it. While other transactions use the
    ledger for long, nothing is made: rows of a day without a partition are found all the same.

    :returns: whether nothing is left to make."""
    return not _missing(await partitions(session), day) or await _briefly(session, lambda: _make(session, day))


async def old_rows(session: Session, one: Partition, before: int) -> int:
    """How many rows of a partition are from before an instant."""
    count: int = await session.fetchval(_OLD_ROWS, one.low, one.high, before)
    return count


async def about(session: Session, one: Partition) -> int:
    """How many rows a partition has by the statistics of the server: 0 where it has none."""
    count: int | None = await session.fetchval(_ABOUT, one.name)
    return count or 0


class Dropped(NamedTuple):
    """What became of a partition.

    :param is_dropped: this transaction dropped it, or (not ``is_mine``) another one.
    :param is_busy: it cannot be dropped now. If it is neither, too many of its rows stay.
    """

    is_dropped: bool
    is_busy: bool
    is_mine: bool


async def drop(session: Session, one: Partition, before: int) -> Dropped:
    """Within a write transaction: drop a partition. Rows that are not from before an instant stay, in ``DEFAULT``.

    :param before: microseconds in UTC, the begin of a day after those of the partition.
    """
    results: list[Dropped] = []

    async def change() -> None:
        await lock(session, LEDGER)
        results.append(await _drop(session, one, before))

    return results[0] if await _briefly(session, change) else Dropped(False, True, False)


async def _drop(session: Session, one: Partition, before: int) -> Dropped:
    if one not in await partitions(session):
        return Dropped(True, False, False)
    near = (before, before // DAY - 1, first_id(before - SLACK - 1000))
    remaining = _REMAINING.format(one.name)
    if await session.fetchval(f"SELECT 1 FROM ({remaining}) AS k LIMIT 1 OFFSET $4", *near, MOST_MOVED) is not None:
        return Dropped(False, False, False)
    await session.execute(f"ALTER TABLE ledger DETACH PARTITION {one.name}")
    await session.execute(f"INSERT INTO ledger {remaining}", *near)
    await session.execute(f"DROP TABLE {one.name}")
    await session.execute(_DROP_LOOKUP, one.low, one.high, before)
    return Dropped(True, False, True)


async def _make(session: Session, day: int) -> None:
    await lock(session, LEDGER)
    for one in _missing(await partitions(session), day):
        if await session.fetchval(_HAS_MANY, one, MOST_MOVED) is None:
            for statement in _MAKE:
                await session.execute(statement.format(f"{_DAY_NAME}{one}", one))


def _missing(parts: Sequence[Partition], day: int) -> list[int]:
    """A row may be of the day before, or a little ahead."""
    return [one for one in range(day - 1, day + AHEAD + 1) if not any(part.low <= one < part.high for part in parts)]


def _named(name: str) -> Partition | None:
    for prefix in (_DAY_NAME, _BEFORE_NAME):
        number = name.removeprefix(prefix)
        if name != number and number.removeprefix("-").isdecimal():
            day = int(number)
            return Partition(name, day, day + 1) if prefix == _DAY_NAME else Partition(name, _FIRST, day)
    return None


async def _briefly(session: Session, change: Callable[[], Awaitable[None]]) -> bool:
    """:returns: whether the locks that a change needs were free in time; if not, nothing was changed."""
    await session.execute(f"SAVEPOINT partitions; SET LOCAL lock_timeout = {_PATIENCE}")
    try:
        await change()
    except Exception as error:
        if code_of(error) != LOCK_NOT_AVAILABLE:
            raise
        await session.execute("ROLLBACK TO SAVEPOINT partitions")
        return False
    return True

"""How the ledger in PostgreSQL is, and how old rows leave it, a few at a time. Their part of the rollups stays."""

from __future__ import annotations

from typing import Final

from modelmux.store.ledger import postgres_holders, postgres_lost
from modelmux.store.ledger.base import Holder, LedgerState
from modelmux.store.ledger.postgres_append import day_of
from modelmux.store.ledger.postgres_partitions import DEFAULT, Partition, cuts, last_day, partitions
from modelmux.store.ledger.slots import DAY
from modelmux.store.ledger.sqlite_rows import first_id, id_time
from modelmux.store.postgres.locks import LEDGER, lock
from modelmux.store.postgres.session import Session

#: Rows of one transaction.
CHUNK: Final = 5_000
_SCHEMA: Final = "SELECT max(number) FROM modelmux_migrations"
_FIRST: Final = "SELECT id FROM ledger WHERE day >= $1 AND day <= $2 ORDER BY day, id LIMIT 1"
_LAST: Final = "SELECT id FROM ledger WHERE day >= $1 AND day <= $2 ORDER BY day DESC, id DESC LIMIT 1"
_DROPPED: Final = "SELECT dropped_before FROM ledger_state"
_DUE: Final = (
    "SELECT (SELECT count(*) FROM alert WHERE due IS NOT NULL) + "
    "(SELECT count(*) FROM webhook_delivery WHERE due IS NOT NULL)"
)
_HOLDERS: Final = (
    "SELECT h.holder, h.seen, (SELECT count(*) FROM budget_lease AS l WHERE l.holder = h.holder), h.node "
    "FROM budget_holder AS h ORDER BY h.holder"
)
_BYTES: Final = "SELECT pg_database_size(current_database())"
_STANDBY: Final = "SHOW synchronous_standby_names"
_VERSION: Final = "SHOW server_version"
_DROP_BEFORE: Final = "UPDATE ledger_state SET dropped_before = greatest(dropped_before, $1) RETURNING dropped_before"
_DROP_TAG_SETS: Final = "DELETE FROM ledger_tag_set WHERE day < $1"
_DROP: Final = {
    table: f"WITH old AS (SELECT day, id FROM {table} WHERE day >= $1 AND day <= $3 AND (day, id) > ($1, $2) "
    "AND (day, id) < ($3, $4) AND at < $5 ORDER BY day, id LIMIT $6), "
    f"dropped AS (DELETE FROM {table} AS l USING old WHERE l.day >= $1 AND l.day <= $3 AND l.day = old.day "
    "AND l.id = old.id RETURNING l.id) SELECT id FROM dropped ORDER BY id"
    for table in ("ledger", DEFAULT.name)
}
_DROP_LOOKUP: Final = (
    "DELETE FROM ledger_lookup AS l USING (SELECT day, id FROM ledger_lookup WHERE day >= $1 AND day < $2 AND at < $3 "
    "ORDER BY day, id LIMIT $4) AS old WHERE l.day = old.day AND l.id = old.id RETURNING l.id"
)


async def state(session: Session) -> LedgerState:
    """See ``Ledger.state``."""
    first, last = await _end_of(session, newest=False), await _end_of(session, newest=True)
    dropped = await session.fetchval(_DROPPED)
    return LedgerState(
        schema=await session.fetchval(_SCHEMA),
        library=f"PostgreSQL {(await session.fetchval(_VERSION)).split()[0]}",
        bytes=await session.fetchval(_BYTES),
        first=None if first is None else id_time(first),
        last=None if last is None else id_time(last),
        dropped_before=dropped if dropped > 0 else None,
        alerts_due=await session.fetchval(_DUE),
        holders=tuple(Holder(*tuple(row)) for row in await session.fetch(_HOLDERS)),
        nodes=(await postgres_holders.nodes(session))[0],
        has_standby=bool((await session.fetchval(_STANDBY)).strip()),
    )


async def begin_drop(session: Session, instant: int) -> int:
    """See ``sqlite_retention.begin``: while it is written, no row is added."""
    await lock(session, LEDGER)
    day = max(instant // DAY * DAY, -(1 << 62))
    before: int = await session.fetchval(_DROP_BEFORE, day)
    await session.execute(_DROP_TAG_SETS, day // DAY)
    await postgres_lost.drop_before(session, before)
    return before


async def drop_chunk(session: Session, part: Partition, before: int, after: bytes) -> tuple[int, bytes | None]:
    """See ``sqlite_retention.drop_chunk``. :param part: whose rows are dropped."""
    table = DEFAULT.name if part == DEFAULT else "ledger"
    end = min(first_id(before), first_id(part.high * DAY))
    start = day_of(after) if after else part.low
    ids = [id for (id,) in await session.fetch(_DROP[table], start, after, last_day(end), end, before, CHUNK)]
    return len(ids), ids[-1] if len(ids) == CHUNK else None


async def drop_lookup(session: Session, one: Partition, before: int) -> bool:
    """A part of what ``ledger_lookup`` has of the old rows of a partition. :returns: whether there may be more."""
    return len(await session.fetch(_DROP_LOOKUP, one.low, one.high, before, CHUNK)) == CHUNK


async def _end_of(session: Session, *, newest: bool) -> bytes | None:
    """The first id, or the last one."""
    parts = await partitions(session)
    for low, high in cuts(b"", b"\xff" * 17, parts, newest_first=newest):
        days = (day_of(low.ljust(16, b"\0")), last_day(high))
        if (id := await session.fetchval(_LAST if newest else _FIRST, *days)) is not None:
            return bytes(id)
    return None

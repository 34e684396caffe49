"""Processes that have leases, and nodes that are alive, in PostgreSQL. Times are those of the server's clock.

A transaction that is about the leases of a process locks its row first, so all that are about one process follow each
other. The process is the only one that leases for itself, and whoever ends its leases removes the row.
"""

from __future__ import annotations

from typing import Final

from modelmux.accounts.slices import WindowKey
from modelmux.store.nodes import LOST_AFTER, LastSeen
from modelmux.store.postgres.session import Session
from modelmux.store.postgres.text import unescape

_MICRO: Final = 1_000_000
#: Not that of the transaction, which may have waited for a lock since it began.
_NOW: Final = f"(extract(epoch FROM clock_timestamp()) * {_MICRO})::bigint"
_SEEN: Final = (
    f"UPDATE budget_holder SET seen = {_NOW}, epoch = coalesce(epoch, seen), node = coalesce($2, node), "
    "lost_after = coalesce($3, lost_after) WHERE holder = $1 RETURNING seen, epoch"
)
_BEGIN: Final = (
    "INSERT INTO budget_holder (holder, seen, node, lost_after, epoch) "
    f"SELECT $1, t.now, $2, $3, t.now FROM (SELECT {_NOW} AS now) AS t "
    "ON CONFLICT (holder) DO UPDATE SET seen = excluded.seen RETURNING seen, epoch"
)
#: A process of an older version has no node: its name begins with that of its machine.
_NODES: Final = (
    "SELECT count(DISTINCT coalesce(node, split_part(holder, ':', 1))) "
    f"FILTER (WHERE seen > {_NOW} - $1), count(*) FROM budget_holder"
)
_LEASES_OF: Final = "SELECT budget, subject, start, amount FROM budget_lease WHERE holder = $1"
_RECALLED: Final = (
    "SELECT o.budget, o.subject, o.start FROM budget_lease AS l JOIN budget_window AS o ON o.budget = l.budget "
    f"AND o.subject = l.subject AND o.start = l.start WHERE l.holder = $1 AND o.recalled > (SELECT {_NOW})"
)
_HOLDER: Final = "SELECT 1 FROM budget_holder WHERE holder = $1 FOR UPDATE"
_HOLDERS: Final = f"SELECT holder, seen, {_NOW} - seen > lost_after FROM budget_holder"
_FORGET: Final = "DELETE FROM budget_holder WHERE holder = $1"
_LEAVE: Final = (
    "DELETE FROM budget_holder AS h WHERE h.holder = $1 "
    "AND NOT EXISTS (SELECT 1 FROM budget_lease AS l WHERE l.holder = h.holder)"
)


async def set_seen(
    session: Session, holder: str, node: str | None = None, lost_after: float | None = None
) -> tuple[int, int, bool]:
    """A process is alive.

    :param node, lost_after: see ``Ledger.renew``; None: as they are.
    :returns: the time, the epoch, both microseconds in UTC, and whether the epoch has begun just now.
    """
    micros = None if lost_after is None else round(lost_after * _MICRO)
    row, is_new = await session.fetchrow(_SEEN, holder, node, micros), False
    if row is None:
        row, is_new = await session.fetchrow(_BEGIN, holder, node, micros), True
    return row[0], row[1], is_new


async def nodes(session: Session) -> tuple[int, int]:
    """How many nodes are alive, and how many processes have not ended, or were not ended by others yet."""
    row = await session.fetchrow(_NODES, round(LOST_AFTER * _MICRO))
    return row[0], row[1]


async def leases_of(session: Session, holder: str) -> dict[WindowKey, int] | None:
    """What a process has, for whoever takes over from it: no one else does until the end of the transaction. None if it
    was ended, or never asked."""
    if await session.fetchrow(_HOLDER, holder) is None:
        return None
    rows = await session.fetch(_LEASES_OF, holder)
    return {WindowKey(unescape(budget), unescape(subject), start): amount for budget, subject, start, amount in rows}


async def recalled(session: Session, holder: str) -> set[WindowKey]:
    """See ``Ledger.recalled``."""
    rows = await session.fetch(_RECALLED, holder)
    return {WindowKey(unescape(budget), unescape(subject), start) for budget, subject, start in rows}


async def forget_holder(session: Session, holder: str) -> None:
    """After its leases were given back."""
    await session.execute(_FORGET, holder)


async def leave(session: Session, holder: str) -> None:
    """See ``Ledger.leave``."""
    await session.execute(_LEAVE, holder)


async def holders(session: Session) -> dict[str, LastSeen]:
    """See ``Ledger.holders``."""
    return {holder: LastSeen(seen, overdue) for holder, seen, overdue in await session.fetch(_HOLDERS)}

"""Leases of lost processes in PostgreSQL: which rows charge them, and what takes them back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelmux.accounts.entry import Entry
from modelmux.accounts.late_rows import taken_back
from modelmux.store.ledger.postgres_entries import by_id, corrections
from modelmux.store.ledger.postgres_sums import columns
from modelmux.store.ledger.sqlite_rows import Row, first_id, to_row
from modelmux.store.postgres.locks import CORRECTIONS, LEDGER, lock, lock_shared
from modelmux.store.postgres.session import Session
from modelmux.store.postgres.text import escape

_NOTE: Final = (
    "INSERT INTO budget_lost_lease (holder, budget, subject, start, entry) SELECT $5, w.budget, w.subject, w.start, "
    "w.entry FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[]) AS w (budget, subject, start, entry) "
    "ON CONFLICT (holder, budget, subject, start) DO UPDATE SET entry = excluded.entry"
)
_TAKE: Final = "DELETE FROM budget_lost_lease WHERE holder = $1 RETURNING entry"
_DROP: Final = "DELETE FROM budget_lost_lease WHERE entry < $1"


async def note(session: Session, holder: str, entries: Iterable[Entry]) -> None:
    """Remember which rows charge the leases of a process. :param entries: each with one debit."""
    rows = [(escape(w.budget), escape(w.subject), w.start, one.id) for one in entries for w, _ in one.debits]
    if rows:
        await session.execute(_NOTE, *columns(sorted(rows)), holder)


async def take(session: Session, holder: str) -> list[Row]:
    """The rows that take back what a process was charged; the caller adds them, and its leases, in this transaction."""
    ids = [id for (id,) in await session.fetch(_TAKE, holder)]
    if not ids:
        return []
    await lock_shared(session, LEDGER)
    await lock(session, CORRECTIONS)  # no one corrects them meanwhile
    known = await corrections(session, ids)
    late = (
        taken_back(entry, [one for one in known if one.corrects == entry.id]) for entry in await by_id(session, ids)
    )
    return [to_row(one) for one in late if one is not None]


async def drop_before(session: Session, instant: int) -> None:
    """Forget those whose rows are dropped. :param instant: microseconds in UTC."""
    await session.execute(_DROP, first_id(instant))

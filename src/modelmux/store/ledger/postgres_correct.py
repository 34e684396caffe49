"""A correction of a row that is decided within the transaction that writes it, with a row of the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from modelmux.accounts.edits import Edit
from modelmux.accounts.entry import Entry
from modelmux.accounts.fields import RecordConflict
from modelmux.accounts.resolve import balance_json
from modelmux.accounts.uuid7 import format_id
from modelmux.store.directory import postgres_audit
from modelmux.store.directory.base import Author
from modelmux.store.directory.receipts import Once
from modelmux.store.ledger.postgres_entries import by_id, corrections
from modelmux.store.ledger.sqlite_correct import Decide
from modelmux.store.ledger.sqlite_rows import Row, to_row
from modelmux.store.postgres.locks import CORRECTIONS, LEDGER, lock, lock_shared
from modelmux.store.postgres.session import Session

Append = Callable[[Session, list[Row]], Awaitable[Any]]


async def correct(
    session: Session, append: Append, id: bytes, decide: Decide, author: Author, at: int, once: Once | None
) -> tuple[Entry, list[Entry]] | None:
    """See ``Ledger.correct``."""
    await lock_shared(session, LEDGER)
    await lock(session, CORRECTIONS)
    rows = await by_id(session, [id])
    if not rows:
        return None
    (entry,), known, subject = rows, await corrections(session, [id]), format_id(id)
    receipt = None if once is None else await postgres_audit.find_receipt(session, once, at)
    correction = None if receipt is not None else decide(entry, known)
    if once is not None:
        await postgres_audit.write_receipt(session, once, Edit(action="", subject=subject), receipt, at)
    if correction is None:
        return entry, known
    await append(session, [to_row(correction)])
    if not await by_id(session, [correction.id]):  # between the two steps of dropping a day
        raise RecordConflict("dropped", "id", "rows of its day are dropped just now", "its sums stay as they are")
    before, after = (balance_json(one) for one in ((entry, *known), (entry, *known, correction)))
    shown = {**after, "correction": format_id(correction.id), "reason": correction.reason}
    records = ({subject: before}, {subject: shown})
    await postgres_audit.add(session, author, at, f"ledger.{correction.kind}", subject, *records)
    return entry, [*known, correction]

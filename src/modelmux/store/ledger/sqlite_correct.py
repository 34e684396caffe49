"""A correction of a row that is decided within the transaction that writes it, with a row of the audit log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from modelmux.accounts.edits import Edit
from modelmux.accounts.entry import Entry
from modelmux.accounts.fields import RecordConflict
from modelmux.accounts.resolve import balance_json
from modelmux.accounts.uuid7 import format_id
from modelmux.store.directory import receipts, sqlite_audit
from modelmux.store.directory.base import Author
from modelmux.store.directory.receipts import Once
from modelmux.store.ledger.sqlite_append import Appender
from modelmux.store.ledger.sqlite_entries import by_id, corrections
from modelmux.store.ledger.sqlite_rows import to_row

Decide = Callable[[Entry, Sequence[Entry]], Entry | None]


def correct(
    connection: sqlite3.Connection,
    appender: Appender,
    id: bytes,
    decide: Decide,
    author: Author,
    at: int,
    once: Once | None,
) -> tuple[Entry, list[Entry]] | None:
    """See ``Ledger.correct``."""
    rows = by_id(connection, [id])
    if not rows:
        return None
    (entry,), known, subject = rows, corrections(connection, [id]), format_id(id)
    receipt = None if once is None else receipts.find(connection, once, at)
    correction = None if receipt is not None else decide(entry, known)
    if once is not None:
        receipts.write(connection, once, Edit(action="", subject=subject), receipt, at)
    if correction is None:
        return entry, known
    appender.append(connection, [to_row(correction)])
    if not by_id(connection, [correction.id]):  # between the two steps of dropping a day
        raise RecordConflict("dropped", "id", "rows of its day are dropped just now", "its sums stay as they are")
    before, after = (balance_json(one) for one in ((entry, *known), (entry, *known, correction)))
    shown = {**after, "correction": format_id(correction.id), "reason": correction.reason}
    sqlite_audit.add(connection, author, at, f"ledger.{correction.kind}", subject, {subject: before}, {subject: shown})
    return entry, [*known, correction]

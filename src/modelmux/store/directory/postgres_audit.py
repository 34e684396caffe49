"""The audit log and the receipts of changes in PostgreSQL: rows are written in the transaction of what they tell of."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from modelmux.accounts.edits import DAY, Edit
from modelmux.store.directory.base import AuditLimits, AuditPage, Author
from modelmux.store.directory.receipts import Once, Receipt, detail_of, is_receipt_current, receipt_of
from modelmux.store.directory.record_rows import audit_row
from modelmux.store.postgres.session import Session
from modelmux.store.postgres.text import clean

_ADD: Final = (
    "INSERT INTO audit (at, author, origin, action, subject, before, after) VALUES ($1, $2, $3, $4, $5, $6, $7) "
    "RETURNING number"
)
#: Of a text that is stored apart, its bytes are known without it.
_SIZES: Final = (
    "SELECT number, octet_length(before) + octet_length(after) FROM audit "
    "WHERE number < $1 AND ($2::text IS NULL OR subject = $2) ORDER BY number DESC LIMIT $3"
)
#: Records are NULL where they are not wanted.
_READ: Final = (
    "SELECT number, at, author, origin, action, subject, CASE WHEN number = ANY($2) THEN before END, "
    "CASE WHEN number = ANY($2) THEN after END FROM audit WHERE number = ANY($1) ORDER BY number DESC"
)
_LAST: Final = 2**63 - 1
_FIND: Final = "SELECT fingerprint, subject, detail FROM receipt WHERE name = $1 AND at > $2"
_WRITE: Final = (
    "INSERT INTO receipt (name, at, fingerprint, subject, detail) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) "
    "DO UPDATE SET at = excluded.at, fingerprint = excluded.fingerprint, subject = excluded.subject, "
    "detail = excluded.detail"
)
_FORGET: Final = "DELETE FROM receipt WHERE at <= $1"
_encode: Final = msgspec.json.Encoder().encode


async def add(session: Session, author: Author, at: int, action: str, subject: str, before: Any, after: Any) -> int:
    """See ``sqlite_audit.add``."""
    texts = (_encode(before).decode(), _encode(after).decode())
    origin = (clean(author.name), clean(author.origin))
    number: int = await session.fetchval(_ADD, at, *origin, action, clean(subject), *texts)
    return number


async def page(session: Session, subject: str | None, before: int | None, limits: AuditLimits) -> AuditPage:
    """See ``DirectoryStore.audit``."""
    last = _LAST if before is None else before
    sizes = await session.fetch(_SIZES, last, subject, limits.rows + 1)
    chosen, has_more = limits.choose((number, size) for number, size in sizes)
    with_them = [number for number, with_records in chosen.items() if with_records]
    rows = await session.fetch(_READ, list(chosen), with_them) if chosen else []
    return AuditPage([audit_row(tuple(row)) for row in rows], has_more)


async def find_receipt(session: Session, once: Once, at: int) -> Receipt | None:
    """:param at: microseconds in UTC. :raises OtherRequest:"""
    row = await session.fetchrow(_FIND, once.name, at - DAY)
    return receipt_of(once, None if row is None else tuple(row))


async def write_receipt(session: Session, once: Once, edit: Edit, receipt: Receipt | None, at: int) -> None:
    """See ``receipts.write``."""
    detail = detail_of(edit)
    if not is_receipt_current(receipt, detail):
        await session.execute(_FORGET, at - DAY)
        await session.execute(_WRITE, once.name, at, once.fingerprint, edit.subject, detail)

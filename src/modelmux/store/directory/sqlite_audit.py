"""The audit log in the SQLite file of accounts: rows are only ever added, in the transaction of what they tell of."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from modelmux.store.directory.base import AuditRow, Author
from modelmux.store.directory.record_rows import audit_row

_ADD: Final = "INSERT INTO audit (at, author, origin, action, subject, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)"
#: Records are NULL where a row has more than was asked for.
_READ: Final = (
    "SELECT number, at, author, origin, action, subject, iif(length(before) + length(after) > :longest, NULL, before), "
    "iif(length(before) + length(after) > :longest, NULL, after) FROM audit WHERE number < :before "
    "ORDER BY number DESC LIMIT :limit"
)
_READ_OF: Final = _READ.replace("WHERE", "WHERE subject = :subject AND")
_LAST: Final = 2**63 - 1
_encode: Final = msgspec.json.Encoder().encode


def add(
    connection: sqlite3.Connection, author: Author, at: int, action: str, subject: str, before: Any, after: Any
) -> int:
    """Within a transaction.

    :param at: microseconds in UTC.
    :param before, after: records by id, without secrets.
    :returns: the number of the row.
    """
    texts = (_encode(before).decode(), _encode(after).decode())
    return connection.execute(_ADD, (at, author.name, author.origin, action, subject, *texts)).lastrowid or 0


def rows(
    connection: sqlite3.Connection, subject: str | None, before: int | None, limit: int, longest: int | None
) -> list[AuditRow]:
    """See ``DirectoryStore.audit``."""
    values = {"subject": subject, "before": _LAST if before is None else before, "limit": limit, "longest": longest}
    if subject is None:
        return [audit_row(row) for row in connection.execute(_READ, values)]
    return [audit_row(row) for row in connection.execute(_READ_OF, values)]

"""The audit log in the SQLite file of accounts: rows are only ever added, in the transaction of what they tell of."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from modelmux.store.directory.base import AuditLimits, AuditPage, Author
from modelmux.store.directory.record_rows import audit_row

_ADD: Final = "INSERT INTO audit (at, author, origin, action, subject, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)"
_READ: Final = (
    "SELECT number, at, author, origin, action, subject FROM audit WHERE number < :before ORDER BY number DESC "
    "LIMIT :limit"
)
_READ_OF: Final = _READ.replace("WHERE", "WHERE subject = :subject AND")
_RECORDS: Final = ("before", "after")
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


def page(connection: sqlite3.Connection, subject: str | None, before: int | None, limits: AuditLimits) -> AuditPage:
    """Within a transaction. See ``DirectoryStore.audit``."""
    values = {"subject": subject, "before": _LAST if before is None else before, "limit": limits.rows + 1}
    found = connection.execute(_READ, values) if subject is None else connection.execute(_READ_OF, values)
    rows = found.fetchall()
    chosen, has_more = limits.choose((number, _size(connection, number)) for number, *_ in rows)
    read = [(*row, *_records(connection, row[0], with_records=chosen[row[0]])) for row in rows if row[0] in chosen]
    return AuditPage([audit_row(row) for row in read], has_more)


def _size(connection: sqlite3.Connection, number: int) -> int:
    """Bytes of the records of a row. They are not read for it, as by ``length``."""
    size = 0
    for column in _RECORDS:
        with connection.blobopen("audit", column, number, readonly=True) as records:
            size += len(records)
    return size


def _records(connection: sqlite3.Connection, number: int, *, with_records: bool) -> list[bytes | None]:
    """JSON; None if it is not wanted."""
    if not with_records:
        return [None] * len(_RECORDS)
    read: list[bytes | None] = []
    for column in _RECORDS:
        with connection.blobopen("audit", column, number, readonly=True) as records:
            read.append(records.read())
    return read

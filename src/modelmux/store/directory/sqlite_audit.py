"""The audit log in the SQLite file of accounts: rows are only ever added, in the transaction of what they tell of."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from modelmux.store.directory.base import AuditRow, Author

_ADD: Final = "INSERT INTO audit (at, author, origin, action, subject, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)"
_READ: Final = (
    "SELECT number, at, author, origin, action, subject, before, after FROM audit WHERE number < :before "
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


def rows(connection: sqlite3.Connection, subject: str | None, before: int | None, limit: int) -> list[AuditRow]:
    """See ``DirectoryStore.audit``."""
    values = {"subject": subject, "before": _LAST if before is None else before, "limit": limit}
    if subject is None:
        return [_row(row) for row in connection.execute(_READ, values)]
    return [_row(row) for row in connection.execute(_READ_OF, values)]


def _row(row: tuple[Any, ...]) -> AuditRow:
    number, at, author, origin, action, subject, before, after = row
    return AuditRow(
        number=number, at=at, author=Author(author, origin), action=action, subject=subject,
        before=msgspec.json.decode(before), after=msgspec.json.decode(after),
    )  # fmt: skip

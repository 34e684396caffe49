"""``captures.db``: bodies of the latest requests, which all workers write, and ``modelmux trace`` and the admin API
read.

What is dropped is overwritten in the file (``secure_delete``), and the write-ahead log is cut after it: a body that is
too old is not only hidden.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from modelmux.store.captures.record import Capture, CaptureBounds, EncodedCapture, decode
from modelmux.store.file_kinds import CAPTURES
from modelmux.store.sqlite_kind import SharedFile, SharedKind
from modelmux.store.sqlite_transaction import transaction
from modelmux.store.traces.record import TracedRequest

_DAY: Final = 86_400_000_000
#: Bytes to which the write-ahead log is cut after it was larger.
_WAL_BYTES: Final = 4 * 1024 * 1024

# ``number`` rises with time; ``at`` is when a request arrived, in microseconds of UTC. ``bytes`` is the size of the
# compressed bodies. Older SQLite libraries have to understand all of it: 3.34.
_SCHEMA: Final = """
CREATE TABLE captures (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, bytes INTEGER NOT NULL,
    request_id TEXT NOT NULL, row_id TEXT, message_id TEXT, upstream_request_id TEXT, trace_id TEXT,
    request BLOB NOT NULL, contents BLOB NOT NULL
);
CREATE TABLE bodies (number INTEGER NOT NULL, part INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (number, part));
"""
_FIND: Final = """
SELECT number, request, contents FROM captures
WHERE ? IN (request_id, row_id, message_id, upstream_request_id, trace_id) AND at > ? AND at = coalesce(?, at)
ORDER BY at DESC LIMIT 1
"""
_OF_ROW: Final = "SELECT number, request, contents FROM captures WHERE row_id = ? AND at > ? ORDER BY at DESC LIMIT 1"
_TOO_MANY_BYTES: Final = """
SELECT coalesce(max(number), 0)
FROM (SELECT number, sum(bytes) OVER (ORDER BY number DESC) AS total FROM captures) WHERE total > ? AND number < ?
"""


_SHARED: Final = SharedKind(
    CAPTURES,
    _SCHEMA,
    f"PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON; PRAGMA journal_size_limit = {_WAL_BYTES};",
)


class CapturesFile(SharedFile):
    """See there."""

    def __init__(self, path: Path, *, creates: bool = True) -> None:
        super().__init__(path, _SHARED, creates=creates)


def adder(bounds: CaptureBounds) -> partial[None]:
    """``add`` within bounds."""
    return partial(add, bounds)


def add(
    bounds: CaptureBounds,
    connection: sqlite3.Connection,
    captures: Sequence[tuple[TracedRequest, EncodedCapture]],
    now: int,
) -> None:
    """Write what was captured, and drop what is too much or too old. The newest is kept, whatever its size.

    :param now: microseconds in UTC.
    """
    with transaction(connection, "IMMEDIATE"):
        (newest,) = connection.execute("SELECT coalesce(max(number), 0) FROM captures").fetchone()
        for number, (request, encoded) in enumerate(captures, newest + 1):
            ids = (
                request.request_id,
                request.row_id,
                request.message_id,
                request.upstream_request_id,
                request.trace_id,
            )
            size = sum(map(len, encoded.parts))
            connection.execute(
                "INSERT INTO captures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, request.at, size, *ids, encoded.request, encoded.contents),
            )
            connection.executemany(
                "INSERT INTO bodies VALUES (?, ?, ?)",
                [(number, part, data) for part, data in enumerate(encoded.parts)],
            )
        dropped = _drop(connection, newest + len(captures), bounds, now)
    if dropped:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # has what was dropped


def _drop(connection: sqlite3.Connection, newest: int, bounds: CaptureBounds, now: int) -> int:
    """:returns: how many there were."""
    (old,) = connection.execute(  # from the oldest on, up to the first that is kept
        "SELECT coalesce((SELECT number FROM captures WHERE at > ? ORDER BY number LIMIT 1), ?)",
        (now - bounds.days * _DAY, newest + 1),
    ).fetchone()
    (large,) = connection.execute(_TOO_MANY_BYTES, (bounds.max_bytes, newest)).fetchone()
    last = max(newest - bounds.max_requests, old - 1, large)
    connection.execute("DELETE FROM bodies WHERE number <= ?", (last,))
    return connection.execute("DELETE FROM captures WHERE number <= ?", (last,)).rowcount


def find(connection: sqlite3.Connection, id: str, days: int, now: int, at: int | None = None) -> Capture | None:
    """The latest one that has an id, with all of its bodies. :param at: when it arrived, if that is known."""
    return _read(connection, connection.execute(_FIND, (id, now - days * _DAY, at)).fetchone())


def of_row(connection: sqlite3.Connection, id: str, days: int, now: int) -> Capture | None:
    """That of a row of the ledger. Other ids are not looked at: clients choose some of them, and could name a row."""
    return _read(connection, connection.execute(_OF_ROW, (id, now - days * _DAY)).fetchone())


def _read(connection: sqlite3.Connection, row: Any) -> Capture | None:
    if row is None:
        return None
    number, request, contents = row
    parts = dict(connection.execute("SELECT part, data FROM bodies WHERE number = ?", (number,)).fetchall())
    return decode(request, contents, parts)

"""``traces.db``: the records of the latest requests, which all workers write and ``modelmux trace`` reads.

What requests are found by is in a narrow table of its own, which is read whole: with no index, a row costs least to
write, and 10,000 of them are read in a few milliseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modelmux.store.base import StoreFailed
from modelmux.store.file_kinds import TRACES
from modelmux.store.files import create_once, tighten
from modelmux.store.sqlite_kind import new_file, recognize
from modelmux.store.sqlite_problems import describe
from modelmux.store.sqlite_transaction import transaction
from modelmux.store.traces.record import Trace, decode_trace, encode_trace

FILE_NAME: Final = "traces.db"
#: Requests that are kept, and for how long.
MOST_REQUESTS: Final = 10_000
DAYS: Final = 7
_MICROSECONDS: Final = DAYS * 86_400_000_000
#: Earlier requests of a conversation that may be the turn before.
MOST_TURNS: Final = 20
#: Bytes to which the write-ahead log is cut after it was larger.
_WAL_BYTES: Final = 4 * 1024 * 1024

# ``number`` rises with time, but for requests that end at once in several workers. ``at`` is when a request arrived, in
# microseconds of UTC. Older SQLite libraries have to understand all of it: 3.34.
_SCHEMA: Final = """
CREATE TABLE requests (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL, conversation BLOB,
    request_id TEXT NOT NULL, row_id TEXT, message_id TEXT, upstream_request_id TEXT, trace_id TEXT
);
CREATE TABLE details (number INTEGER PRIMARY KEY, request BLOB NOT NULL, prompt BLOB);
"""
_COLUMNS: Final = "r.conversation, d.request, d.prompt FROM requests AS r JOIN details AS d ON d.number = r.number"
_FIND: Final = f"""
SELECT {_COLUMNS} WHERE ? IN (request_id, row_id, message_id, upstream_request_id, trace_id) AND at > ?
ORDER BY at DESC LIMIT 2
"""
_EARLIER: Final = f"""
SELECT {_COLUMNS} WHERE r.conversation = ? AND r.at < ? ORDER BY r.at DESC LIMIT {MOST_TURNS}
"""
_LATEST: Final = f"SELECT {_COLUMNS} WHERE at > ? ORDER BY at DESC LIMIT ?"


class TracesFile:
    """For a ``ConnectionThread``; several processes share it.

    :param creates: make the file if there is none.
    """

    def __init__(self, path: Path, *, creates: bool = True) -> None:
        self.path = path
        self._creates = creates

    def open(self, timeout: float) -> sqlite3.Connection:
        """See ``SqliteFile.open``."""
        if self._creates:
            create_once(self.path, _create)
            tighten(self.path)
        connection = sqlite3.connect(self.path, timeout=timeout, isolation_level=None, check_same_thread=False)
        try:
            recognize(connection, self.path, TRACES)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        """See ``SqliteFile.close``."""
        connection.close()

    def failure(self, error: sqlite3.Error | OSError) -> StoreFailed:
        """See ``SqliteFile.failure``."""
        return StoreFailed(f"{self.path}: {describe(error)}")


def add(connection: sqlite3.Connection, traces: Sequence[Trace], now: int) -> None:
    """Write records, and drop those that are too many or too old.

    :param now: microseconds in UTC.
    """
    encoded = [encode_trace(trace) for trace in traces]
    with transaction(connection, "IMMEDIATE"):
        (newest,) = connection.execute("SELECT coalesce(max(number), 0) FROM requests").fetchone()
        numbered = list(enumerate(traces, newest + 1))
        connection.executemany(
            "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [_row(number, trace) for number, trace in numbered]
        )
        connection.executemany(
            "INSERT INTO details VALUES (?, ?, ?)",
            [(number, *columns) for (number, _), columns in zip(numbered, encoded, strict=True)],
        )
        _drop(connection, newest + len(traces), now)


def _row(number: int, trace: Trace) -> tuple[int | bytes | str | None, ...]:
    one = trace.request
    ids = (one.request_id, one.row_id, one.message_id, one.upstream_request_id, one.trace_id)
    return (number, one.at, trace.conversation, *ids)


def _drop(connection: sqlite3.Connection, newest: int, now: int) -> None:
    (old,) = connection.execute(  # from the oldest on, up to the first that is kept
        "SELECT coalesce((SELECT number FROM requests WHERE at > ? ORDER BY number LIMIT 1), ?)",
        (now - _MICROSECONDS, newest + 1),
    ).fetchone()
    last = max(newest - MOST_REQUESTS, old - 1)
    connection.execute("DELETE FROM requests WHERE number <= ?", (last,))
    connection.execute("DELETE FROM details WHERE number <= ?", (last,))


def find(connection: sqlite3.Connection, id: str, now: int) -> list[Trace]:
    """The latest two records that have an id, the latest first: an id of a client's own may come several times."""
    return _traces(connection.execute(_FIND, (id, now - _MICROSECONDS)))


def latest(connection: sqlite3.Connection, count: int, now: int) -> list[Trace]:
    """The latest first."""
    return _traces(connection.execute(_LATEST, (now - _MICROSECONDS, count)))


def earlier(connection: sqlite3.Connection, trace: Trace) -> list[Trace]:
    """Requests of the same conversation that arrived before it, the latest first."""
    if trace.conversation is None:
        return []
    return _traces(connection.execute(_EARLIER, (trace.conversation, trace.request.at)))


def _traces(rows: sqlite3.Cursor) -> list[Trace]:
    return [decode_trace(*row) for row in rows]


def _create(draft: Path) -> None:
    with new_file(draft, TRACES) as connection:
        connection.executescript(_SCHEMA)

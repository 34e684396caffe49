"""``traces.db``: the records of the latest requests, which all workers write and ``modelmux trace`` reads.

What requests are found by is in a narrow table of its own, which is read whole: with no index, a row costs least to
write, and 10,000 of them are read in a few milliseconds.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from modelmux.store.file_kinds import TRACES
from modelmux.store.sqlite_kind import SharedFile, SharedKind
from modelmux.store.sqlite_transaction import transaction
from modelmux.store.traces.record import Trace, TracedRequest, decode_request, decode_trace, encode_trace

FILE_NAME: Final = "traces.db"
#: Requests that are kept, and for how long.
MOST_REQUESTS: Final = 10_000
DAYS: Final = 7
_MICROSECONDS: Final = DAYS * 86_400_000_000
#: Above every number of a row.
LAST: Final = 2**62
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
_OF_ROW: Final = f"SELECT {_COLUMNS} WHERE r.row_id = ? AND r.at > ? ORDER BY r.at DESC LIMIT 1"
_NUMBERED: Final = f"SELECT {_COLUMNS} WHERE r.number = ? AND r.at > ?"
_NUMBER: Final = "SELECT max(number) FROM requests WHERE at = ? AND request_id = ?"
_EARLIER: Final = f"""
SELECT {_COLUMNS} WHERE r.conversation = ? AND r.at < ? ORDER BY r.at DESC LIMIT {MOST_TURNS}
"""
_PAGE: Final = """
SELECT r.number, d.request FROM requests AS r JOIN details AS d ON d.number = r.number
WHERE r.number < ? AND r.at > ? ORDER BY r.number DESC
"""
_LATEST: Final = f"SELECT {_COLUMNS} WHERE at > ? ORDER BY at DESC LIMIT ?"


_SHARED: Final = SharedKind(TRACES, _SCHEMA, f"PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = {_WAL_BYTES};")


class TracesFile(SharedFile):
    """See there."""

    def __init__(self, path: Path, *, creates: bool = True) -> None:
        super().__init__(path, _SHARED, creates=creates)


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


def of_row(connection: sqlite3.Connection, id: str, now: int) -> list[Trace]:
    """The record of a row of the ledger. Other ids are not looked at: clients choose some, and could name a row."""
    return _traces(connection.execute(_OF_ROW, (id, now - _MICROSECONDS)))


def numbered(connection: sqlite3.Connection, number: int, now: int) -> list[Trace]:
    """The record with a number of this file, which no client chooses."""
    return _traces(connection.execute(_NUMBERED, (number, now - _MICROSECONDS)))


def number_of(connection: sqlite3.Connection, request: TracedRequest) -> int | None:
    """The number of a record that was read from this file; None if it was dropped meanwhile."""
    (number,) = connection.execute(_NUMBER, (request.at, request.request_id)).fetchone()
    return None if number is None else int(number)


def latest(connection: sqlite3.Connection, count: int, now: int) -> list[Trace]:
    """The latest first."""
    return _traces(connection.execute(_LATEST, (now - _MICROSECONDS, count)))


class TracesPage(NamedTuple):
    """Requests, the newest first. :param next: for ``before`` of the next page; None on the last one.

    :param numbers: of their records, see ``numbered``.
    """

    requests: list[TracedRequest]
    next: int | None
    numbers: list[int]


def page(
    connection: sqlite3.Connection, before: int, count: int, now: int, chosen: Callable[[TracedRequest], bool]
) -> TracesPage:
    """Those that are chosen, in the order in which they were written: rows are read one by one until there are enough.

    :param before: ``next`` of the page before; ``LAST`` for the first page.
    """
    requests: list[TracedRequest] = []
    numbers: list[int] = []
    with contextlib.closing(connection.execute(_PAGE, (before, now - _MICROSECONDS))) as rows:
        for number, text in rows:
            request = decode_request(text)
            if not chosen(request):
                continue
            if len(requests) == count:
                return TracesPage(requests, numbers[-1], numbers)
            requests.append(request)
            numbers.append(number)
    return TracesPage(requests, None, numbers)


def earlier(connection: sqlite3.Connection, trace: Trace) -> list[Trace]:
    """Requests of the same conversation that arrived before it, the latest first."""
    if trace.conversation is None:
        return []
    return _traces(connection.execute(_EARLIER, (trace.conversation, trace.request.at)))


def _traces(rows: sqlite3.Cursor) -> list[Trace]:
    return [decode_trace(*row) for row in rows]

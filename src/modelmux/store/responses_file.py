"""The SQLite file of stored responses: its tables, and how it is created, opened and recognized.

Several processes share it. Its errors are ``sqlite3.Error``, ``OSError`` and ``StoreFailed``.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from modelmux.store.base import StoreFailed
from modelmux.store.file_kinds import RESPONSES
from modelmux.store.files import create_once, tighten
from modelmux.store.sqlite_kind import new_file, recognize

#: Seconds that a call waits for a transaction of another process.
BUSY_TIMEOUT: Final = 5.0
#: Bytes to which the write-ahead log is cut after it was larger.
_WAL_BYTES: Final = 16 * 1024 * 1024

# The owner is in every key. ``contents`` has the bytes of an item once for each owner; it is held by rows of ``items``.
# ``used_at`` is in Unix seconds. ``totals`` has one row. Older SQLite libraries have to understand all of it: 3.34.
_SCHEMA: Final = """
CREATE TABLE responses (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL, id TEXT NOT NULL, previous_id TEXT, created_at INTEGER NOT NULL, body BLOB NOT NULL,
    item_count INTEGER NOT NULL, item_bytes INTEGER NOT NULL, used_at REAL NOT NULL,
    UNIQUE (owner, id)
);
CREATE INDEX responses_by_use ON responses (used_at);
CREATE TABLE contents (
    number INTEGER PRIMARY KEY,
    owner TEXT NOT NULL, hash BLOB NOT NULL, data BLOB NOT NULL,
    UNIQUE (owner, hash)
);
CREATE TABLE items (
    response INTEGER NOT NULL, position INTEGER NOT NULL, is_output INTEGER NOT NULL,
    owner TEXT NOT NULL, id TEXT NOT NULL, content INTEGER NOT NULL,
    PRIMARY KEY (response, position)
) WITHOUT ROWID;
CREATE INDEX items_by_id ON items (owner, id, is_output, response);
CREATE INDEX items_by_content ON items (content);
CREATE TABLE totals (bytes INTEGER NOT NULL, items INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
"""


def open_file(path: Path, *, busy_timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
    """A connection in autocommit mode; the file is created if there is none.

    A connection must not be carried into a forked process.

    :raises StoreFailed: the file is not one of this version.
    """
    create_once(path, _create)
    tighten(path)
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        recognize(connection, path, RESPONSES)
        # What is deleted is overwritten. A commit survives the end of this process; a power failure may undo the last.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


class ResponsesFile:
    """For a ``ConnectionThread``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, timeout: float) -> sqlite3.Connection:
        """See ``SqliteFile.open``."""
        return open_file(self.path, busy_timeout=timeout)

    def close(self, connection: sqlite3.Connection) -> None:
        """See ``SqliteFile.close``."""
        connection.close()

    def failure(self, error: sqlite3.Error | OSError) -> StoreFailed:
        """See ``SqliteFile.failure``."""
        return StoreFailed(f"{self.path}: {(isinstance(error, OSError) and error.strerror) or error}")


def forget_deleted(connection: sqlite3.Connection) -> None:
    """Remove from the write-ahead log what it still has of deleted rows, unless another process needs it right now."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _create(draft: Path) -> None:
    with new_file(draft, RESPONSES) as connection:
        connection.executescript(_SCHEMA)

"""The SQLite file of stored responses: its tables, and how it is created, opened and recognized.

Several processes share it. Its errors are ``sqlite3.Error``, ``OSError`` and ``StoreFailed``.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from modelmux.store.base import StoreFailed
from modelmux.store.file_kinds import RESPONSES
from modelmux.store.sqlite_kind import SharedFile, SharedKind

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


# What is deleted is overwritten. A commit survives the end of this process; a power failure may undo the last.
_SHARED: Final = SharedKind(
    RESPONSES,
    _SCHEMA,
    f"PRAGMA secure_delete = ON; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = {_WAL_BYTES};",
)


class ResponsesFile(SharedFile):
    """See there. Its problems are shown as the library words them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SHARED)

    def failure(self, error: sqlite3.Error | OSError) -> StoreFailed:
        """See ``SqliteFile.failure``."""
        return StoreFailed(f"{self.path}: {(isinstance(error, OSError) and error.strerror) or error}")


def forget_deleted(connection: sqlite3.Connection) -> None:
    """Remove from the write-ahead log what it still has of deleted rows, unless another process needs it right now."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

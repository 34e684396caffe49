"""What an error of SQLite, or of the system below it, means for an operator, and what to do about it."""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

_FULL: Final = "the disk is full; make room on it"
_DENIED: Final = "cannot be written; check owner and mode of the file and of its directory, and how the disk is mounted"
_DAMAGED: Final = "is damaged ({}); restore a backup, or move the file away, with -wal and -shm beside it"

#: Primary result code -> problem and remedy (https://www.sqlite.org/rescode.html).
_BY_RESULT: Final = {
    sqlite3.SQLITE_BUSY: "is locked by another program; end that, or try again",
    sqlite3.SQLITE_LOCKED: "is locked by another program; end that, or try again",
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _DENIED,
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that it is a file, and that its directory exists and is writable",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_IOERR: "the disk failed ({}); check the disk, its quota and the system's log",
}
_BY_ERRNO: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "the quota of the disk is used up; make room on it",
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _DENIED,
}


def damaged(detail: str) -> str:
    """The problem that SQLite found in a file, and its remedy, without the path."""
    return _DAMAGED.format(detail)


def describe(error: sqlite3.Error | OSError) -> str:
    """A problem and its remedy, without the path."""
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        return _BY_ERRNO.get(error.errno or 0) or f"{text}; check the path and its directory"
    result = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _BY_RESULT.get(result, "{}").format(error)

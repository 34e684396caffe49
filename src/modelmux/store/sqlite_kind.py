"""A SQLite file of one kind: how it is made, and how it is told from others."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from modelmux.store.base import StoreFailed
from modelmux.store.file_kinds import FileKind


@contextlib.contextmanager
def new_file(draft: Path, kind: FileKind) -> Iterator[sqlite3.Connection]:
    """Make a file that several processes can share; its tables are made within."""
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.execute(f"PRAGMA application_id = {kind.application_id}")
        connection.execute(f"PRAGMA user_version = {kind.version}")
        yield connection
        connection.execute("PRAGMA journal_mode = WAL")  # is kept in the file
    finally:
        connection.close()


def recognize(connection: sqlite3.Connection, path: Path, kind: FileKind) -> None:
    """:raises StoreFailed: the file is of another kind or version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    problem = kind.problem(path, application, version)
    if problem is not None:
        raise StoreFailed(problem)

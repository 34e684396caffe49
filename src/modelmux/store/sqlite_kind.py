"""A SQLite file of one kind: how it is made and opened, and how it is told from others."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelmux.store.base import StoreFailed
from modelmux.store.file_kinds import FileKind
from modelmux.store.files import create_once, tighten
from modelmux.store.sqlite_problems import describe


@dataclass(frozen=True)
class SharedKind:
    """Of a file that several processes share, and that has no migrations.

    :param schema: statements that make its tables. :param settings: statements of each connection.
    """

    file: FileKind
    schema: str
    settings: str


class SharedFile:
    """For a ``ConnectionThread``.

    :param creates: make the file if there is none.
    """

    def __init__(self, path: Path, kind: SharedKind, *, creates: bool = True) -> None:
        self.path = path
        self._kind = kind
        self._creates = creates

    def open(self, timeout: float) -> sqlite3.Connection:
        """See ``SqliteFile.open``. It is in autocommit mode, and must not be carried into a forked process."""
        kind = self._kind
        if self._creates:
            create_once(self.path, partial(_create, kind))
            tighten(self.path)
        connection = sqlite3.connect(self.path, timeout=timeout, isolation_level=None, check_same_thread=False)
        try:
            recognize(connection, self.path, kind.file)
            connection.executescript(kind.settings)
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


def _create(kind: SharedKind, draft: Path) -> None:
    with new_file(draft, kind.file) as connection:
        connection.executescript(kind.schema)


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

"""The SQLite file of accounts: how it is created, recognized, migrated, opened, written and checkpointed.

The ledger is its first part. Several processes share it, under rules that hold for every version of SQLite:

- Before 3.51.3, a commit may be lost if one connection commits while another starts a checkpoint (the "WAL-reset bug",
  https://www.sqlite.org/wal.html). So every write transaction and every checkpoint of every process runs under one
  ``flock`` on a file beside the database, and none starts by itself (``wal_autocheckpoint = 0``).
- ``synchronous = FULL``: what was committed survives a loss of power.
- A connection is opened after a fork, never before.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from modelmux.store import migrate
from modelmux.store.base import StoreFailed
from modelmux.store.file_lock import LockTimeout, lock_file
from modelmux.store.files import create_once, tighten
from modelmux.store.migrate import Migration, sqlite_migrations
from modelmux.store.sqlite_problems import describe
from modelmux.store.sqlite_transaction import transaction

#: Marks the file as ours: "MMXA".
APPLICATION_ID: Final = 0x4D4D5841
#: Seconds that a call waits for other processes.
BUSY_TIMEOUT: Final = 5.0
#: Bytes of the write-ahead log after which a commit is followed by a checkpoint, and to which it is cut afterwards.
CHECKPOINT_BYTES: Final = 4 * 1024 * 1024
#: Memory of a connection for pages, in KiB, as SQLite wants it.
_CACHE_KIB: Final = 16 * 1024
#: Seconds that closing waits for the lock. Without it, closing is safe nevertheless: it makes a checkpoint only if it
#: can lock all other connections out.
_CLOSE_TIMEOUT: Final = 1.0


class FileMoved(sqlite3.OperationalError):
    """The file that a connection has open is no longer at its path: what is written to it would be lost."""


class _Connection(sqlite3.Connection):
    """:ivar opened: device and number of the file."""

    opened: tuple[int, int]


class AccountsFile:
    """A ``SqliteFile``.

    :param busy_timeout: seconds that a write waits for those of other processes.
    """

    def __init__(
        self, path: Path, busy_timeout: float = BUSY_TIMEOUT, migrations: Sequence[Migration] | None = None
    ) -> None:
        self.path = path
        self.lock_path = path.with_name(path.name + "-lock")
        self._wal_path = path.with_name(path.name + "-wal")
        self._busy_timeout = busy_timeout
        self._migrations = sqlite_migrations() if migrations is None else migrations
        self._was_opened = False

    def open(self, timeout: float) -> sqlite3.Connection:
        """A connection in autocommit mode. The file is created if there is none, unless this object had it open.

        :raises StoreFailed: it is not ours, or of a newer version.
        """
        if self._was_opened and not self.path.exists():
            raise FileMoved
        create_once(self.path, _create)
        tighten(self.path)
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",  # which never creates a file
            uri=True, timeout=timeout, isolation_level=None, check_same_thread=False, factory=_Connection,
        )  # fmt: skip
        try:
            connection.opened = self._identity()
            self._recognize(connection)
            for setting, value in (
                ("synchronous", "FULL"),
                ("wal_autocheckpoint", 0),
                ("journal_size_limit", CHECKPOINT_BYTES),
                ("temp_store", "MEMORY"),
                ("cache_size", -_CACHE_KIB),
            ):
                connection.execute(f"PRAGMA {setting} = {value}")
            self._migrate(connection)
        except BaseException:
            self.close(connection)
            raise
        self._was_opened = True
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        """Under the lock: the last connection that closes makes a checkpoint."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                stack.enter_context(lock_file(self.lock_path, min(_CLOSE_TIMEOUT, self._busy_timeout)))
            connection.close()

    def failure(self, error: sqlite3.Error | OSError) -> StoreFailed:
        """See ``SqliteFile.failure``. The message says what to do."""
        if isinstance(error, FileMoved):
            problem = "was moved or deleted while in use; put it back, or restart to begin an empty one"
        elif isinstance(error, LockTimeout):
            problem = (
                f"another process holds its lock for more than {self._busy_timeout:g} s; find it with "
                f"fuser {self.lock_path}"
            )
        else:
            problem = describe(error)
        return StoreFailed(f"{self.path}: {problem}")

    @contextlib.contextmanager
    def write(self, connection: sqlite3.Connection) -> Iterator[None]:
        """A write transaction around the block, rolled back if that raises. It is durable when this ends.

        :raises LockTimeout, FileMoved, sqlite3.Error: nothing was written.
        """
        with lock_file(self.lock_path, self._busy_timeout):
            self.check_present(connection)
            with transaction(connection, "IMMEDIATE"):
                yield
            # The commit stands, whatever becomes of the checkpoint: the next commit tries it again.
            with contextlib.suppress(sqlite3.Error, OSError):
                if self._wal_path.stat().st_size >= CHECKPOINT_BYTES:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    @contextlib.contextmanager
    def read(self, connection: sqlite3.Connection) -> Iterator[None]:
        """A transaction around the block that reads from one state of the file. :raises FileMoved:"""
        self.check_present(connection)
        with transaction(connection, "DEFERRED"):
            yield

    def check_present(self, connection: sqlite3.Connection) -> None:
        """:raises FileMoved:"""
        assert isinstance(connection, _Connection)
        try:
            identity = self._identity()
        except FileNotFoundError:
            raise FileMoved from None
        if identity != connection.opened:
            raise FileMoved

    def _identity(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino

    def _recognize(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise StoreFailed(f"{self.path}: not a file of modelmux accounts; move it away or name another one")

    def _migrate(self, connection: sqlite3.Connection) -> None:
        try:
            if _journal_mode(connection) == "wal" and not migrate.pending(connection, self._migrations):
                return
            with lock_file(self.lock_path, self._busy_timeout):
                connection.execute("PRAGMA journal_mode = WAL")
                with transaction(connection, "IMMEDIATE"):
                    migrate.apply(connection, self._migrations)
        except StoreFailed as error:
            raise StoreFailed(f"{self.path}: {error}") from None


def _journal_mode(connection: sqlite3.Connection) -> str:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


def _create(draft: Path) -> None:
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is written
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")  # is kept in the file
    finally:
        connection.close()

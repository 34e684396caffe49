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
import errno
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from modelmux.store import migrate
from modelmux.store.base import StoreFailed, StoreOutdated
from modelmux.store.file_kinds import ACCOUNTS
from modelmux.store.file_lock import LockTimeout, lock_file
from modelmux.store.files import create_once, dangling, tighten
from modelmux.store.migrate import Migration, sqlite_migrations
from modelmux.store.sqlite_problems import describe
from modelmux.store.sqlite_transaction import transaction

#: Seconds that a call waits for other processes.
BUSY_TIMEOUT: Final = 5.0
#: Bytes of the write-ahead log after which a commit is followed by a checkpoint, and to which it is cut afterwards.
CHECKPOINT_BYTES: Final = 4 * 1024 * 1024
#: Memory of a connection for pages, in KiB, as SQLite wants it.
_CACHE_KIB: Final = 16 * 1024
#: Seconds that closing waits for the lock. Without it, closing is safe nevertheless: it makes a checkpoint only if it
#: can lock all other connections out.
_CLOSE_TIMEOUT: Final = 1.0
#: Seconds between two looks at a file that is just being changed.
_PAUSE: Final = 0.01


class FileMoved(sqlite3.OperationalError):
    """The file that a connection has open is no longer at its path: what is written to it would be lost."""


class LogMoved(FileMoved):
    """The write-ahead log or its index was removed under a connection, as by a restore in place: it neither sees what
    others write, nor do they see what it writes."""


class _Connection(sqlite3.Connection):
    """
    :ivar opened: device and number of the file.
    :ivar companions: those of ``-wal`` and ``-shm``, as far as it has them open.
    :ivar is_read_only: it writes nothing, and makes no checkpoint when it is closed.
    """

    opened: tuple[int, int]
    companions: Mapping[Path, tuple[int, int]] = MappingProxyType({})
    is_read_only = False

    def close(self) -> None:
        super().close()
        with _connections_lock:
            _connections.discard(self)

    def has_lost_log(self) -> bool:
        """Whether a companion is no longer at its path, or another one is."""
        return any(_identity(path) != identity for path, identity in self.companions.items())


#: The connections of this process. Those to one file share one ``-shm``, whatever is at its path by now.
_connections: Final[weakref.WeakSet[_Connection]] = weakref.WeakSet()
_connections_lock: Final = threading.Lock()


class AccountsFile:
    """A ``SqliteFile``.

    :param busy_timeout: seconds that a write waits for those of other processes.
    :ivar was_opened: whether there was a file; then another one in its stead is not created.
    """

    def __init__(
        self, path: Path, busy_timeout: float = BUSY_TIMEOUT, migrations: Sequence[Migration] | None = None
    ) -> None:
        #: The file itself: what SQLite and this module put beside it is beside the target of a symbolic link.
        self.path = Path(os.path.realpath(path))
        self.lock_path = self.path.with_name(self.path.name + "-lock")
        self._named = path
        self._wal_path = self.path.with_name(self.path.name + "-wal")
        self._shm_path = self.path.with_name(self.path.name + "-shm")
        self._busy_timeout = busy_timeout
        self._migrations = sqlite_migrations() if migrations is None else migrations
        self.was_opened = False

    def open(self, timeout: float) -> sqlite3.Connection:
        """A connection in autocommit mode. The file is created if there is none, unless this object had it open.

        :raises StoreFailed: it is not ours, or of a newer version. It is not changed then.
        """
        if not self.path.exists():
            self._create()
        self._check_process()
        self._recognize()
        if os.name == "posix" and self.path.stat().st_uid == os.geteuid():
            tighten(self.path)
        connection = self._connect("mode=rw", timeout)  # which never creates a file
        try:
            for setting, value in (
                ("synchronous", "FULL"),
                ("wal_autocheckpoint", 0),
                ("journal_size_limit", CHECKPOINT_BYTES),
                ("temp_store", "MEMORY"),
                ("cache_size", -_CACHE_KIB),
            ):
                connection.execute(f"PRAGMA {setting} = {value}")
            self._migrate(connection)
            self._remember_companions(connection)
        except BaseException:
            self.close(connection)
            raise
        self.was_opened = True
        return connection

    def open_to_read(self, timeout: float, *, leaves_nothing: bool = False) -> sqlite3.Connection:
        """A connection that changes nothing: no mode, no lock file, no checkpoint. As ``open`` if the file is to be
        created or migrated first.

        :param leaves_nothing: nothing is created beside a file that no process has open. Only for a moment: if one
            opens it meanwhile, reading may fail.
        :raises StoreFailed: see ``open``.
        """
        if not self.path.exists():
            return self.open(timeout)
        self._check_process()
        self._recognize()
        is_idle = leaves_nothing and not self._wal_path.exists()
        connection = self._connect("immutable=1" if is_idle else "mode=ro", timeout)
        try:
            connection.is_read_only = True
            try:
                is_current = not self._pending(connection)
                if not is_idle:
                    self._remember_companions(connection)
            except sqlite3.OperationalError:
                if self._wal_path.exists() or os.access(self.path.parent, os.W_OK):
                    raise
                # SQLite may create nothing beside it, and no process has it open: a copy, for example.
                connection.close()
                connection = self._connect("immutable=1", timeout)
                connection.is_read_only = True
                is_current = not self._pending(connection)
            if is_current:
                connection.execute("PRAGMA temp_store = MEMORY")
                connection.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")
                self.was_opened = True
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        if leaves_nothing:
            raise StoreOutdated(f"{self.path}: of an older version; the next start of the gateway brings it up to date")
        return self.open(timeout)

    def open_as_it_is(self, timeout: float) -> sqlite3.Connection:
        """A connection that only reads a file of any version, to copy it. :raises StoreFailed: it is not ours."""
        self._check_process()
        self._recognize()
        connection = self._connect("mode=ro", timeout)
        connection.is_read_only = True
        return connection

    def check_lock(self) -> None:
        """Whether a write could begin in a file that a process has open. Nothing is written.

        :raises LockTimeout, sqlite3.Error, OSError:
        """
        if self._wal_path.exists() and self._shm_path.exists():  # so nothing is created
            with (
                self._lock(self._busy_timeout),
                # The last connection that closes makes a checkpoint, also of the log of a process that was killed,
                # unless it only reads. So one of those is open until the end.
                contextlib.closing(self._connect("mode=ro", self._busy_timeout)) as last,
                contextlib.closing(self._connect("mode=rw", self._busy_timeout)) as connection,
            ):
                last.execute("SELECT 1 FROM sqlite_master").fetchone()
                with transaction(connection, "IMMEDIATE"):
                    pass

    def close(self, connection: sqlite3.Connection) -> None:
        """Under the lock: the last connection that closes makes a checkpoint. One that has lost its log stays open
        until the process ends: its checkpoint would write pages of before into the file that was restored."""
        assert isinstance(connection, _Connection)
        with contextlib.ExitStack() as stack:
            if not connection.is_read_only:
                with contextlib.suppress(OSError):
                    stack.enter_context(self._lock(min(_CLOSE_TIMEOUT, self._busy_timeout)))
                if connection.has_lost_log() and _identity(self.path) == connection.opened:
                    _keep_open(connection)
                    return
            connection.close()

    def failure(self, error: sqlite3.Error | OSError) -> StoreFailed:
        """See ``SqliteFile.failure``. The message says what to do."""
        path = self.path
        if isinstance(error, LogMoved):
            problem = (
                "its -wal or -shm was removed or replaced while in use, as by a restore; stop the gateway, remove "
                "both, copy the backup, start the gateway"
            )
        elif isinstance(error, FileMoved):
            problem = "was moved or deleted while in use; put it back, or restart to begin an empty one"
        elif isinstance(error, LockTimeout):
            problem = (
                f"another process holds its lock for more than {self._busy_timeout:g} s; find it with "
                f"fuser {self.lock_path}"
            )
        else:
            problem = describe(error)
            if (
                isinstance(error, OSError)
                and error.filename == os.fspath(self.lock_path)
                and error.errno != errno.ENOENT
            ):
                path = self.lock_path
        return StoreFailed(f"{path}: {problem}")

    @contextlib.contextmanager
    def write(self, connection: sqlite3.Connection) -> Iterator[None]:
        """A write transaction around the block, rolled back if that raises. It is durable when this ends.

        :raises LockTimeout, FileMoved, sqlite3.Error: nothing was written.
        """
        with self._lock(self._busy_timeout):
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
        if _identity(self.path) != connection.opened:
            raise FileMoved
        if connection.has_lost_log():
            raise LogMoved

    def _check_process(self) -> None:
        """:raises LogMoved: a connection of this process has lost its log; a new one would share its index."""
        identity = _identity(self.path)
        with _connections_lock:
            connections = tuple(_connections)
        if any(one.opened == identity and one.has_lost_log() for one in connections):
            raise LogMoved

    def _remember_companions(self, connection: _Connection) -> None:
        """Once they are open: SQLite opens them when it reads first."""
        identities = {path: _identity(path) for path in (self._wal_path, self._shm_path)}
        connection.companions = {path: identity for path, identity in identities.items() if identity is not None}
        with _connections_lock:
            _connections.add(connection)

    def _create(self) -> None:
        """:raises StoreFailed, FileMoved, OSError:"""
        if self.was_opened:
            raise FileMoved
        problem = dangling(self._named)
        if problem is not None:
            raise StoreFailed(problem)
        create_once(self.path, _create)

    def _connect(self, parameter: str, timeout: float) -> _Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?{parameter}",
            uri=True, timeout=timeout, isolation_level=None, check_same_thread=False, factory=_Connection,
        )  # fmt: skip
        status = self.path.stat()
        connection.opened = status.st_dev, status.st_ino
        return connection

    def _recognize(self) -> None:
        """Before anything is changed, or created beside the file. SQLite reads the header: if this process opened and
        closed the file by itself, it would lose the locks that SQLite has on it.

        :raises StoreFailed, sqlite3.Error:
        """
        deadline, parameter = time.monotonic() + self._busy_timeout, "immutable=1"
        while True:
            try:
                with contextlib.closing(self._connect(parameter, 0.0)) as connection:
                    (application,) = connection.execute("PRAGMA application_id").fetchone()
                break
            except sqlite3.DatabaseError as error:
                # In the middle of a checkpoint a file seems to lack its end, and that of a killed process stays so. The
                # log has it: where there is one, nothing is created beside the file but its index.
                if error.sqlite_errorcode != sqlite3.SQLITE_CORRUPT or time.monotonic() >= deadline:
                    raise
                parameter = "mode=ro" if self._wal_path.exists() else "immutable=1"
                time.sleep(_PAUSE)
        problem = ACCOUNTS.problem(self.path, application, version=0)
        if problem is not None:
            raise StoreFailed(f"{problem}; move it away or name another one")

    def _lock(self, timeout: float) -> contextlib.AbstractContextManager[None]:
        return lock_file(self.lock_path, timeout, owner_of=self.path)

    def _pending(self, connection: sqlite3.Connection) -> list[Migration]:
        """:raises StoreFailed: see ``migrate.pending``."""
        try:
            return migrate.pending(connection, self._migrations)
        except StoreFailed as error:
            raise StoreFailed(f"{self.path}: {error}") from None

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if not self._pending(connection) and _journal_mode(connection) == "wal":
            return
        try:
            with self._lock(self._busy_timeout):
                connection.execute("PRAGMA journal_mode = WAL")
                with transaction(connection, "IMMEDIATE"):
                    migrate.apply(connection, self._migrations)
        except StoreFailed as error:
            raise StoreFailed(f"{self.path}: {error}") from None


class AccountsReader:
    """A ``SqliteFile``: an ``AccountsFile`` for a thread that only reads. See ``AccountsFile.open_to_read``."""

    def __init__(self, file: AccountsFile, *, leaves_nothing: bool = False) -> None:
        self.open = partial(file.open_to_read, leaves_nothing=leaves_nothing)
        self.close = file.close
        self.failure = file.failure


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a file; None if there is none. :raises OSError:"""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _keep_open(connection: sqlite3.Connection) -> None:
    """Until the process ends, also while Python ends: before 3.12, closing without a checkpoint is not possible."""
    import ctypes  # rarely needed

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _journal_mode(connection: sqlite3.Connection) -> str:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


def _create(draft: Path) -> None:
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is written
        connection.execute(f"PRAGMA application_id = {ACCOUNTS.application_id}")
        connection.execute("PRAGMA journal_mode = WAL")  # is kept in the file
    finally:
        connection.close()

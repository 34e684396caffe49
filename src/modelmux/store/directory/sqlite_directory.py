"""The directory in the SQLite file of accounts, which several processes share: see ``accounts_file``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from modelmux.accounts.directory import NO_STAMP, Directory, Stamp
from modelmux.accounts.edits import Edit
from modelmux.store.accounts_file import BUSY_TIMEOUT, AccountsFile, AccountsReader
from modelmux.store.base import StoreFailed
from modelmux.store.connection_thread import ConnectionThread
from modelmux.store.directory import receipts, sqlite_audit
from modelmux.store.directory.base import USUAL_LIMITS, AuditLimits, AuditPage, Author
from modelmux.store.directory.receipts import Once
from modelmux.store.directory.record_rows import audited, changes_of, encode_record, read_changes, records
from modelmux.store.files import dangling
from modelmux.store.keyed_mark import KeyedMark

_LAST_CHANGE: Final = "SELECT number, at FROM audit ORDER BY number DESC LIMIT 1"
_HAS_CHANGE: Final = "SELECT 1 FROM audit WHERE number = ? AND at = ?"
_CHANGED: Final = "SELECT data FROM directory WHERE kind = ? AND version > ?"


class SqliteDirectory:
    """A ``DirectoryStore``. It may be made before a fork, if it is used only after it. Reading creates no database.

    :param leaves_nothing: see ``AccountsFile.open_to_read``.
    :param query_limit: seconds after which a query of the audit log is ended. The directory itself is read once, and
        then what changed.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout: float = BUSY_TIMEOUT,
        leaves_nothing: bool = False,
        query_limit: float | None = None,
    ) -> None:
        self.path = path
        self._file = AccountsFile(path, busy_timeout)
        self._mark = KeyedMark(path)
        self._busy_timeout = busy_timeout
        self._query_limit = query_limit
        reader = AccountsReader(self._file, leaves_nothing=leaves_nothing)
        self._reader = ConnectionThread("modelmux-directory-reader", reader, busy_timeout)
        self._writer = ConnectionThread("modelmux-directory-writer", self._file, busy_timeout)
        self._written = Directory()  # what the writer knows

    def load(self) -> Directory:
        """The directory of now, in this thread: for a start. :raises StoreFailed:"""
        if self._is_absent():
            return Directory()
        try:
            return self._reader.call(lambda connection: self._read(connection, Directory()))
        finally:
            self._reader.disconnect()

    async def read(self, known: Directory) -> Directory:
        """See ``DirectoryStore.read``."""
        if known.version == 0 and self._is_absent():
            return known
        return await self._reader.run(lambda connection: self._read(connection, known))

    async def change(
        self, decide: Callable[[Directory], Edit], author: Author, at: int, once: Once | None = None
    ) -> tuple[Directory, Edit]:
        """See ``DirectoryStore.change``."""

        def write(connection: sqlite3.Connection) -> tuple[Directory, Edit]:
            self._written, edit = self._change(connection, self._written, decide, author, at, once)
            return self._written, edit

        self._is_absent()  # is an error where there was a file: an empty one in its stead would only be in the way
        return await self._writer.run(write)

    def change_now(self, decide: Callable[[Directory], Edit], author: Author, at: int) -> Directory:
        """See ``DirectoryStore.change_now``."""
        self._is_absent()  # as above
        thread = ConnectionThread("modelmux-directory-start", self._file, self._busy_timeout)
        try:
            return thread.call(lambda connection: self._change(connection, Directory(), decide, author, at))[0]
        finally:
            thread.disconnect()

    async def note(self, author: Author, at: int, action: str, subject: str, after: Mapping[str, Any]) -> None:
        """See ``DirectoryStore.note``."""

        def write(connection: sqlite3.Connection) -> None:
            with self._file.write(connection):
                sqlite_audit.add(connection, author, at, action, subject, {}, after)

        self._is_absent()  # as in ``change``
        await self._writer.run(write)

    async def audit(
        self, *, subject: str | None = None, before: int | None = None, limits: AuditLimits = USUAL_LIMITS
    ) -> AuditPage:
        """See ``DirectoryStore.audit``."""

        def read(connection: sqlite3.Connection) -> AuditPage:
            with self._file.read(connection):
                return sqlite_audit.page(connection, subject, before, limits)

        return AuditPage([], has_more=False) if self._is_absent() else await self._reader.run(read, self._query_limit)

    async def aclose(self) -> None:
        """Idempotent."""
        await self._reader.aclose()
        await self._writer.aclose()

    def _change(
        self,
        connection: sqlite3.Connection,
        known: Directory,
        decide: Callable[[Directory], Edit],
        author: Author,
        at: int,
        once: Once | None = None,
    ) -> tuple[Directory, Edit]:
        was_keyed = self._mark.is_set
        with self._file.write(connection):
            before = self._updated(connection, known, was_keyed=was_keyed)
            receipt = None if once is None else receipts.find(connection, once, at)
            edit = decide(before) if once is None or receipt is None else once.repeat(before, receipt)
            after = before if edit.is_empty else self._write(connection, before, edit, author, at)
            if once is not None:
                receipts.write(connection, once, edit, receipt, at)
        if after.keys and not was_keyed:
            self._mark.set()
        return after, edit

    def _write(
        self, connection: sqlite3.Connection, before: Directory, edit: Edit, author: Author, at: int
    ) -> Directory:
        version = before.version + 1
        connection.executemany(
            "INSERT INTO directory VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET version = excluded.version, data = excluded.data",
            [(kind, id, version, encode_record(record)) for kind, id, record in records(edit)],
        )
        number = sqlite_audit.add(connection, author, at, edit.action, edit.subject, *audited(before, edit))
        return before.updated(changes_of(edit, version, (number, at)))

    def _read(self, connection: sqlite3.Connection, known: Directory) -> Directory:
        was_keyed = self._mark.is_set  # before: a process that writes the first key sets it afterwards
        with self._file.read(connection):
            return self._updated(connection, known, was_keyed=was_keyed)

    def _is_absent(self) -> bool:
        """Whether there is no file yet. :raises StoreFailed: there was one."""
        try:
            if self._file.was_opened or self.path.exists():
                return False
            problem = dangling(self.path)
            if problem is not None:
                raise StoreFailed(problem)
            if self._mark.is_set:
                raise self._mark.lost()
        except OSError as error:
            raise self._file.failure(error) from None
        return True

    def _updated(self, connection: sqlite3.Connection, known: Directory, *, was_keyed: bool) -> Directory:
        """:raises StoreFailed: a record cannot be read, or there are no keys any more."""
        directory = self._changed(connection, known)
        if was_keyed and not directory.keys:
            raise self._mark.lost()
        return directory

    def _changed(self, connection: sqlite3.Connection, known: Directory) -> Directory:
        (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM directory").fetchone()
        stamp: Stamp = connection.execute(_LAST_CHANGE).fetchone() or NO_STAMP
        if (version, stamp) == (known.version, known.stamp):
            return known
        # A backup was put back: the change that is known was never made in it, whatever was made in it since. Equal
        # versions with a later change are usual: not every row of the audit log is one of a record.
        if version < known.version or connection.execute(_HAS_CHANGE, known.stamp).fetchone() is None:
            known = Directory()

        def texts(kind: str) -> Iterator[str]:
            return (data for (data,) in connection.execute(_CHANGED, (kind, known.version)))

        try:
            return known.updated(read_changes(version, stamp, texts))
        except StoreFailed as error:
            raise StoreFailed(f"{self.path}: {error}") from None

"""The ledger in a SQLite file that several processes share: see ``accounts_file``.

Each call runs in a thread: one that reads and one that writes. What waits to be appended is written in one transaction,
so that each costs one turn of the lock and one ``fsync``, however many calls there are.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from modelmux.accounts.alerts import Watch
from modelmux.accounts.entry import Entry
from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.store.accounts_file import BUSY_TIMEOUT, AccountsFile, AccountsReader
from modelmux.store.connection_thread import ConnectionThread
from modelmux.store.directory import sqlite_audit
from modelmux.store.directory.base import Author
from modelmux.store.directory.receipts import Once
from modelmux.store.ledger import (
    sqlite_alerts,
    sqlite_entries,
    sqlite_retention,
    sqlite_state,
    sqlite_usage,
    sqlite_verify,
    sqlite_windows,
)
from modelmux.store.ledger.base import (
    Difference,
    DueAlert,
    EntryPage,
    EntryQuery,
    LedgerState,
    UnstorableEntry,
    Verified,
)
from modelmux.store.ledger.sqlite_append import Appender
from modelmux.store.ledger.sqlite_correct import Decide, correct
from modelmux.store.ledger.sqlite_rows import Row, to_row

#: Rows of one transaction, unless a single call has more.
_MOST_ROWS: Final = 2_000
#: Differences that ``verify`` returns at most. It repairs all.
MOST_DIFFERENCES: Final = 1_000
#: Sums that a row of the audit log names.
_AUDITED: Final = 100
#: Seconds between two transactions of a long task, in which other processes get the lock.
_PAUSE: Final = 0.005

T = TypeVar("T")
_Waiting = tuple[tuple[Entry, ...], "Future[None]"]


class SqliteLedger:
    """A ``Ledger``. It may be made before a fork, if it is used only after it.

    :param tags: the names of the tags that usage is reported by. Rows keep all of theirs.
    :param busy_timeout: seconds that a call waits for other processes.
    """

    def __init__(self, path: Path, tags: Sequence[str] = (), *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.path = path
        self._file = AccountsFile(path, busy_timeout)
        self._appender = Appender(tags)
        self._waiting: deque[_Waiting] = deque()
        self._reader = ConnectionThread("modelmux-ledger-reader", AccountsReader(self._file), busy_timeout)
        self._writer = ConnectionThread("modelmux-ledger-writer", self._file, busy_timeout)

    def check(self) -> None:
        """Open the file once, create or migrate it, and close it: for a start, before workers are forked.

        :raises StoreFailed: it cannot be used.
        """

        def write(connection: sqlite3.Connection) -> None:
            with self._file.write(connection):
                connection.execute("UPDATE ledger_state SET dropped_before = dropped_before")

        try:
            self._writer.call(write)
        finally:
            self._writer.disconnect()

    def check_entry(self, entry: Entry) -> None:
        """See ``Ledger.check_entry``."""
        to_row(entry)

    async def append(self, entries: Sequence[Entry]) -> None:
        """See ``Ledger.append``."""
        if not entries:
            return
        written: Future[None] = Future()
        self._waiting.append((tuple(entries), written))
        try:
            await self._writer.run(self._append_waiting)
        except asyncio.CancelledError:
            written.cancel()
            raise
        except Exception:
            if written.cancel():  # it was not tried
                raise
        await asyncio.wrap_future(written)  # it may have been written, or failed, with rows of an earlier call

    async def append_audited(
        self, entries: Sequence[Entry], author: Author, at: int, action: str, shown: Mapping[str, Any]
    ) -> None:
        """See ``Ledger.append_audited``."""

        def write(connection: sqlite3.Connection) -> None:
            rows = [to_row(entry) for entry in entries]
            try:
                with self._file.write(connection):
                    self._appender.append(connection, rows)
                    sqlite_audit.add(connection, author, at, action, "ledger", {}, {"ledger": shown})
            except BaseException:
                self._appender.forget()
                raise

        await self._writer.run(write)

    async def correct(
        self, id: bytes, decide: Decide, author: Author, at: int, once: Once | None = None
    ) -> tuple[Entry, list[Entry]] | None:
        """See ``Ledger.correct``."""

        def write(connection: sqlite3.Connection) -> tuple[Entry, list[Entry]] | None:
            try:
                with self._file.write(connection):
                    return correct(connection, self._appender, id, decide, author, at, once)
            except BaseException:
                self._appender.forget()
                raise

        return await self._writer.run(write)

    async def exchange(
        self,
        holder: str,
        entries: Sequence[Entry],
        asks: Mapping[WindowKey, Ask],
        now: int,
        watches: Mapping[WindowKey, Watch] = MappingProxyType({}),
    ) -> dict[WindowKey, Grant]:
        """See ``Ledger.exchange``."""

        def write(connection: sqlite3.Connection) -> dict[WindowKey, Grant]:
            rows = [to_row(entry) for entry in entries]
            try:
                with self._file.write(connection):
                    self._appender.append(connection, rows, holder)
                    sqlite_alerts.note(connection, watches, now)
                    return sqlite_windows.exchange(connection, holder, asks, now)
            except BaseException:
                self._appender.forget()
                raise

        return await self._writer.run(write)

    async def holders(self) -> dict[str, int]:
        """See ``Ledger.holders``."""
        return await self._read(sqlite_windows.holders)

    async def end_holder(self, holder: str, make_row: Callable[[WindowKey, int], Entry] | None = None) -> None:
        """See ``Ledger.end_holder``."""

        def write(connection: sqlite3.Connection) -> None:
            try:
                with self._file.write(connection):
                    leases = sqlite_windows.leases_of(connection, holder)
                    if make_row is not None:
                        rows = [make_row(window, amount) for window, amount in leases.items() if amount > 0]
                        self._appender.append(connection, [to_row(row) for row in rows], holder)
                    sqlite_windows.end_holder(connection, holder)
            except BaseException:
                self._appender.forget()
                raise

        await self._writer.run(write)

    async def due_alert(self, now: int, until: int) -> DueAlert | None:
        """See ``Ledger.due_alert``. Nothing is written if there is none."""

        def claim(connection: sqlite3.Connection) -> DueAlert | None:
            with self._file.write(connection):
                return sqlite_alerts.claim(connection, now, until)

        if not await self._read(lambda connection: sqlite_alerts.is_due(connection, now)):
            return None
        return await self._writer.run(claim)

    async def set_due(self, alert: str, due: int | None) -> None:
        """See ``Ledger.set_due``."""

        def write(connection: sqlite3.Connection) -> None:
            with self._file.write(connection):
                sqlite_alerts.set_due(connection, alert, due)

        await self._writer.run(write)

    async def windows(
        self, windows: Sequence[WindowKey], each: Sequence[tuple[str, int]] = (), most: int = 100
    ) -> dict[WindowKey, tuple[int, int]]:
        """See ``Ledger.windows``."""
        return await self._read(lambda connection: sqlite_windows.windows_of(connection, windows, each, most))

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        """See ``Ledger.usage``. :raises ValueError: see ``sqlite_usage.check_query``."""
        zone = sqlite_usage.check_query(query)
        return await self._read(lambda connection: sqlite_usage.usage(connection, query, zone))

    async def entries(self, query: EntryQuery) -> EntryPage:
        """See ``Ledger.entries``. :raises ValueError: see ``sqlite_entries.check_query``."""
        sqlite_entries.check_query(query)
        return await self._read(lambda connection: sqlite_entries.entries(connection, query))

    async def by_id(self, ids: Sequence[bytes]) -> list[Entry]:
        """See ``Ledger.by_id``."""
        return await self._read(lambda connection: sqlite_entries.by_id(connection, ids))

    async def state(self) -> LedgerState:
        """See ``Ledger.state``."""
        return await self._read(sqlite_state.state)

    async def corrections(self, ids: Sequence[bytes]) -> list[Entry]:
        """See ``Ledger.corrections``."""
        return await self._read(lambda connection: sqlite_entries.corrections(connection, ids))

    async def verify(self, *, repair: bool = False) -> list[Difference]:
        """See ``Ledger.verify``; it returns at most ``MOST_DIFFERENCES``. Days whose rows were dropped are left out."""

        differing: list[Difference] = []
        for part in (sqlite_verify.days, sqlite_verify.months):  # months are sums of the days, after those
            for section in await self._read(part):
                differing += await self._verify(section, repair=repair)
                del differing[MOST_DIFFERENCES:]
        return differing

    async def verify_some(self, after: int, most: int, author: Author | None = None, at: int = 0) -> Verified:
        """See ``Ledger.verify_some``."""

        def sections(connection: sqlite3.Connection) -> list[int]:
            return [*sqlite_verify.days(connection), *sqlite_verify.months(connection)]

        differing: list[Difference] = []
        rest = [section for section in await self._read(sections) if section > after]
        for section in rest[:most]:
            differing += await self._verify(section, repair=author is not None, author=author, at=at)
            del differing[MOST_DIFFERENCES:]
        return Verified(differing, rest[most - 1] if len(rest) > most else None)

    async def drop_before(self, instant: int) -> int:
        """See ``Ledger.drop_before``."""

        def begin(connection: sqlite3.Connection) -> int:
            with self._file.write(connection):
                return sqlite_retention.begin(connection, instant)

        def drop(connection: sqlite3.Connection) -> tuple[int, bytes | None]:
            assert after is not None
            with self._file.write(connection):
                return sqlite_retention.drop_chunk(connection, before, after)

        before = await self._writer.run(begin)
        dropped = 0
        after: bytes | None = b""
        while after is not None:
            count, after = await self._writer.run(drop)
            dropped += count
            await asyncio.sleep(_PAUSE)
        return dropped

    async def aclose(self) -> None:
        """After the calls that run. Idempotent."""
        await self._reader.aclose()
        await self._writer.aclose()

    async def _verify(
        self, section: int, *, repair: bool, author: Author | None = None, at: int = 0
    ) -> list[Difference]:
        differing = await self._read(lambda c: sqlite_verify.differences(c, sqlite_verify.of_section(c, section)))
        if not differing or not repair:
            return differing

        def rewrite(connection: sqlite3.Connection) -> list[Difference]:
            with self._file.write(connection):
                sections = sqlite_verify.of_section(connection, section)
                differing = sqlite_verify.differences(connection, sections)
                if differing:
                    sqlite_verify.repair(connection, sections)
                if differing and author is not None:
                    before = {one.what: one.stored for one in differing[:_AUDITED]}
                    after = {one.what: one.recomputed for one in differing[:_AUDITED]}
                    records = ({"ledger": before}, {"ledger": after})
                    sqlite_audit.add(connection, author, at, "ledger.repair", "ledger", *records)
                return differing

        return await self._writer.run(rewrite)

    async def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        def read(connection: sqlite3.Connection) -> T:
            with self._file.read(connection):
                return function(connection)

        return await self._reader.run(read)

    def _append_waiting(self, connection: sqlite3.Connection) -> None:
        """In the thread: write what waits; its calls are told."""
        calls = []
        rows: list[Row] = []
        while self._waiting and (not rows or len(rows) + len(self._waiting[0][0]) <= _MOST_ROWS):
            entries, written = self._waiting.popleft()
            if written.set_running_or_notify_cancel():
                try:
                    rows += [to_row(entry) for entry in entries]
                except UnstorableEntry as error:
                    written.set_exception(error)
                else:
                    calls.append(written)
        if not calls:
            return
        try:
            with self._file.write(connection):
                self._appender.append(connection, rows)
        except BaseException as error:
            self._appender.forget()
            failure = self._file.failure(error) if isinstance(error, sqlite3.Error | OSError) else error
            for written in calls:
                written.set_exception(failure)
            raise
        for written in calls:
            written.set_result(None)

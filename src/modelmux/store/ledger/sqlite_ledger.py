"""The ledger in a SQLite file that several processes share: see ``accounts_file``.

Each call runs in a thread: one that reads and one that writes. What waits to be appended is written in one transaction,
so that each costs one turn of the lock and one ``fsync``, however many calls there are.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from modelmux.accounts.alert_types import Alert
from modelmux.accounts.alerts import Watch
from modelmux.accounts.entry import Entry
from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.usage_pages import Position, UsagePage
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.store.accounts_file import BUSY_TIMEOUT, AccountsFile, AccountsReader
from modelmux.store.connection_thread import ConnectionThread
from modelmux.store.directory import sqlite_audit
from modelmux.store.directory.base import Author
from modelmux.store.directory.receipts import Once
from modelmux.store.ledger import (
    entry_pages,
    sqlite_alerts,
    sqlite_blocks,
    sqlite_entries,
    sqlite_retention,
    sqlite_sealed,
    sqlite_state,
    sqlite_usage,
    sqlite_verify,
    sqlite_windows,
)
from modelmux.store.ledger.base import (
    Difference,
    EntryPage,
    EntryQuery,
    IsOver,
    LedgerState,
    UnstorableEntry,
    Verified,
    never,
)
from modelmux.store.ledger.slots import DAY
from modelmux.store.ledger.sqlite_alert_store import SqliteAlertStore
from modelmux.store.ledger.sqlite_append import Appender
from modelmux.store.ledger.sqlite_correct import Decide, correct
from modelmux.store.ledger.sqlite_rows import Row, check_spent, to_row
from modelmux.store.ledger.usage_groups import check_query
from modelmux.store.ledger.verify_run import Run
from modelmux.store.ledger.verify_sections import audit_records
from modelmux.store.nodes import LastSeen, Renewal

#: Rows of one transaction, unless a single call has more.
_MOST_ROWS: Final = 2_000
#: Differences that ``verify`` returns at most. It repairs all.
MOST_DIFFERENCES: Final = 1_000
#: Seconds between two transactions of a long task, in which other processes get the lock.
_PAUSE: Final = 0.005

T = TypeVar("T")
_Waiting = tuple[tuple[Entry, ...], "Future[None]"]


class SqliteLedger:
    """A ``Ledger``. It may be made before a fork, if it is used only after it.

    :param tags: the names of the tags that usage is reported by. Rows keep all of theirs.
    :param busy_timeout: seconds that a call waits for other processes.
    :param query_limit: seconds after which a query is ended, see ``ConnectionThread``; not those of ``verify``.
    """

    def __init__(
        self,
        path: Path,
        tags: Sequence[str] = (),
        *,
        busy_timeout: float = BUSY_TIMEOUT,
        query_limit: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._file = AccountsFile(path, busy_timeout)
        self._appender = Appender(tags)
        self._waiting: deque[_Waiting] = deque()
        self._query_limit = query_limit
        reader = AccountsReader(self._file)
        self._reader = ConnectionThread("modelmux-ledger-reader", reader, busy_timeout, clock)
        #: For what takes as long as it takes: no query waits behind it.
        self._verifier = ConnectionThread("modelmux-ledger-verifier", reader, busy_timeout, clock)
        self._writer = ConnectionThread("modelmux-ledger-writer", self._file, busy_timeout)
        self.alerts = SqliteAlertStore(self._file, self._reader, self._writer)

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

    def check_spent(self, entry: Entry) -> None:
        """See ``Ledger.check_spent``."""
        check_spent(entry)

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
            self._appender.append(connection, [to_row(entry) for entry in entries])
            sqlite_audit.add(connection, author, at, action, "ledger", {}, {"ledger": shown})

        await self._write(write)

    async def correct(
        self, id: bytes, decide: Decide, author: Author, at: int, once: Once | None = None
    ) -> tuple[Entry, list[Entry]] | None:
        """See ``Ledger.correct``."""

        return await self._write(
            lambda connection: correct(connection, self._appender, id, decide, author, at, once)
        )  # fmt: skip

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
            self._appender.append(connection, [to_row(entry) for entry in entries], holder)
            sqlite_alerts.note(connection, watches, now)
            return sqlite_windows.exchange(connection, holder, asks, now)

        return await self._write(write)

    async def recalled(self, holder: str, now: int) -> set[WindowKey]:
        """See ``Ledger.recalled``. It waits behind no report."""
        look = self._in_transaction(lambda connection: sqlite_windows.recalled(connection, holder, now))
        return await self._writer.run(look)

    async def renew(self, holder: str, node: str, lost_after: float) -> Renewal:
        """See ``Ledger.renew``: all processes are on this machine, and a process is lost when its journal is free."""
        del holder, node, lost_after
        return Renewal()

    async def leave(self, holder: str) -> None:
        """See ``Ledger.leave``: nothing depends on how many are alive."""
        del holder

    async def holders(self) -> dict[str, LastSeen]:
        """See ``Ledger.holders``."""
        return {holder: LastSeen(seen) for holder, seen in (await self._read(sqlite_windows.holders)).items()}

    async def end_holder(
        self,
        holder: str,
        make_row: Callable[[WindowKey, int], Entry] | None = None,
        make_alert: Callable[[], Alert | None] = lambda: None,
    ) -> None:
        """See ``Ledger.end_holder``."""

        def write(connection: sqlite3.Connection) -> None:
            leases = sqlite_windows.leases_of(connection, holder)
            if make_row is not None:
                rows = [make_row(window, amount) for window, amount in leases.items() if amount > 0]
                self._appender.append(connection, [to_row(row) for row in rows], holder)
            sqlite_windows.end_holder(connection, holder)
            alert = make_alert()
            if alert is not None:
                sqlite_alerts.add(connection, [alert], 0)

        await self._write(write)

    async def windows(
        self, windows: Sequence[WindowKey], each: Sequence[tuple[str, int]] = (), most: int = 100
    ) -> dict[WindowKey, tuple[int, int]]:
        """See ``Ledger.windows``."""
        return await self._read(lambda connection: sqlite_windows.windows_of(connection, windows, each, most))

    async def usage(self, query: UsageQuery, most: int | None = None) -> list[UsageRow]:
        """See ``Ledger.usage``. :raises ValueError: see ``usage_groups.check_query``."""
        zone = check_query(query)
        return await self._read(lambda connection: sqlite_usage.usage(connection, query, zone, most))

    async def usage_page(self, query: UsageQuery, after: Position, limit: int) -> UsagePage:
        """See ``Ledger.usage_page``. :raises ValueError: see ``usage_groups.check_query``."""
        zone = check_query(query)
        return await self._read(lambda connection: sqlite_usage.usage_page(connection, query, zone, after, limit))

    async def entries(self, query: EntryQuery) -> EntryPage:
        """See ``Ledger.entries``. :raises ValueError: see ``entry_pages.check_query``."""
        entry_pages.check_query(query)
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
        run, verify = Run(MOST_DIFFERENCES), partial(self._verify, repair=repair)
        for part in (sqlite_verify.days, sqlite_verify.months):  # months are sums of the days, after those
            await run.verify(await self._verifying(part), verify)
        return run.differences()

    async def verify_some(
        self, after: int, most: int, author: Author | None = None, at: int = 0, is_over: IsOver = never
    ) -> Verified:
        """See ``Ledger.verify_some``."""

        def sections(connection: sqlite3.Connection) -> list[int]:
            return [*sqlite_verify.days(connection), *sqlite_verify.months(connection)]

        rest = [section for section in await self._verifying(sections) if section > after]
        run, verify = Run(MOST_DIFFERENCES), partial(self._verify, repair=author is not None, author=author, at=at)
        last = await run.verify(rest, verify, most, is_over)
        return Verified(run.differences(), last)

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

    async def prepare_days(self, instant: int) -> None:
        """See ``Ledger.prepare_days``: nothing has to be made."""

    async def seal_days(self, instant: int) -> int:
        """See ``Ledger.seal_days``."""
        before = instant // DAY

        def seal(connection: sqlite3.Connection) -> bool:
            with self._file.write(connection):
                return sqlite_sealed.seal_next(connection, before)

        def make_block(connection: sqlite3.Connection) -> bool:
            with self._file.write(connection):
                return sqlite_blocks.make_next(connection)

        sealed = await self._repeat(seal)
        await self._repeat(make_block)
        return sealed

    async def _repeat(self, step: Callable[[sqlite3.Connection], bool]) -> int:
        """Write as long as there is something to do. :returns: how often there was."""
        count, loop = 0, asyncio.get_running_loop()
        began = loop.time()
        while await self._writer.run(step):
            count += 1
            await asyncio.sleep(max(_PAUSE, loop.time() - began))  # others write for as long as it did
            began = loop.time()
        return count

    async def aclose(self) -> None:
        """After the calls that run. Idempotent."""
        await self._reader.aclose()
        await self._verifier.aclose()
        await self._writer.aclose()

    async def _verify(
        self, section: int, *, repair: bool, author: Author | None = None, at: int = 0
    ) -> list[Difference]:
        differing = await self._verifying(
            lambda connection: sqlite_verify.differences(connection, sqlite_verify.of_section(connection, section))
        )
        if not differing or not repair:
            return differing

        def rewrite(connection: sqlite3.Connection) -> list[Difference]:
            with self._file.write(connection):
                differing = sqlite_verify.repair(connection, section)
                if differing and author is not None:
                    sqlite_audit.add(connection, author, at, "ledger.repair", "ledger", *audit_records(differing))
                return differing

        return await self._writer.run(rewrite)

    async def _write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """In a transaction; the appender forgets what was not written."""

        def write(connection: sqlite3.Connection) -> T:
            try:
                with self._file.write(connection):
                    return function(connection)
            except BaseException:
                self._appender.forget()
                raise

        return await self._writer.run(write)

    async def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        return await self._reader.run(self._in_transaction(function), self._query_limit)

    async def _verifying(self, function: Callable[[sqlite3.Connection], T]) -> T:
        return await self._verifier.run(self._in_transaction(function))

    def _in_transaction(self, function: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
        def read(connection: sqlite3.Connection) -> T:
            with self._file.read(connection):
                return function(connection)

        return read

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

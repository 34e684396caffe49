"""Writes rows in the background, many in one transaction: no request waits for the ledger."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from modelmux.accounts.entry import Entry
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import Ledger, UnstorableEntry
from modelmux.store.ledger.lease_exchange import LeaseExchange

#: Seconds that rows are collected for one transaction.
INTERVAL: Final = 0.05
#: Rows of one call of ``append``.
MOST_AT_ONCE: Final = 2_000
#: Rows that wait while the ledger cannot be written. Further ones are lost, and counted.
MOST_WAITING: Final = 100_000
#: Seconds between two attempts while it cannot be written: the first pause, and the longest.
PAUSES: Final = (0.5, 10.0)
#: Seconds after which rows are made meanwhile, at most: what they are made of may be large.
_KEPT: Final = 1.0

MakeEntry = Callable[[], Entry]
#: Is told in the event loop that a row was made, or that it cannot be, and returns the one to write.
OnRow = Callable[[Entry | None], Entry | None]
OnProblem = Callable[[str, int], None]


class LedgerWriter:
    """Rows reach the ledger within ``INTERVAL`` and the time of a transaction; while it fails, they wait. A row that
    can never be written is lost alone.

    :param on_problem: called with a sentence and the number of rows that are lost, which is 0 while rows wait: once
        when a failure begins, once when rows begin to be lost, and once for the rows that were lost after that.
    :param on_recovered: called with a sentence when rows are written again.
    :param on_written: called with the rows that are in the ledger; None where nothing else has them.
    :param leases: exchanged together with rows, and also without any while the process has some; None without budgets.
    """

    def __init__(
        self,
        ledger: Ledger,
        sleep: Callable[[float], Awaitable[None]],
        on_problem: OnProblem,
        on_recovered: Callable[[str], None],
        leases: LeaseExchange | None = None,
        on_written: Callable[[Sequence[Entry]], None] | None = None,
    ) -> None:
        self._on_written = on_written
        self._ledger = ledger
        self._leases = leases
        self._write = ledger.append if leases is None else leases.write
        self._writing = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None  # an exchange that has not begun, and is shared until it does
        self._sleep = sleep
        self._on_problem = on_problem
        self._on_recovered = on_recovered
        self._new: deque[tuple[MakeEntry, OnRow | None]] = deque()
        self._fresh: deque[tuple[Entry | None, OnRow | None]] = deque()  # made, and the event loop does not know yet
        self._made: deque[Entry] = deque()  # made, and not known to be written
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._unwritable: deque[str] = deque()  # why rows were not made, one sentence each, to be reported
        self._losing = False  # rows are being lost, which is reported
        self._unreported = 0
        #: A single one: what the end cancels goes on there, and what comes after it waits.
        self._thread = ThreadPoolExecutor(1, "modelmux-ledger-rows")
        #: Rows that were lost, rows that were written, and attempts to write that failed.
        self.lost = self.written = self.failures = 0

    @property
    def waiting(self) -> int:
        """Rows that are not known to be written."""
        return len(self._new) + len(self._fresh) + len(self._made)

    @property
    def is_failing(self) -> bool:
        """Whether the ledger could not be written at the last attempt."""
        return self._failing

    @property
    def oldest(self) -> Entry | None:
        """The row that has waited longest, among those that are made, which takes a second at most."""
        return self._made[0] if self._made else None

    def add(self, make: MakeEntry, on_row: OnRow | None = None, *, at_once: bool = False) -> None:
        """Write a row soon.

        :param make: makes the row; called once, in another thread.
        :param at_once: it is called here: it takes microseconds, and nothing that it needs has to be kept.
        """
        if self.waiting >= MOST_WAITING:
            if self._on_written is None:
                self._lose(1, "the ledger cannot be written, and too many rows wait")
            elif not self._losing:
                self._losing = True
                self._on_problem("too many rows wait; the next start writes further ones, from the journal", 0)
            if on_row is not None:
                on_row(None)
            return
        if at_once:
            self._take(self._make_one(make), on_row)
        else:
            self._new.append((make, on_row))
        self._start()

    async def exchange(self) -> None:
        """Have rows written and leases exchanged, beginning after this call. Callers at the same time share it and how
        it ends; it goes on when one of them is cancelled.

        :raises StoreFailed: it failed; what waits is tried again later all the same.
        """
        self._start()
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._exchange_once())
            self._next.add_done_callback(_retrieve)
        await asyncio.shield(self._next)

    async def _exchange_once(self) -> None:
        async with self._writing:
            self._next = None
            await self._write_some()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """Write what waits, once more, and close the ledger. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._leases is not None:
            self._leases.is_ending = True
        try:
            async with self._writing:  # an exchange may run whose callers have left
                while self.waiting or self._unwritable:
                    await self._write_some()
                if self._has_leases:
                    await self._write_some()
        except Exception as error:  # noqa: BLE001 - the end goes on
            cause = f"the ledger could not be written before the end ({_cause(error)})"
            if self._on_written is None:
                self._lose(self.waiting, cause)
            else:
                self._on_problem(f"{cause}; {self.waiting} rows are in the journal, and the next start writes them", 0)
            self._new.clear()
            self._fresh.clear()
            self._made.clear()
        else:
            if self._leases is not None:
                with contextlib.suppress(StoreFailed):  # others notice that it is gone
                    await self._leases.leave()
        self._end_of_losses()
        await self._ledger.aclose()
        self._thread.shutdown()

    async def _run(self) -> None:
        """Until nothing waits and nothing is leased; ``add`` and ``exchange`` start it again."""
        pause = PAUSES[0]
        is_due = True
        while is_due:
            if not self._failing and self.waiting < MOST_AT_ONCE:
                await self._sleep(INTERVAL)  # many rows cost less in one transaction
            lost = self.lost
            try:
                async with self._writing:
                    await self._write_some()
            except Exception as error:  # noqa: BLE001 - whatever it is, the rows are worth another attempt
                if not self._failing:
                    self._failing = True
                    self._on_problem(f"the ledger cannot be written; rows wait in memory ({_cause(error)})", 0)
                await self._pause(pause)
                pause = min(2 * pause, PAUSES[1])
                continue
            pause = PAUSES[0]
            if self.lost == lost:
                self._end_of_losses()
            if self._failing:
                self._failing = False
                self._on_recovered("the ledger is written again; nothing is lost of what waited")
            is_due = bool(self.waiting) or self._has_leases
        self._task = None

    @property
    def _has_leases(self) -> bool:
        return self._leases is not None and self._leases.has_leases

    async def _pause(self, seconds: float) -> None:
        while seconds > 0:
            await self._sleep(min(seconds, _KEPT))
            seconds -= _KEPT
            await self._make_new()

    async def _write_some(self) -> None:
        """Write the rows that have waited longest. One that was written twice counts once.

        :raises StoreFailed: they wait on.
        """
        await self._make_new()
        batch = [self._made[index] for index in range(min(MOST_AT_ONCE, len(self._made)))]
        if not batch and self._leases is None:
            return
        try:
            await self._write(batch)
        except Exception:
            self.failures += 1
            raise
        self.written += len(batch)
        for _ in batch:
            self._made.popleft()
        if self._on_written is not None:
            self._on_written(batch)

    async def _make_new(self) -> None:
        while self._new:
            loop = asyncio.get_running_loop()
            await asyncio.shield(loop.run_in_executor(self._thread, self._make_some))
        while self._fresh:
            self._take(*self._fresh.popleft())
        if self._unwritable:
            count, why = len(self._unwritable), self._unwritable[0]
            self._unwritable.clear()
            self._lose(count, why)

    def _make_some(self) -> None:
        for _ in range(min(MOST_AT_ONCE, len(self._new))):
            make, on_row = self._new[0]
            self._fresh.append((self._make_one(make), on_row))
            self._new.popleft()

    def _make_one(self, make: MakeEntry) -> Entry | None:
        """None if the row cannot be made, or never be written, which is reported."""
        try:
            entry = make()
            self._ledger.check_entry(entry)
        except UnstorableEntry as error:
            self._unwritable.append(str(error))
        except Exception as error:  # noqa: BLE001 - one row must not hold up all others
            self._unwritable.append(f"a row could not be made ({type(error).__name__})")
        else:
            return entry
        return None

    def _take(self, entry: Entry | None, on_row: OnRow | None) -> None:
        """Put a row in line that was made."""
        written = entry if on_row is None else on_row(entry)
        if written is None:
            return
        try:
            if written is not entry:  # what it has spent of budgets was not known before
                self._ledger.check_spent(written)
        except UnstorableEntry as error:
            self._unwritable.append(str(error))
        else:
            self._made.append(written)

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        if self._losing:
            self._unreported += count
            return
        self._losing = True
        self._on_problem(f"rows of the ledger are lost: {why}", count)

    def _end_of_losses(self) -> None:
        """Report those after the first."""
        count, self._unreported, self._losing = self._unreported, 0, False
        if count:
            self._on_problem("further rows of the ledger were lost after those that were reported", count)


def _retrieve(task: asyncio.Task[None]) -> None:
    """The callers of a task get its exception. If all have left, asyncio would report one that was never looked at."""
    if not task.cancelled():
        task.exception()


def _cause(error: Exception) -> str:
    """The message for the log; of an error that is not expected, its type only."""
    return str(error) if isinstance(error, StoreFailed) else type(error).__name__

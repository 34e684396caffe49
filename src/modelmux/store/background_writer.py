"""Writes records to a SQLite file in the background, many in one transaction. No request waits for them, and none
fails for them: what cannot be written is dropped and counted.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from modelmux.store.base import StoreFailed
from modelmux.store.connection_thread import ConnectionThread, SqliteFile

T = TypeVar("T")
#: Seconds that records are collected for one transaction.
INTERVAL: Final = 0.2
#: Seconds that a transaction waits for those of other workers.
_BUSY_TIMEOUT: Final = 5.0
_MICRO: Final = 1_000_000


@dataclass(frozen=True)
class WrittenFile(Generic[T]):
    """A file, and what is written to it.

    :param contents: of the file, for people: ``traces of requests``.
    :param add: writes records, and drops those that are too many or too old; with microseconds in UTC of now.
    :param most_waiting, most_bytes: requests that wait at most, and bytes of their bodies. Further ones are dropped.
    """

    contents: str
    thread: str
    file: SqliteFile
    add: Callable[[sqlite3.Connection, Sequence[T], int], None]
    most_waiting: int
    most_bytes: int


class BackgroundWriter(Generic[T]):
    """That of one process; made before a fork, if it is used only after it.

    :param now: Unix seconds.
    :param on_problem: called with a sentence when records begin to be dropped.
    :param on_recovered: called with a sentence, which says how many were dropped, when they are written again.
    """

    def __init__(
        self,
        written: WrittenFile[T],
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        on_problem: Callable[[str], None],
        on_recovered: Callable[[str], None],
    ) -> None:
        self._written = written
        self._now = now
        self._sleep = sleep
        self._on_problem = on_problem
        self._on_recovered = on_recovered
        self._thread = ConnectionThread(written.thread, written.file, _BUSY_TIMEOUT)
        self._new: list[Callable[[], T]] = []
        self._bytes = 0
        self._is_drop_due = False
        self._task: asyncio.Task[None] | None = None
        self._reported_at: int | None = None  # what had been dropped before the failure that is reported
        #: Records that were not written.
        self.dropped = 0

    def add(self, make: Callable[[], T], size: int) -> None:
        """Write a record soon.

        :param make: makes it; called once, in another thread. :param size: bytes that it holds until then.
        """
        if len(self._new) >= self._written.most_waiting or (
            self._new and self._bytes + size > self._written.most_bytes
        ):
            self._drop(1, "too many requests wait to be written")
            return
        self._new.append(make)
        self._bytes += size
        self._start()

    def drop_old(self) -> None:
        """Drop what is too old soon, though nothing new comes."""
        self._is_drop_due = True
        self._start()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Until nothing waits; ``add`` starts it again."""
        while self._new or self._is_drop_due:
            await self._sleep(INTERVAL)
            await self._write()
        self._task = None

    async def _write(self) -> None:
        batch, self._new, self._bytes, self._is_drop_due = self._new, [], 0, False
        try:
            unmade = await self._thread.run(lambda connection: self._make_and_add(connection, batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, requests go on
            cause = str(error) if isinstance(error, StoreFailed) else type(error).__name__
            self._drop(len(batch), cause)
            return
        if unmade:
            self._drop(unmade, "a record could not be made")
        elif self._reported_at is not None:
            count, self._reported_at = self.dropped - self._reported_at, None
            self._on_recovered(f"{self._written.contents} are written again; {count} are missing")

    def _make_and_add(self, connection: sqlite3.Connection, batch: list[Callable[[], T]]) -> int:
        """:returns: how many could not be made."""
        records: list[T] = []
        unmade = 0
        for make in batch:
            try:
                records.append(make())
            except Exception:  # noqa: BLE001 - one record must not hold up all others
                unmade += 1
        self._written.add(connection, records, round(self._now() * _MICRO))
        return unmade

    def _drop(self, count: int, why: str) -> None:
        if self._reported_at is None:
            self._reported_at = self.dropped
            self._on_problem(f"{self._written.contents} are not written ({why}); requests go on")
        self.dropped += count

    async def aclose(self) -> None:
        """Write what waits, once more. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._new:
            await self._write()
        await self._thread.aclose()

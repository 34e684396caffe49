"""Counters of all workers of one machine, in memory that they share: an anonymous mapping, made before the fork.

A row has a name, which is that of one limit of one subject, and a cell for each worker, which that worker alone writes.
Reading takes no lock and no system call. Two workers that look at the same moment may both admit, so a limit may be
passed by as many requests as there are other workers, at a time. Only who looks for the row of a new name holds a lock.
Names that clients make up, those of end users, take rows of the first half only.

A worker that was killed leaves its cells: what it admitted still counts for its minute, but nothing of it runs any
more. The supervisor sets that to 0 when it has ended (``worker_ended``). A restart of the gateway begins with nothing
counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import secrets
import sys
import tempfile
import weakref
from collections.abc import Iterator
from typing import Final

from modelmux.accounts.rate_limits import CELL, Cells, is_idle
from modelmux.store.counters.cells import CellCounter
from modelmux.store.counters.memory import MemoryCounters

#: Limits of subjects in use within a minute. Memory that is not written to costs nothing.
ROWS: Final = 16_384
#: Rows that are looked at for a name, in each half of the table.
_PROBES: Final = 64
_WORD: Final = 8
#: Counters that a process remembers.
_MANY: Final = 2 * ROWS


class CounterTable:
    """The shared memory. It is made before workers are forked.

    :param workers: how many processes have a cell in each row.
    :ivar node: a name of this machine's gateway, which no other one has.
    """

    def __init__(self, workers: int, rows: int = ROWS) -> None:
        self.workers = workers
        self.rows = rows
        self.node = secrets.token_hex(8)
        words = rows * (1 + workers * (1 + CELL))
        self._memory = mmap.mmap(-1, words * _WORD)
        self.words: Cells = memoryview(self._memory).cast("q")
        self._lock_fd = _lock_file()
        weakref.finalize(self, os.close, self._lock_fd)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held by one process; its end, whatever ends it, releases it."""
        import fcntl  # where there are several workers

        fcntl.lockf(self._lock_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock_fd, fcntl.LOCK_UN)

    def worker_ended(self, worker: int) -> None:
        """What it had running is over. Called before another process has its number.

        :param worker: from 1.
        """
        first = self.running(0, worker - 1)
        for index in range(first, first + self.rows):
            if self.words[index]:
                self.words[index] = 0

    def cell(self, row: int, worker: int) -> int:
        """Index of the cell. :param worker: from 0."""
        return self.rows * (1 + self.workers) + (worker * self.rows + row) * CELL

    def running(self, row: int, worker: int) -> int:
        """Index of the number of running requests."""
        return self.rows + worker * self.rows + row

    def probed(self, mark: int, *, is_claim: bool) -> list[int]:
        """The rows that a name may have, in the order in which they are looked at."""
        half, rows = self.rows // 2, range(min(_PROBES, self.rows // 2))
        claims = [(mark + step) % half for step in rows]
        return claims if is_claim else [half + row for row in claims] + claims

    def is_idle(self, row: int, tick: int) -> bool:
        """Whether another name may have the row."""
        words, workers = self.words, range(self.workers)
        if any(words[self.running(row, worker)] for worker in workers):
            return False
        return is_idle(words, [self.cell(row, worker) for worker in workers], tick)


class SharedCounters:
    """See ``Counters``: those of one worker.

    :param worker: its number, from 1.
    """

    def __init__(self, table: CounterTable, worker: int) -> None:
        self._table = table
        self._worker = worker - 1
        self._counters: dict[str, tuple[int, int, CellCounter]] = {}
        #: Where the table is full of limits that are in use.
        self._others = MemoryCounters(table.workers)

    def counter(self, name: str, tick: int, *, is_claim: bool = False) -> CellCounter:
        known = self._counters.get(name)
        if known is not None and self._table.words[known[0]] == known[1]:  # the row has not been given away
            known[2].hold(tick)
            return known[2]
        other = self._others.known(name)
        if other is not None and not other.is_idle(tick):  # a row that is free by now would begin with nothing
            other.hold(tick)
            return other
        return self._find(name, tick, is_claim=is_claim)

    def _find(self, name: str, tick: int, *, is_claim: bool) -> CellCounter:
        mark = _mark_of(name)
        with self._table.lock():
            row = self._row(self._table.probed(mark, is_claim=is_claim), mark, tick)
            if row is None:
                return self._others.counter(name, tick)
            self._table.words[row] = mark
            counter = self._of_row(row)
            counter.hold(tick)  # before another process looks for a row
        if len(self._counters) >= _MANY:
            self._counters.clear()
        self._counters[name] = row, mark, counter
        return counter

    def _row(self, probed: list[int], mark: int, tick: int) -> int | None:
        """The row of a name, or one for it. Rows get other names, but never none, so a search ends where none was."""
        table = self._table
        for row in probed:
            word = table.words[row]
            if word in (mark, 0):
                return row
        return next((row for row in probed if table.is_idle(row, tick)), None)

    def _of_row(self, row: int) -> CellCounter:
        table = self._table
        workers = range(table.workers)
        return CellCounter(
            table.words,
            [table.cell(row, worker) for worker in workers],
            table.cell(row, self._worker),
            [table.running(row, worker) for worker in workers],
            table.running(row, self._worker),
        )


def _lock_file() -> int:
    """A descriptor of a file without a name; in memory where there is such, since a container may have no folder to
    write to."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("modelmux-counters")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _mark_of(name: str) -> int:
    """A positive number for a name; two names have the same only by a chance of 2 to the -63."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 1 or 1


def counter_table(workers: int) -> CounterTable | None:
    """The memory that workers share; None where there is one, or none can be forked."""
    return CounterTable(workers) if workers > 1 and sys.platform != "win32" else None

"""A thread with a connection to a SQLite file; both are made when they are needed first.

So a store that has one may be made before a fork, if it is used only after it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol, TypeVar

from modelmux.store.base import QueryTooLong, StoreFailed

#: Instructions of SQLite's virtual machine between two looks at the clock: some tenths of a millisecond.
_INSTRUCTIONS: Final = 10_000

T = TypeVar("T")


class SqliteFile(Protocol):
    """How a file is opened and closed, and what its errors mean."""

    def open(self, timeout: float) -> sqlite3.Connection:
        """:param timeout: seconds. :raises StoreFailed, sqlite3.Error, OSError:"""
        ...

    def close(self, connection: sqlite3.Connection) -> None: ...

    def failure(self, error: sqlite3.Error | OSError) -> StoreFailed:
        """The error for the log: the path, and what is wrong with it."""
        ...


class ConnectionThread:
    """Calls in the order in which they come, each in the thread.

    :param busy_timeout: seconds that a call waits for other calls and other processes together.
    :param clock: monotonic seconds.
    """

    def __init__(
        self, name: str, file: SqliteFile, busy_timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._file = file
        self._busy_timeout = busy_timeout
        self._clock = clock
        self._executor: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def run(self, function: Callable[[sqlite3.Connection], T], query_limit: float | None = None) -> T:
        """
        :param query_limit: seconds after which it is ended, those in the queue included: whoever waits behind a long
            query does not wait for many of them. Only for what reads.
        :raises QueryTooLong: :raises StoreFailed:
        """
        if self._closed:
            raise StoreFailed("the store is closed")
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, self._name)
        now = self._clock()
        deadline = now + self._busy_timeout
        call = self.call if query_limit is None else partial(self._limited, query_limit, now + query_limit)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, function, deadline)

    def call(self, function: Callable[[sqlite3.Connection], T], deadline: float | None = None) -> T:
        """In the thread. After an error, the next call opens the file again.

        :param deadline: until when to wait for a file that is locked. Time in the queue counts: otherwise each call
            would wait in turn, the last one of a hundred for minutes.
        :raises StoreFailed:
        """
        timeout = self._busy_timeout if deadline is None else max(0.0, deadline - self._clock())
        try:
            if self._connection is None:
                self._connection = self._file.open(timeout)
            self._connection.execute(f"PRAGMA busy_timeout = {round(timeout * 1000)}")
            return function(self._connection)
        except sqlite3.Error as error:
            self.disconnect()
            raise self._file.failure(error) from None
        except OSError as error:
            raise self._file.failure(error) from None

    def _limited(self, seconds: float, end: float, function: Callable[[sqlite3.Connection], T], deadline: float) -> T:
        """In the thread: as ``call``, until an end. :raises QueryTooLong: :raises StoreFailed:"""

        def is_over() -> bool:
            return self._clock() >= end

        def limited(connection: sqlite3.Connection) -> T:
            connection.set_progress_handler(is_over, _INSTRUCTIONS)
            try:
                return function(connection)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                    raise QueryTooLong(seconds) from None
                raise
            finally:
                connection.set_progress_handler(None, 0)

        if is_over():
            raise QueryTooLong(seconds)
        return self.call(limited, deadline)

    def disconnect(self) -> None:
        """In the thread."""
        if self._connection is not None:
            self._file.close(self._connection)
            self._connection = None

    async def aclose(self) -> None:
        """After the calls that run. Idempotent."""
        self._closed = True
        if self._executor is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, self.disconnect)
            self._executor.shutdown()
            self._executor = None

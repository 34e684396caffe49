"""A thread with an event loop and a connection to PostgreSQL; both are made when they are needed first.

So a store that has one may be made before a fork, if it is used only after it. What is encoded and decoded for the
database takes no time of the event loop of requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

from modelmux.config.postgres_url import PostgresUrl
from modelmux.store.base import QueryTooLong, StoreFailed
from modelmux.store.own_loop import in_own_loop
from modelmux.store.postgres.problems import QUERY_CANCELED, code_of, failure, is_collision, is_of_server
from modelmux.store.postgres.session import CONNECT_TIMEOUT, READ, WRITE, Session, begin, connect, ending, limit

#: Seconds that a statement takes at most.
STATEMENT_TIMEOUT: Final = 10.0
#: Preparing takes so many times as long as a statement of a migration at most: each may read all rows of a large table.
PREPARES: Final = 3
#: Seconds between two attempts to connect: the first pause, and the longest. Each is up to half longer, by chance.
PAUSES: Final = (0.1, 5.0)
#: Seconds between two looks whether a newer version has migrated the database.
LOOKS_EVERY: Final = 1.0
#: Times that a transaction is repeated after a collision with others.
REPEATS: Final = 5
#: Seconds that closing waits for the server.
_CLOSE_TIMEOUT: Final = 1.0

T = TypeVar("T")
Work = Callable[[Session], Awaitable[T]]
Prepare = Callable[[Any], Awaitable[None]]


class PostgresThread:
    """Calls in the order in which they come, each in a transaction of its own.

    :param prepare: is called with the first connection, before anything else: migrates, or checks the version.
    :param timeout: seconds that a statement of a call takes at most; a call gets a little more than twice that, and the
        first one what ``prepare`` may take, too.
    :param clock: monotonic seconds.
    :param on_failure: is called in the thread after a transaction that failed, before another one begins.
    :param check: is called at the beginning of a transaction, at most once in ``LOOKS_EVERY`` while it raises nothing.
        What it raises is raised by the call, of which nothing is done.
    """

    def __init__(
        self,
        name: str,
        url: PostgresUrl,
        prepare: Prepare,
        timeout: float = STATEMENT_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[], None] = lambda: None,
        check: Prepare | None = None,
    ) -> None:
        self.url = url
        self._name = name
        self._prepare = prepare
        self._timeout = timeout
        self._clock = clock
        self._on_failure = on_failure
        self._check = check
        self._checks_at = -math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._turn = asyncio.Lock()
        self._connection: Any = None
        self._is_prepared = False
        self._pause = PAUSES[0]
        self._again_at = 0.0
        self._problem = ""
        self._closed = False

    async def run(
        self, work: Work[T], *, writes: bool = True, within: float | None = None, query_limit: float | None = None
    ) -> T:
        """
        :param within: seconds for each attempt, in place of the usual ones.
        :param query_limit: seconds after which it is ended, those in the queue included, without those until there is a
            connection. Only for what reads.
        :raises QueryTooLong: :raises StoreFailed:
        """
        if query_limit is None:
            return await asyncio.wrap_future(self.submit(self._in_turn(work, writes, within)))
        return await asyncio.wrap_future(self.submit(self._limited(work, query_limit, self._clock() + query_limit)))

    def submit(self, task: Coroutine[Any, Any, T]) -> Future[T]:
        """Run something in the event loop of the thread, beside the calls. :raises StoreFailed: it was closed."""
        if self._closed:
            task.close()
            raise StoreFailed("the store is closed")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_serve, args=(self._loop,), name=self._name, daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(task, self._loop)

    def call(self, work: Work[T], *, writes: bool = True) -> T:
        """As ``run``, waiting in this thread: for a start, and for a reload. Neither a thread nor a connection is left.

        :raises StoreFailed:
        """

        alone = PostgresThread(
            self._name, self.url, self._prepare, self._timeout, self._clock, self._on_failure, self._check
        )
        alone._is_prepared = self._is_prepared
        result = in_own_loop(lambda: alone._once(work, writes), self._name)
        self._is_prepared = True
        return result

    async def aclose(self) -> None:
        """After the calls that run. Idempotent."""
        self._closed = True
        loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None:
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._end(), loop))
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)

    async def _end(self) -> None:
        async with self._turn:
            await self._disconnect()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _once(self, work: Work[T], writes: bool) -> T:
        try:
            return await self._repeated(work, writes)
        finally:
            await self._disconnect()

    async def _in_turn(self, work: Work[T], writes: bool, within: float | None = None) -> T:
        async with self._turn:
            return await self._repeated(work, writes, within)

    async def _limited(self, work: Work[T], seconds: float, end: float) -> T:
        async with self._turn:
            rest = end - self._clock()
            if rest <= 0:
                raise QueryTooLong(seconds)
            try:
                return await self._repeated(partial(_within, work, rest), False, seconds + CONNECT_TIMEOUT + 1)
            except _Late:
                raise QueryTooLong(seconds) from None

    async def _repeated(self, work: Work[T], writes: bool, within: float | None = None) -> T:
        """Once, and again after a collision: nothing of the attempt before was written."""
        for _ in range(REPEATS):
            try:
                return await self._transact(work, writes, within)
            except Exception as error:
                if not is_of_server(error):
                    raise
                if not is_collision(error):
                    raise failure(self.url, error) from None
                await asyncio.sleep(random.uniform(0, PAUSES[0]))  # noqa: S311 - not for secrets
        raise StoreFailed(f"{self.url}: is busy (collisions with other transactions); it is tried again")

    async def _transact(self, work: Work[T], writes: bool, within: float | None) -> T:
        try:
            seconds = within or 2 * self._timeout + CONNECT_TIMEOUT + 1
            prepares = 0.0 if self._is_prepared or within else PREPARES * self.url.migration_timeout
            async with asyncio.timeout(seconds + prepares) as end:
                connection = await self._begun(WRITE if writes else READ)
                if prepares:
                    end.reschedule(asyncio.get_running_loop().time() + seconds)
                async with ending(connection) as session:
                    await self._look(session)
                    return await work(session)
        except BaseException as error:
            self._on_failure()
            # After a timeout, which is an OSError, and after a cancelled call the connection waits for something.
            if isinstance(error, OSError | asyncio.CancelledError | _Late) or _is_cut(error):
                self._terminate()
            raise

    async def _look(self, session: Session) -> None:
        if self._check is not None and self._clock() >= self._checks_at:
            await self._check(session)
            self._checks_at = self._clock() + LOOKS_EVERY

    async def _begun(self, mode: str) -> Any:
        """A connection within a transaction."""
        if self._connection is not None:
            try:
                await begin(self._connection, mode, self._timeout)
            except Exception as error:  # it was cut since the last call: nothing is lost, and another one is opened
                if not is_of_server(error):
                    raise
                self._terminate()
                self._on_failure()  # behind the next connection may be another server, or a backup
            else:
                return self._connection
        self._connection = await self._open()
        await begin(self._connection, mode, self._timeout)
        return self._connection

    async def _open(self) -> Any:
        """:raises StoreFailed: it could not be opened just before, and is tried again later."""
        if self._clock() < self._again_at:
            raise StoreFailed(self._problem)
        connection = None
        try:
            connection = await connect(self.url)
            if not self._is_prepared:
                await self._prepare(connection)
                self._is_prepared = True
        except BaseException as error:
            if connection is not None:
                connection.terminate()
            is_outage = isinstance(error, StoreFailed) or (is_of_server(error) and not is_collision(error))
            if isinstance(error, Exception) and is_outage:
                self._wait_after(error)
            raise
        self._pause = PAUSES[0]
        return connection

    def _wait_after(self, error: Exception) -> None:
        self._problem = str(error if isinstance(error, StoreFailed) else failure(self.url, error))
        self._again_at = self._clock() + self._pause * random.uniform(1.0, 1.5)  # noqa: S311 - not for secrets
        self._pause = min(2 * self._pause, PAUSES[1])

    def _terminate(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=_CLOSE_TIMEOUT)


class _Late(BaseException):
    """A query took too long. As after a cancelled call, its connection may wait for an answer: see ``ending``."""


async def _within(work: Work[T], seconds: float, session: Session) -> T:
    """:raises _Late:"""
    await limit(session, seconds)  # for the server would go on after this side has left
    try:
        async with asyncio.timeout(seconds):
            return await work(session)
    except TimeoutError:
        raise _Late from None
    except Exception as error:
        if code_of(error) == QUERY_CANCELED:
            raise _Late from None
        raise


def _is_cut(error: BaseException) -> bool:
    """Whether a connection cannot be used any more, or may not."""
    return is_of_server(error) and code_of(error)[:2] in ("", "08", "57", "25")


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()

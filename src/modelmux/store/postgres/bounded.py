"""Calls of a database that requests wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from modelmux.config.postgres_url import PostgresUrl
from modelmux.store.bounded_calls import BoundedCalls
from modelmux.store.postgres.problems import failure
from modelmux.store.postgres.thread import PostgresThread, Prepare, Work

T = TypeVar("T")


class BoundedThread:
    """A ``PostgresThread`` with a bound in time for each call, what waits before it included; see ``BoundedCalls``.

    :param bound: seconds.
    :param clock: monotonic seconds.
    :param check: see ``PostgresThread``.
    """

    def __init__(
        self,
        name: str,
        url: PostgresUrl,
        prepare: Prepare,
        bound: float,
        clock: Callable[[], float] = time.monotonic,
        check: Prepare | None = None,
    ) -> None:
        self._thread = PostgresThread(name, url, prepare, bound, check=check)
        self._bound = bound
        self._calls = BoundedCalls(str(failure(url, TimeoutError())), clock)

    async def run(self, work: Work[T], *, writes: bool = True) -> T:
        """:raises StoreFailed: what ``work`` raises, too."""
        return await self._calls.run(lambda: self._thread.run(work, writes=writes, within=self._bound), self._bound)

    def call(self, work: Work[T], *, writes: bool = True) -> T:
        """As ``PostgresThread.call``, without the bound: for a start."""
        return self._thread.call(work, writes=writes)

    async def aclose(self) -> None:
        """See ``PostgresThread.aclose``."""
        await self._thread.aclose()

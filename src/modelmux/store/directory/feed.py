"""The directory of a process, kept up to date: a look at the store four times a second, and one on demand.

A process that did not run for a while (an idle container without CPU time, a stopped one) missed its looks, and an
application without a lifespan made none: the first request afterwards waits for one. What is known stays in use
while the store fails, so keys that were valid are served on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.errors import StoreUnavailable
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed, accounts_unavailable
from modelmux.store.directory.base import Author, DirectoryStore, Pace

#: Seconds between two looks.
INTERVAL: Final = 0.25
#: Seconds after which every request sees a change: a directory that is older is looked at before one is decided on.
FRESH_FOR: Final = 1.0
#: Seconds that a request waits for such a look.
LONGEST_WAIT: Final = 1.0


class Feed:
    """
    :param current: the directory at the start.
    :param on_problem: gets a sentence when the store begins to fail; None when it works again.
    :param pace: that of a store that many nodes look at.
    :ivar on_change: get each directory that takes the place of another.
    """

    def __init__(
        self,
        store: DirectoryStore,
        current: Directory,
        runtime: Runtime,
        on_problem: Callable[[str | None], None],
        on_change: Callable[[Directory], None] = lambda _: None,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._pace = pace
        self.current = current
        self._sleep = runtime.sleep
        self._clock = runtime.clock
        self._on_problem = on_problem
        self.on_change = [on_change]
        self._expected = 0  # the version that this process was told of
        self._watching: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._looked_at = runtime.clock()
        self._failing = False

    def watch(self) -> None:
        """Follow changes from now on. Idempotent; it needs a running event loop."""
        if not _runs_here(self._watching):
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    @property
    def is_stale(self) -> bool:
        """Whether a change may have been missed. While the store fails, what is known is as good as it can be, unless
        there is known to be more."""
        if self._watching is None:
            return True
        fresh_for = FRESH_FOR if self._pace is None else self._pace.fresh_for
        return self._clock() - self._looked_at > fresh_for and (
            self._is_behind or not (self._failing and _runs_here(self._watching))
        )

    @property
    def is_failing(self) -> bool:
        """Whether the store could not be read at the last look."""
        return self._failing

    @property
    def _is_behind(self) -> bool:
        return self.current.version < self._expected

    def expect(self, version: int) -> None:
        """This version was written: look for it now. Until it is here, ``FRESH_FOR`` seconds from now requests
        wait for it and are refused. It needs a running event loop."""
        if version > max(self.current.version, self._expected):
            if not self._is_behind and not self.is_stale:  # a process that did not run hears of it late
                self._looked_at = self._clock()
            self._expected = version
            self._refreshed()

    async def freshen(self) -> None:
        """Have the directory of now, unless the store fails or takes long, and follow changes from here on.

        :raises StoreUnavailable: there is known to be a later one, which cannot be had.
        """
        self.watch()
        _, late = await asyncio.wait([self._refreshed()], timeout=LONGEST_WAIT)
        if late:
            self._set_problem(f"no answer in {LONGEST_WAIT:g} s")
        if self._is_behind:
            raise accounts_unavailable("The keys of this gateway were changed, and cannot be read at the moment.")

    def change_now(self, decide: Callable[[Directory], Edit], author: Author, at: int) -> None:
        """See ``DirectoryStore.change_now``. :raises StoreFailed:"""
        self.current = self._store.change_now(decide, author, at)

    async def change(self, decide: Callable[[Directory], Edit], author: Author, at: int) -> None:
        """See ``DirectoryStore.change``. The change is known when this returns, if the store can be read then.

        :raises FieldError, StoreFailed:
        """
        await self._store.change(decide, author, at)
        with contextlib.suppress(StoreUnavailable):
            await self.refresh()

    async def refresh(self) -> None:
        """Have all changes that were made before this call. Callers at the same time share one look at the store.

        :raises StoreUnavailable: it cannot be read.
        """
        try:
            await asyncio.shield(self._refreshed())
        except StoreFailed as error:
            problem = "The keys of this gateway cannot be read at the moment, and this one is not known yet."
            raise accounts_unavailable(problem, str(error)) from None

    async def aclose(self) -> None:
        """Stop following. Idempotent."""
        tasks = [task for task in (self._watching, self._reading, self._next) if task is not None and _runs_here(task)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._store.aclose()

    async def _watch(self) -> None:
        while True:
            await (self._sleep(INTERVAL) if self._pace is None else self._pace.next_look(self._sleep))
            with contextlib.suppress(StoreFailed):  # which is reported
                await self._read()

    def _refreshed(self) -> asyncio.Task[None]:
        """A look that began after this call, or will."""
        running = self._reading
        if running is None or not _runs_here(running):
            self._reading = _begin(self._read())
            return self._reading
        if self._next is None or not _runs_here(self._next):  # the one that runs may have begun before the change
            self._next = _begin(self._read_after(running))
        return self._next

    async def _read_after(self, running: asyncio.Task[None]) -> None:
        await asyncio.wait([running])
        await self._read()

    async def _read(self) -> None:
        """:raises StoreFailed:"""
        began, expected = self._clock(), self._expected  # what is written from here on, it may not have
        try:
            latest = await self._store.read(self.current)
        except StoreFailed as error:
            self._set_problem(str(error))
            raise
        except Exception as error:  # whatever it is, it must not end the looks
            problem = f"{type(error).__name__}: {error}"
            self._set_problem(problem)
            raise StoreFailed(problem) from error
        else:
            if self._expected == expected:  # it has that, or it is gone: a backup was put back
                self._expected = 0
        finally:
            if not self._is_behind:
                self._looked_at = began
        if latest is not self.current:
            self.current = latest
            self._looked_at = began
            for on_change in self.on_change:
                on_change(latest)
        if self._failing:
            self._failing = False
            self._on_problem(None)

    def _set_problem(self, problem: str) -> None:
        if not self._failing:
            self._failing = True
            self._on_problem(f"the keys cannot be read; those that are known are served on ({problem})")


def _begin(look: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task whose failure was reported already, whether or not anybody waits for it."""
    task = asyncio.get_running_loop().create_task(look)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


def _runs_here(task: asyncio.Task[None] | None) -> bool:
    """Whether a task will go on: one of an event loop that has ended will not."""
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()

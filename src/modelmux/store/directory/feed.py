"""The directory of a process, kept up to date: a look at the store four times a second, and one on demand.

What is known stays in use while the store fails, so keys that were valid are served on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.errors import StoreUnavailable
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author, DirectoryStore

#: Seconds between two looks.
INTERVAL: Final = 0.25
#: Seconds for the client's ``retry-after`` while it is not known whether its key is valid.
RETRY_AFTER: Final = 2.0


class Feed:
    """
    :param current: the directory at the start.
    :param on_problem: gets a sentence when the store begins to fail; None when it works again.
    """

    def __init__(
        self,
        store: DirectoryStore,
        current: Directory,
        sleep: Callable[[float], Awaitable[None]],
        on_problem: Callable[[str | None], None],
    ) -> None:
        self._store = store
        self.current = current
        self._sleep = sleep
        self._on_problem = on_problem
        self._watching: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._failing = False

    def watch(self) -> None:
        """Follow changes from now on. Idempotent; it needs a running event loop."""
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch())

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
        running = self._reading
        if running is None or running.done():
            self._reading = task = asyncio.get_running_loop().create_task(self._read())
        else:  # which may have begun before the change
            if self._next is None or self._next.done():
                self._next = asyncio.get_running_loop().create_task(self._read_after(running))
            task = self._next
        try:
            await asyncio.shield(task)
        except StoreFailed as error:
            failure = StoreUnavailable(
                "The keys of this gateway cannot be read at the moment, and this one is not known yet.",
                code="accounts_unavailable", hint="Try again in a moment.", detail=str(error),
            )  # fmt: skip
            failure.retry_after = RETRY_AFTER
            raise failure from None

    async def aclose(self) -> None:
        """Stop following. Idempotent."""
        tasks = [task for task in (self._watching, self._reading, self._next) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._store.aclose()

    async def _watch(self) -> None:
        while True:
            await self._sleep(INTERVAL)
            try:
                await self._read()
            except StoreFailed as error:
                if not self._failing:
                    self._failing = True
                    self._on_problem(f"the keys cannot be read; those that are known are served on ({error})")
                continue
            if self._failing:
                self._failing = False
                self._on_problem(None)

    async def _read_after(self, running: asyncio.Task[None]) -> None:
        await asyncio.wait([running])
        await self._read()

    async def _read(self) -> None:
        latest = await self._store.read(self.current)
        if latest is not self.current:
            self.current = latest

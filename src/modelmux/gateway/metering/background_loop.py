"""Tasks of this process that go on until they are ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class BackgroundLoop:
    """Runs at most once at a time. The task is held here, and awaited in ``aclose``."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Idempotent while it runs."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(run())

    async def aclose(self) -> None:
        """Cancel it, and wait for its end. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


class BackgroundTask:
    """Runs ``_run`` of a subclass from ``start`` to ``aclose``. What is not done by then, the next start does."""

    def __init__(self) -> None:
        self._loop = BackgroundLoop()

    def start(self) -> None:
        """Idempotent."""
        self._loop.start(self._run)

    async def aclose(self) -> None:
        """Idempotent."""
        await self._loop.aclose()

    async def _run(self) -> None:
        raise NotImplementedError

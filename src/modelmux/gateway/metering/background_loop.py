"""One task of this process that goes on until it is ended."""

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

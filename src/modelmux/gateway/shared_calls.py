"""Results of calls that many ask for at once: identical calls in flight are made once, and their result is kept for a
short time.

A call runs in a task of its own, so that it survives the one who began it as long as another one waits for it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedCalls(Generic[T]):
    """
    :param clock: monotonic seconds.
    :param seconds: how long a result is kept. Failures are not kept.
    :param max_results: the oldest are dropped first.
    """

    def __init__(self, clock: Callable[[], float], *, seconds: float, max_results: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._max_results = max_results
        self._results: OrderedDict[bytes, tuple[float, T]] = OrderedDict()
        self._running: dict[bytes, _Running[T]] = {}

    async def get(self, key: bytes, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of a call, of an identical one in flight, or of a recent one.

        If all who wait for a call are cancelled, it is cancelled too, and has ended when the last of them returns.
        """
        recent = self._results.get(key)
        if recent is not None and recent[0] > self._clock():
            return recent[1]
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = _Running(asyncio.create_task(call()))
        running.waiting += 1
        try:
            await asyncio.wait([running.task])
        finally:
            running.waiting -= 1
            if not running.waiting:
                del self._running[key]  # before it is cancelled: the next one makes its own call
                await _end(running.task)
        result = running.task.result()
        self._keep(key, result)
        return result

    def _keep(self, key: bytes, result: T) -> None:
        if key not in self._results or self._results[key][1] is not result:
            self._results.pop(key, None)  # to the end: the oldest are first
            self._results[key] = self._clock() + self._seconds, result
        while len(self._results) > self._max_results:
            self._results.popitem(last=False)


@dataclass(slots=True)
class _Running(Generic[T]):
    """A call in flight, and how many wait for it."""

    task: asyncio.Task[T]
    waiting: int = 0


async def _end(task: asyncio.Task[Any]) -> None:
    """End a call that has no one left who waits for it; no effect if it is over."""
    if task.done():
        return
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved, or asyncio would report it

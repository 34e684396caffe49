"""Virtual time: an event loop without input and output, which goes to the next timer at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Timers(selectors.DefaultSelector):
    """Nothing is ever ready to read: waiting is only the passing of time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation waits for something that never comes")
        # Whole nanoseconds, so that a timer of something else on the way changes nothing.
        self.now = round(self.now + max(0.0, timeout), 9)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0, and passes only while nothing is ready to run."""

    def __init__(self) -> None:
        self._timers = _Timers()
        super().__init__(self._timers)

    def time(self) -> float:
        return self._timers.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to its end in virtual time. Two runs of the same program take the same steps."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)

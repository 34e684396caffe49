"""Counting work instead of measuring time: the verdict does not depend on how busy the machine is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

#: What twice the input may cost, at most. A little more than twice: some costs are rounded up.
TWICE = 2.1


class CountedCalls:
    """Counts the functions, in Python and in C, that are called in this thread inside a ``with`` block."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Self:
        self._before = sys.getprofile()
        sys.setprofile(self._count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(self._before)

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


def count_calls(function: Callable[[], Any]) -> int:
    """How many functions are called while ``function`` runs."""
    with CountedCalls() as work:
        function()
    return work.calls


def assert_linear(run: Callable[[int], Any], size: int) -> None:
    """``run(2 * size)`` makes at most about twice as many calls as ``run(size)``."""
    run(size)  # fills caches
    once, twice = count_calls(lambda: run(size)), count_calls(lambda: run(2 * size))
    assert twice <= TWICE * once + 100, f"{once} calls for {size}, {twice} for {2 * size}"

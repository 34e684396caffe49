"""Counting work instead of measuring time: the verdict does not depend on how busy the machine is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

#: What twice the input may cost, at most. A little more than twice: some costs are rounded up.
TWICE = 2.1


def count_calls(function: Callable[[], Any]) -> int:
    """How many functions, in Python and in C, are called in this thread while ``function`` runs."""
    calls = 0

    def count(_: FrameType, event: str, __: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
    return calls


def assert_linear(run: Callable[[int], Any], size: int) -> None:
    """``run(2 * size)`` makes at most about twice as many calls as ``run(size)``."""
    run(size)  # fills caches
    once, twice = count_calls(lambda: run(size)), count_calls(lambda: run(2 * size))
    assert twice <= TWICE * once + 100, f"{once} calls for {size}, {twice} for {2 * size}"

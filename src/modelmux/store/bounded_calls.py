"""Calls that requests wait for: each ends within a bound, and while there are no answers, the others fail at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from modelmux.store.base import StoreFailed

#: Seconds after a call without an answer until another one is tried.
PAUSE: Final = 1.0

T = TypeVar("T")


class BoundedCalls:
    """After a call that got no answer in time, calls fail at once; one a second is tried.

    :param problem: for people: it has not answered.
    :param clock: monotonic seconds.
    """

    def __init__(self, problem: str, clock: Callable[[], float]) -> None:
        self._problem = problem
        self._clock = clock
        self._silent_since: float | None = None
        self._is_tried = False

    async def run(self, call: Callable[[], Awaitable[T]], bound: float) -> T:
        """:param bound: seconds. :raises StoreFailed: what ``call`` raises, too."""
        is_trial = self._silent_since is not None
        if self._silent_since is not None and (self._is_tried or self._clock() < self._silent_since + PAUSE):
            raise StoreFailed(self._problem)
        self._is_tried = is_trial
        try:
            async with asyncio.timeout(bound):
                result = await call()
        except TimeoutError:
            self._silent_since = self._clock()
            raise StoreFailed(self._problem) from None
        else:
            self._silent_since = None
            return result
        finally:
            if is_trial:
                self._is_tried = False

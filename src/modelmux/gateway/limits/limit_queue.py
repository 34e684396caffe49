"""Requests that wait for room within rate limits, for ``limits.wait`` at most; in order of arrival for each limit.

Who waits is at the first gate: it holds no slot, no connection and nothing of its limits. The first in each line looks
again when there should be room, when a request of its limits has ended, and ten times a second: other processes tell
nothing. Where too many wait, or too many bytes, a key gives up places for one that has fewer.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

from modelmux.accounts.limit_lines import Ahead, Blocked, LimitLines, Waiter
from modelmux.errors import CallerRateLimited
from modelmux.gateway.concurrency import WaitResult

#: Seconds between two looks of who is the first, at most.
POLL: Final = 0.1
#: Seconds by which a wait may be longer: timers are not exact.
_GRACE: Final = 0.001

T = TypeVar("T", covariant=True)


class Attempt(Protocol[T]):
    """A request that is to be admitted.

    :ivar arrival: monotonic seconds. :ivar needs, key, size: see ``Waiter``; what it needs may change at a look.
    :ivar rest: frees what it does not need while it waits; None if that is nothing.
    """

    @property
    def arrival(self) -> float: ...

    @property
    def needs(self) -> Mapping[str, int]: ...

    @property
    def key(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def rest(self) -> Callable[[], Awaitable[None]] | None: ...

    def look(self, ahead: Callable[[str], Ahead]) -> Blocked | None:
        """Whether there is room, in this step of the event loop.

        :param ahead: returns who is before it in the line of a limit.
        """
        ...

    def take(self) -> T:
        """What the last look has seen is there."""
        ...

    def refusal(self) -> CallerRateLimited:
        """By the last look."""
        ...


class LimitQueue:
    """That of a process.

    :param clock: monotonic seconds.
    :param is_draining: returns whether the process is about to end: then no request waits.
    :param on_wait: gets the seconds for which a request waited, and how that ended.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        is_draining: Callable[[], bool] = lambda: False,
        on_wait: Callable[[float, WaitResult, None], None] = lambda _seconds, _result, _reason: None,
    ) -> None:
        self._lines = LimitLines()
        self._clock = clock
        self._is_draining = is_draining
        self._on_wait = on_wait
        self._numbers = itertools.count()

    @property
    def waiting(self) -> int:
        return len(self._lines)

    async def admit(
        self, attempt: Attempt[T], wait: float, most: int, most_bytes: float = math.inf, pause: float = 0.0
    ) -> T:
        """Take what a request needs, when it is its turn and there is room.

        :param wait: seconds, at most. :param most: requests that may wait at the same time, this one included.
        :param most_bytes: of their bodies.
        :param pause: seconds after it until the next one of its line may be admitted.
        :raises CallerRateLimited: there is no room in time, or too many wait.
        """
        deadline = self._clock() + max(wait, 0.0) + _GRACE
        waiter = Waiter((attempt.arrival, next(self._numbers)), attempt.needs, attempt.key, attempt.size)
        blocked = self._look(attempt, waiter)
        if blocked is None:
            return attempt.take()
        if self._is_in_vain(blocked, deadline) or not self._may_wait(waiter, most, most_bytes):
            raise attempt.refusal()
        began = self._clock()
        result: WaitResult = "left"
        rest = attempt.rest
        try:
            while blocked is not None:
                known = blocked._replace(seconds=0.0) if blocked.is_estimate else blocked
                if waiter.is_displaced or self._is_in_vain(known, deadline):
                    result = "rejected"
                    raise attempt.refusal()
                _wake(self._lines.join(waiter, blocked.line))
                if rest is None:
                    await self._pause(waiter, blocked, deadline)
                else:
                    await rest()
                    rest = None
                blocked = self._look(attempt, waiter)
            result = "admitted"
            return attempt.take()
        finally:
            self._leave(waiter, pause if result == "admitted" else 0.0)
            self._on_wait(self._clock() - began, result, None)

    def released(self, names: Iterable[str]) -> None:
        """Limits may have room now."""
        if self._lines:
            for one in self._lines.firsts(names):
                _wake(one)

    def _look(self, attempt: Attempt[T], waiter: Waiter) -> Blocked | None:
        blocked = attempt.look(lambda name: self._lines.ahead(name, waiter))
        waiter.needs = attempt.needs
        return blocked

    def _may_wait(self, newcomer: Waiter, most: int, most_bytes: float) -> bool:
        """Whether it may wait. Others may lose their places to it: they are refused in the next step."""
        others = self._lines.displaced_by(newcomer, most, most_bytes)
        for other in others or ():
            other.is_displaced = True
            self._leave(other, 0.0)
            _wake(other)
        return others is not None

    def _is_in_vain(self, blocked: Blocked, deadline: float) -> bool:
        left = deadline - self._clock()
        return left <= 0 or blocked.seconds > left or self._is_draining()

    async def _pause(self, waiter: Waiter, blocked: Blocked, deadline: float) -> None:
        """Until it should look again. The others are woken by those before them."""
        seconds = deadline - self._clock()
        if self._lines.is_first(waiter):
            seconds = min(seconds, POLL, max(blocked.seconds, _GRACE) if blocked.seconds else POLL)
        loop = asyncio.get_running_loop()
        is_over: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not is_over.done():
                is_over.set_result(None)

        timer, waiter.wake = loop.call_later(seconds, wake), wake
        try:
            await is_over
        finally:
            timer.cancel()
            waiter.wake = None

    def _leave(self, waiter: Waiter, pause: float) -> None:
        line, first = waiter.line, self._lines.leave(waiter)
        if first is None or line is None:
            return
        if pause:
            asyncio.get_running_loop().call_later(pause, self.released, (line,))
        else:
            _wake(first)


def _wake(waiter: Waiter | None) -> None:
    if waiter is not None and waiter.wake is not None:
        waiter.wake()

"""How many requests run at once: a bound, a short queue in front of it, and 503 for whom there is no room in time.

One instance for the whole process, one for each deployment that has a limit. What is limited and how long anybody waits
is configured; nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from types import TracebackType
from typing import Final

from modelmux.errors import GatewayOverloaded

#: Seconds a refused client is asked to wait: long enough for a place to become free, short enough to be worth it.
RETRY_AFTER: Final = 2.0


class Admission:
    """Places for requests that run.

    :param limit: places; None for no bound.
    :param queue: requests that may wait for one.
    :param patience: seconds one may wait.
    :param what: what has no room, for the message.
    """

    def __init__(self, limit: int | None, *, queue: int, patience: float, what: str = "The gateway") -> None:
        self._limit = limit
        self._queue_limit = queue
        self._patience = patience
        self._what = what
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self.running = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether the next one would have to wait."""
        return self._limit is not None and self.running >= self._limit

    async def enter(self, deadline_left: float = float("inf")) -> None:
        """Take a place; give it back with ``leave``. First come, first served.

        :param deadline_left: seconds until the request has no more time anyway: it does not wait longer.
        :raises GatewayOverloaded: the queue is full, or no place became free in time.
        """
        if self._limit is None or (self.running < self._limit and not self._waiting):
            self.running += 1
            return
        patience = min(self._patience, deadline_left)
        if len(self._waiting) >= self._queue_limit or patience <= 0:
            raise self._refusal()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = None
        try:
            async with asyncio.timeout(patience):
                await place
        except TimeoutError:
            if not (place.done() and not place.cancelled()):
                raise self._refusal() from None
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # it was given in the very moment
            raise
        finally:
            self._waiting.pop(place, None)

    def leave(self) -> None:
        """Give a place back: to the first who waits, or to nobody."""
        while self._waiting:
            place, _ = self._waiting.popitem(last=False)
            if not place.done():
                place.set_result(None)
                return
        self.running -= 1

    def resize(self, limit: int | None, *, queue: int, patience: float) -> None:
        """Other bounds from now on; who runs goes on."""
        self._limit, self._queue_limit, self._patience = limit, queue, patience
        while self._waiting and not self.full:
            self.running += 1
            self.leave()

    async def __aenter__(self) -> None:
        await self.enter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def _refusal(self) -> GatewayOverloaded:
        error = GatewayOverloaded(f"{self._what} is serving as many requests as it may.", hint="Try again shortly.")
        error.retry_after = RETRY_AFTER
        return error

"""Concurrency limits: a number of slots, a short queue, and 503 if no slot becomes free in time.

One instance for the whole process, one for each deployment that has a limit. Limits and timeouts come from the
configuration.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from modelmux.errors import GatewayOverloaded

#: The ``retry-after`` of a rejected request in seconds: long enough for a slot to become free.
RETRY_AFTER: Final = 2.0


class ConcurrencyLimiter:
    """Slots for running work, first come, first served.

    :param limit: slots; None for no limit.
    :param queue: how many may wait for one.
    :param queue_timeout: seconds one may wait.
    :param subject: what has the limit, for the message.
    """

    def __init__(self, limit: int | None, *, queue: int, queue_timeout: float, subject: str = "The gateway") -> None:
        self._limit = limit
        self._queue_limit = queue
        self._queue_timeout = queue_timeout
        self._subject = subject
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self.running = 0

    @property
    def queued(self) -> int:
        """How many wait for a slot."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether the next one would have to wait."""
        return self._limit is not None and self.running >= self._limit

    async def acquire(self, time_left: float = float("inf")) -> None:
        """Take a slot; give it back with ``release``.

        :param time_left: seconds until the request's deadline, which also bounds the wait.
        :raises GatewayOverloaded: the queue is full, or no slot became free in time.
        """
        if self._limit is None or (self.running < self._limit and not self._queue):
            self.running += 1
            return
        timeout = min(self._queue_timeout, time_left)
        if len(self._queue) >= self._queue_limit or timeout <= 0:
            raise self._overloaded()
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue[slot] = None
        try:
            async with asyncio.timeout(timeout):
                await slot
        except TimeoutError:
            if not (slot.done() and not slot.cancelled()):
                raise self._overloaded() from None
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():
                self.release()  # it was granted at the same moment
            raise
        finally:
            self._queue.pop(slot, None)

    def release(self) -> None:
        """Give a slot back: to the first in the queue, if there is one and the limit was not lowered meanwhile."""
        while self._queue and (self._limit is None or self.running <= self._limit):
            slot, _ = self._queue.popitem(last=False)
            if not slot.done():
                slot.set_result(None)
                return
        self.running -= 1

    def resize(self, limit: int | None, *, queue: int, queue_timeout: float) -> None:
        """Other limits from now on; running work continues."""
        self._limit, self._queue_limit, self._queue_timeout = limit, queue, queue_timeout
        while self._queue and not self.full:
            self.running += 1
            self.release()

    def _overloaded(self) -> GatewayOverloaded:
        error = GatewayOverloaded(f"{self._subject} has reached its concurrency limit.", hint="Try again shortly.")
        error.retry_after = RETRY_AFTER
        return error

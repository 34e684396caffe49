"""How late the event loop is, measured by a timer; a loop that stays late rejects new requests.

A single long step, such as a large body, makes one measurement late and rejects no request: only lag that lasts does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from modelmux.errors import GatewayOverloaded

#: Seconds between two measurements.
INTERVAL: Final = 0.1
#: The loop lags if each of the last measurements was at least this many seconds late.
MAX_LAG: Final = 0.25
MEASUREMENTS: Final = 3
#: How many are kept for ``worst``: those of 15 seconds.
_HISTORY: Final = 150


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class LoopLag:
    """See the module. Before ``start`` or the first ``check`` in a loop, it does not lag.

    :param clock: monotonic seconds; by default the loop's.
    :ivar lagging: whether new requests are rejected.
    :ivar on_reject: called for every request that is rejected.
    """

    def __init__(self, clock: Callable[[], float] = _loop_time, on_reject: Callable[[], None] | None = None) -> None:
        self.lagging = False
        self.on_reject = on_reject
        self._clock = clock
        self._latest: deque[float] = deque(maxlen=MEASUREMENTS)
        self._history: deque[float] = deque(maxlen=_HISTORY)
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that is measured
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    @property
    def seconds(self) -> float:
        """The latest measurement."""
        return self._latest[-1] if self._latest else 0.0

    def worst(self) -> float:
        """The largest measurement of the last 15 seconds."""
        return max(self._history, default=0.0)

    def start(self) -> None:
        """Measure from now on, in the running event loop. Idempotent."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a timer of another loop, which may have ended, fires no more
            self.stop()
            self._loop, self.lagging = loop, False
            self._latest.clear()
        if self._timer is None:
            self._schedule()

    def check(self) -> None:
        """Reject a new request while the loop lags. The first one in a loop starts the measurement: not every server
        has a lifespan, nor does an application pass it on to those that are mounted in it.

        :raises GatewayOverloaded:
        """
        if self._loop is not asyncio.get_running_loop():
            self.start()
        elif self.lagging:
            raise self.rejection()

    def stop(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def record(self, late: float) -> None:
        """Count a measurement.

        :param late: seconds by which the timer was late.
        """
        self._latest.append(late)
        self._history.append(late)
        self.lagging = len(self._latest) == MEASUREMENTS and min(self._latest) >= MAX_LAG

    def rejection(self) -> GatewayOverloaded:
        """The error of a new request while the loop lags."""
        if self.on_reject is not None:
            self.on_reject()
        return GatewayOverloaded.by_load("The gateway has more work than it can do.")

    def _schedule(self) -> None:
        self._due = self._clock() + INTERVAL
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)

    def _tick(self) -> None:
        self.record(max(0.0, self._clock() - self._due))
        self._schedule()

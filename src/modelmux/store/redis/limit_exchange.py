"""The task that renews the leases of limits of one process: every 100 ms if there is anything to report, and never
while a request waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from modelmux.accounts.rate_limits import TICKS_PER_SECOND, tick_at
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.counters.leased import Answer, LeasedCounters, Report
from modelmux.store.redis.connection import Scripts
from modelmux.store.redis.script import COMMON, PREFIX, SCRIPT

#: Seconds between two exchanges, and between two that have nothing to report.
INTERVAL: Final = 0.1
_QUIET: Final = 0.5
#: Seconds that a call may take on a connection that is open.
TIMEOUT: Final = 0.05
#: Limits of one exchange: some milliseconds of the server. If there are more, the next one follows at once.
MOST: Final = 250
#: Seconds after an exchange for which its leases are valid. One that fails is repeated several times meanwhile.
VALID: Final = 2
#: Milliseconds without grants after the server has lost its leases: who has some reports them meanwhile.
_WITHOUT_GRANTS: Final = 4_000
#: Milliseconds for which the server keeps what was reported last: of a limit of a minute, for as long as anything may
#: count that was admitted while the lease was valid; of requests at once, until a crashed process is sure to be one.
KEEP: Final = 75_000
KEEP_AT_ONCE: Final = 15_000
#: Milliseconds after which a process, or a node, that reports nothing counts no more.
_ALIVE: Final = 10_000
#: Failures after which pauses grow, and the longest pause in seconds.
_FAILURES: Final = 3
_LONGEST: Final = 5.0


class LimitExchange:
    """
    :param connect: makes the connection, with the first exchange.
    :param process: its name, which no other process has at the same time. :param node: that of its node.
    :param on_problem: is told once that exchanges fail, and with None that they work again.
    """

    def __init__(
        self,
        counters: LeasedCounters,
        connect: Callable[[], Scripts],
        process: str,
        node: str,
        runtime: Runtime,
        on_problem: Callable[[str | None], None],
    ) -> None:
        self._counters = counters
        self._connect = connect
        self._process, self._node = process, node
        self._runtime = runtime
        self._on_problem = on_problem
        self._scripts: Scripts | None = None
        self._task: asyncio.Task[None] | None = None
        self._since: str | None = None
        self._failures = 0
        self._is_reported = self._is_closed = False
        self._reported_at = -math.inf

    @property
    def is_shared(self) -> bool:
        """Whether leases are valid now."""
        return self._since is not None and tick_at(self._runtime.clock()) < self._counters.valid_until

    def start(self) -> None:
        """Until the first exchange, which takes milliseconds, no more is admitted than without a lease. Idempotent."""
        if self._task is None and not self._is_closed:
            self._counters.valid_until = tick_at(self._runtime.clock()) + VALID * TICKS_PER_SECOND
            self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Give back what is leased and not counted. Idempotent."""
        task, self._task, self._is_closed = self._task, None, True
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if self.is_shared:
            self._counters.report_all(gives_back=True)
            with contextlib.suppress(StoreFailed):
                while await self._exchange(leaves=True):
                    pass
        if self._scripts is not None:
            await self._scripts.aclose()

    async def _run(self) -> None:
        while True:
            await self._runtime.sleep(await self.step())

    async def step(self) -> float:
        """One exchange, if there is anything to report. :returns: seconds until the next."""
        try:
            is_full = await self._exchange()
        except StoreFailed as error:
            return self._failed(str(error))
        except (ValueError, TypeError, IndexError):
            return self._failed("limits.redis names a server that does not answer as Redis does")
        self._failures = 0
        if self._is_reported:
            self._is_reported = False
            self._on_problem(None)
        return 0.0 if is_full else INTERVAL

    def _failed(self, problem: str) -> float:
        self._failures += 1
        if not self._is_reported and not self.is_shared:
            self._is_reported = True
            self._on_problem(problem)
        above = self._failures - _FAILURES
        pause = INTERVAL if above < 0 else min(INTERVAL * 2 ** min(above + 1, 10), _LONGEST)
        return pause * (0.5 + self._runtime.jitter() / 2)

    async def _exchange(self, *, leaves: bool = False) -> bool:
        """:returns: whether there may be more to report. :raises StoreFailed:"""
        clock, counters = self._runtime.clock(), self._counters
        tick = tick_at(clock)
        reports = counters.asks(tick, MOST)
        if not reports and clock - self._reported_at < _QUIET and self.is_shared and not leaves:
            return False
        try:
            answer = await self._call(reports, leaves=leaves)
        except BaseException:
            counters.failed(reports)
            raise
        self._reported_at = clock
        since, counters.processes, counters.known_nodes = _text(answer[0]), int(answer[1]), max(1, int(answer[2]))
        counters.answered(reports, _answers(answer[len(COMMON) :]), tick, VALID * TICKS_PER_SECOND)
        if since != self._since:
            if self._since is not None:
                counters.report_all()
            self._since = since
        return len(reports) == MOST

    async def _call(self, reports: Sequence[Report], *, leaves: bool) -> list[Any]:
        if self._scripts is None:
            self._scripts = self._connect()
        arguments: list[str | int] = [self._process, self._node, _ALIVE, _WITHOUT_GRANTS, int(leaves)]
        for counter, ask in reports:
            arguments += (*ask, KEEP_AT_ONCE if counter.at_once else KEEP)
        return await self._scripts.run(SCRIPT, [*COMMON, *(PREFIX + one.counter.key for one in reports)], arguments)


def _answers(values: Sequence[Any]) -> list[Answer]:
    return [Answer(*map(int, values[index : index + 3])) for index in range(0, len(values), 3)]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

"""Processes of several nodes that share a limit, in time that a test decides."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from modelmux.accounts.limit_leases import Seen
from modelmux.accounts.rate_limits import tick_at
from modelmux.runtime import Runtime
from modelmux.store.counters.leased import LeasedCounters
from modelmux.store.counters.memory import MemoryCounters
from modelmux.store.redis.limit_exchange import LimitExchange
from support.redis import ModelServer

T = TypeVar("T")


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")


class Process:
    """One of a node of its own."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.counters = LeasedCounters(MemoryCounters(), lambda: len(world.processes))
        self.problems: list[str | None] = []
        runtime = Runtime(clock=lambda: world.now, jitter=lambda: 1.0)
        self.exchange = LimitExchange(self.counters, lambda: world.server, name, name, runtime, self.problems.append)
        self.counters.valid_until = tick_at(world.now) + 4  # as a start does
        self.running = 0

    def seen(self, needed: int = 1, *, running: bool = False) -> Seen:
        tick = tick_at(self.world.now)
        return self.counters.counter("a", tick).seen(self.world.limit, needed, tick, at_once=running)

    def ask(self, needed: int = 1) -> bool:
        """Whether a request is admitted."""
        tick, seen = tick_at(self.world.now), self.seen(needed)
        counter = self.counters.counter("a", tick)
        if not seen.fits(needed):
            counter.refused(needed)
            return False
        counter.add(tick, needed)
        self.world.admitted.append((self.world.now, needed))
        return True

    def enter(self) -> bool:
        """Whether a request is admitted that runs until ``leave``."""
        tick = tick_at(self.world.now)
        counter = self.counters.counter("a", tick)
        if not self.seen(running=True).fits(1):
            counter.refused(1)
            return False
        counter.enter()
        self.running += 1
        return True

    def leave(self) -> None:
        self.running -= 1
        self.counters.counter("a", tick_at(self.world.now)).enter(-1)

    def step(self) -> float:
        """One exchange; seconds until the next."""
        return at_once(self.exchange.step())


class World:
    """:ivar admitted: times and amounts."""

    def __init__(self, limit: int, processes: int) -> None:
        self.limit, self.now = limit, 10_000.0
        self.server = ModelServer(lambda: int(self.now * 1000))
        self.admitted: list[tuple[float, int]] = []
        self.processes: list[Process] = []
        self.processes = [Process(self, f"p{number}") for number in range(processes)]
        self.settle(5.0)  # grants begin

    def settle(self, seconds: float) -> None:
        """Time passes, and all exchange."""
        for _ in range(round(seconds * 10)):
            for process in self.processes:
                process.step()
            self.now += 0.1

    def most_in_a_minute(self, since: float = 0.0) -> int:
        """What was admitted in the fullest 60 seconds that begin at or after a time."""
        starts = [at for at, _ in self.admitted if at >= since]
        return max((sum(n for at, n in self.admitted if start <= at < start + 60) for start in starts), default=0)

"""Risk: a node that is cut off is silent about it, or one failure ends the renewals; nodes are counted wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from modelmux.accounts.lease_term import STOPS_AFTER, LeaseTerm
from modelmux.gateway.metering.heartbeat import Heartbeat
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import Ledger
from modelmux.store.nodes import LOST_AFTER, RENEWED_EVERY, Renewal, one_node
from support.virtual_time import virtual_time


class Store:
    """Answers a renewal after some seconds, or fails."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, float]] = []
        self.answer: Renewal | Exception = Renewal(3, 7)

    async def renew(self, holder: str, node: str, lost_after: float) -> Renewal:
        self.asked.append((holder, node, lost_after))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.store, self.term = Store(), LeaseTerm()
        self.messages: list[tuple[str, str]] = []
        self.longest = 100.0
        self.slept: list[float] = []
        self.heartbeat = Heartbeat(
            cast("Ledger", self.store), "host:1:a", "host:a", self.term, lambda: self.longest,
            Runtime(clock=lambda: self.now, sleep=self.sleep), cast("Any", self),
        )  # fmt: skip

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) > 2:
            await self.heartbeat.aclose()

    def _log(self, level: str) -> Callable[..., None]:
        return lambda event, message: self.messages.append((level, message))

    def __getattr__(self, level: str) -> Any:
        return self._log(level)


async def test_a_renewal_says_how_long_requests_run_and_counts_nodes() -> None:
    world = World()
    assert (world.heartbeat.nodes, one_node()) == (1, 1)
    await world.heartbeat.renew()
    world.longest = 900.0  # after a reload
    await world.heartbeat.renew()
    assert world.store.asked == [("host:1:a", "host:a", LOST_AFTER + longest) for longest in (100.0, 900.0)]
    assert (world.heartbeat.nodes, world.messages) == (3, [])


async def test_renewals_keep_the_term_going_and_failures_end_it() -> None:
    world = World()
    world.term.exchanged(0.0)
    for _ in range(10):
        world.now += RENEWED_EVERY
        await world.heartbeat.renew()
    assert not world.term.has_ended(world.now)
    world.store.answer = StoreFailed("no route to host")
    for _ in range(int(STOPS_AFTER / RENEWED_EVERY) + 1):
        world.now += RENEWED_EVERY
        await world.heartbeat.renew()
    assert world.now > 50.0 + STOPS_AFTER
    assert world.term.has_ended(world.now)
    assert world.heartbeat.nodes == 3, "those of before"
    ((level, message),) = world.messages
    assert (level, "hold nothing" in message, "no route to host" in message) == ("error", True, True)
    world.store.answer = Renewal(2, 7)
    await world.heartbeat.renew()
    assert world.messages[1:] == [("info", "the leases of this process are renewed again")]
    assert world.term.has_ended(world.now), "nothing is known of the leases before they were exchanged"


async def test_processes_are_counted_once_all_others_have_heard_of_this_one() -> None:
    world = World()
    world.store.answer = Renewal(1, 7, 4)
    counted = []
    for at in (0.0, RENEWED_EVERY, 2 * RENEWED_EVERY):
        world.now = at
        await world.heartbeat.renew()
        counted.append(world.heartbeat.processes)
    assert counted == [0, 0, 4]
    world.store.answer = StoreFailed("no route to host")
    world.now = 1_000.0
    await world.heartbeat.renew()
    assert world.heartbeat.processes == 4, "those of before"


async def test_time_without_an_answer_is_no_time_in_which_others_hear_of_a_process() -> None:
    world = World()
    world.store.answer = Renewal(1, 7, 4)
    await world.heartbeat.renew()
    world.store.answer = StoreFailed("no route to host")
    world.now = 1_000.0
    await world.heartbeat.renew()
    assert world.heartbeat.processes == 0


async def test_a_process_that_was_lost_has_to_be_heard_of_again() -> None:
    """Others have divided the allowance without it."""
    world = World()
    back, counted = 4_000.0, []
    for at, epoch in ((0.0, 7), (10.0, 7), (back, 4), (back + RENEWED_EVERY, 4), (back + 2 * RENEWED_EVERY, 4)):
        world.store.answer, world.now = Renewal(1, epoch, 2), at
        await world.heartbeat.renew()
        counted.append(world.heartbeat.processes)
    assert counted == [0, 2, 0, 0, 2]


async def test_a_process_hears_that_it_counted_as_lost() -> None:
    world = World()
    await world.heartbeat.renew()
    world.store.answer = Renewal(3, 8)
    await world.heartbeat.renew()
    ((level, message),) = world.messages
    assert (level, "in doubt" in message) == ("info", True)


@virtual_time
async def test_whatever_fails_renewals_go_on() -> None:
    world = World()
    world.store.answer = ZeroDivisionError()
    world.heartbeat.start()
    world.heartbeat.start()
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.slept == [RENEWED_EVERY] * 3
    assert len(world.store.asked) == 3
    await world.heartbeat.aclose()

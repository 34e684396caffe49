"""Risk: a request waits in vain or for ever, overtakes another one, holds up others, or leaves something behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from modelmux.accounts.limit_lines import Ahead, Blocked
from modelmux.errors import CallerRateLimited
from modelmux.gateway.limits.limit_queue import POLL, LimitQueue
from support.virtual_time import virtual_time


class World:
    """Limits that have room for so many requests, and the times at which they get room for one more."""

    def __init__(self, most: int = 100) -> None:
        self.room = {"key": 0, "team": 100, "other": 100}
        self.admitted: list[tuple[str, float]] = []
        self.is_draining = self.is_estimate = False
        self.waits: list[tuple[float, str]] = []
        self.looks, self.most, self.most_bytes = 0, most, 1_000
        self.queue = LimitQueue(
            self.clock,
            lambda: self.is_draining,
            lambda seconds, how, _: self.waits.append((round(seconds, 2), how)),
        )
        self.opens: dict[str, float] = {}

    def clock(self) -> float:
        return asyncio.get_running_loop().time()

    def open_at(self, at: float, name: str = "key", more: int = 1) -> None:
        """There is room from a time on, which is known."""
        self.opens[name] = at

        def opened() -> None:
            self.room[name] += more

        asyncio.get_running_loop().call_at(at, opened)

    def ask(
        self,
        name: str,
        limits: tuple[str, ...] = ("key", "team"),
        wait: float = 10.0,
        pause: float = 0.0,
        key: str = "",
        size: int = 0,
    ) -> asyncio.Task[None]:
        attempt = Request(self, name, limits, self.clock(), key, size)
        admitted = self.queue.admit(attempt, wait, self.most, self.most_bytes, pause)
        return asyncio.get_running_loop().create_task(admitted)


class Request:
    def __init__(self, world: World, name: str, limits: tuple[str, ...], arrival: float, key: str, size: int) -> None:
        self.world = world
        self.name = name
        self.arrival = arrival
        self.needs: Mapping[str, int] = dict.fromkeys(limits, 1)
        self.key, self.size = key or name, size
        self.rest: Callable[[], Awaitable[None]] | None = None

    def look(self, ahead: Callable[[str], Ahead]) -> Blocked | None:
        world = self.world
        world.looks += 1
        for name in self.needs:
            if world.room[name] < 1 + ahead(name).total:
                return Blocked(name, max(0.0, world.opens.get(name, 0.0) - world.clock()), world.is_estimate)
        return None

    def take(self) -> None:
        for name in self.needs:
            self.world.room[name] -= 1
        self.world.admitted.append((self.name, round(self.world.clock(), 2)))

    def refusal(self) -> CallerRateLimited:
        return CallerRateLimited("no", retry_after=1.0)


async def refused(task: asyncio.Task[None]) -> bool:
    try:
        await task
    except CallerRateLimited:
        return True
    return False


@virtual_time
async def test_requests_are_admitted_in_the_order_in_which_they_came() -> None:
    world = World()
    tasks = []
    for name in "abc":
        tasks.append(world.ask(name))
        await asyncio.sleep(0.01)
    for at in (1.0, 2.0, 3.0):
        world.open_at(at)
    await asyncio.gather(*tasks)
    assert [name for name, _ in world.admitted] == ["a", "b", "c"]
    for (_, at), expected in zip(world.admitted, (1.0, 2.0, 3.0), strict=True):
        assert expected <= at <= expected + POLL + 0.01
    assert world.queue.waiting == 0
    assert [how for _, how in world.waits] == ["admitted"] * 3


@virtual_time
async def test_there_is_no_wait_where_there_is_room() -> None:
    world = World()
    world.room["key"] = 1
    await world.ask("a")
    assert (world.admitted, world.waits, world.looks) == ([("a", 0.0)], [], 1)


@virtual_time
async def test_a_wait_that_is_known_to_be_in_vain_does_not_begin() -> None:
    world = World()
    world.open_at(10.5)
    assert await refused(world.ask("a", wait=10.0))
    assert (world.clock(), world.waits) == (0.0, [])
    task = world.ask("b", wait=10.5)
    await task
    assert world.admitted == [("b", 10.5)], "at the last moment"


@virtual_time
async def test_nobody_waits_longer_than_asked() -> None:
    world = World()
    first, second = world.ask("a", wait=3.0), world.ask("b", wait=1.0)
    assert await refused(second)
    assert 1.0 <= world.clock() < 1.01
    assert await refused(first)
    assert 3.0 <= world.clock() < 3.01
    assert sorted(world.waits) == [(1.0, "rejected"), (3.0, "rejected")]
    assert world.queue.waiting == 0


@virtual_time
async def test_other_keys_are_not_held_up() -> None:
    world = World()
    waits = world.ask("a")
    await asyncio.sleep(1.0)
    await world.ask("b", ("other", "team"))
    assert world.admitted == [("b", 1.0)], "they share a team, which has room"
    world.room["team"] = 0
    behind = world.ask("c", ("other", "team"))
    await asyncio.sleep(0.01)
    assert world.queue.waiting == 2
    world.open_at(2.0, "team", 2)
    await behind
    world.room["key"] += 1
    await waits
    assert [name for name, _ in world.admitted] == ["b", "c", "a"]


@virtual_time
async def test_who_came_first_is_first_in_the_next_line_too() -> None:
    """``a`` waits for its key, and then for its team, for which ``b`` waits that came later."""
    world = World()
    world.room["team"] = 0
    first = world.ask("a")
    await asyncio.sleep(0.01)
    second = world.ask("b", ("other", "team"))
    await asyncio.sleep(0.01)
    world.room["key"] += 1
    await asyncio.sleep(1.0)
    world.open_at(2.0, "team")
    await first
    assert [name for name, _ in world.admitted] == ["a"]
    world.room["team"] += 1
    await second


@virtual_time
async def test_a_request_that_has_ended_makes_room_at_once() -> None:
    world = World()
    task = world.ask("a")
    await asyncio.sleep(POLL / 2)
    world.queue.released(["team"])
    await asyncio.sleep(0)
    world.room["key"] += 1
    world.queue.released(["key"])
    await task
    assert world.admitted == [("a", POLL / 2)]
    world.queue.released(["key"])


@virtual_time
async def test_a_client_that_leaves_ends_its_wait_and_nobody_elses() -> None:
    world = World()
    first, second = world.ask("a"), world.ask("b")
    await asyncio.sleep(1.0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (round(world.clock(), 6), world.queue.waiting, world.waits) == (1.0, 1, [(1.0, "left")])
    world.room["key"] += 1
    await second
    assert world.admitted[0][1] <= 1.0 + POLL


@virtual_time
async def test_the_end_of_the_process_ends_all_waits() -> None:
    world = World()
    tasks = [world.ask(name) for name in "abc"]
    await asyncio.sleep(1.0)
    world.is_draining = True
    assert all([await refused(task) for task in tasks])
    assert world.clock() <= 1.0 + POLL
    assert await refused(world.ask("d"))
    assert (world.clock() <= 1.0 + POLL, world.queue.waiting) == (True, 0)


@virtual_time
async def test_a_number_of_requests_wait_and_further_ones_are_refused_at_once() -> None:
    world = World(most=2)
    first, second = world.ask("a"), world.ask("b")
    await asyncio.sleep(0)
    assert await refused(world.ask("c"))
    await world.ask("d", ("other",))
    world.room["key"] += 2
    await asyncio.gather(first, second)
    assert sorted(name for name, _ in world.admitted) == ["a", "b", "d"]


@virtual_time
async def test_those_that_only_look_are_admitted_one_after_the_other() -> None:
    world = World()
    tasks = [world.ask(name, pause=0.1) for name in "abc"]
    await asyncio.sleep(0.05)
    world.room["key"] += 3
    await asyncio.gather(*tasks)
    (_, first), (_, second), (_, third) = world.admitted
    assert [round(second - first, 1), round(third - second, 1)] == [0.1, 0.1]


@virtual_time
async def test_another_key_gets_a_place_of_the_key_that_has_most() -> None:
    world = World(most=2)
    first, second = world.ask("a1", key="a"), world.ask("a2", key="a")
    await asyncio.sleep(1.0)
    other = world.ask("b", ("other",))
    await other
    world.room["other"] = 0
    behind = world.ask("c", ("other",))
    assert await refused(second)
    assert (round(world.clock(), 6), world.queue.waiting, world.waits) == (1.0, 2, [(1.0, "rejected")])
    world.room.update(key=1, other=1)
    await asyncio.gather(first, behind)
    assert sorted(name for name, _ in world.admitted) == ["a1", "b", "c"]


@virtual_time
async def test_bytes_of_those_that_wait_are_limited() -> None:
    world = World()
    first, second = world.ask("a1", key="a", size=600), world.ask("a2", key="a", size=400)
    await asyncio.sleep(1.0)
    assert await refused(world.ask("a3", key="a", size=1))
    assert await refused(world.ask("b", ("key",), size=1_001))
    assert (round(world.clock(), 6), world.queue.waiting) == (1.0, 2)
    other = world.ask("c", ("key",), size=500)
    assert await refused(first)
    world.room["key"] += 2
    await asyncio.gather(second, other)
    assert [name for name, _ in world.admitted] == ["a2", "c"]


@virtual_time
async def test_who_waits_by_an_estimate_waits_until_its_time_is_over() -> None:
    """It was known to be in vain only when it came."""
    world = World()
    world.is_estimate = True
    task = world.ask("a")
    await asyncio.sleep(1.0)
    world.opens["key"] = 61.0
    assert await refused(world.ask("b"))
    await asyncio.sleep(1.0)
    world.room["key"] += 1
    await task


@virtual_time
async def test_what_a_request_does_not_need_is_freed_while_it_has_its_turn() -> None:
    """It takes a while: room that comes meanwhile is seen after it, and who came later does not get it."""
    world = World()
    rests: list[float] = []

    async def rest() -> None:
        rests.append(world.clock())
        await asyncio.sleep(0.5)

    attempt = Request(world, "a", ("key",), 0.0, "", 0)
    attempt.rest = rest
    first = asyncio.create_task(world.queue.admit(attempt, 10.0, 100))
    await asyncio.sleep(0.1)
    second = world.ask("b")
    await asyncio.sleep(0.1)
    world.room["key"] += 1
    world.queue.released(["key"])
    await first
    assert (world.admitted, rests) == ([("a", 0.5)], [0.0])
    world.room["key"] += 1
    await second


@virtual_time
async def test_a_request_whose_limits_change_waits_by_the_new_ones() -> None:
    world = World()
    attempt = Request(world, "a", ("key",), 0.0, "", 0)
    task = asyncio.create_task(world.queue.admit(attempt, 10.0, 100))
    await asyncio.sleep(1.0)
    attempt.needs = {"other": 1}
    world.room["other"] = 0
    await asyncio.sleep(1.0)
    assert await refused(world.ask("b", ("other",), wait=0.0))
    behind = world.ask("c", ("key",))
    await asyncio.sleep(0.1)
    world.room["other"] = 1
    await task
    assert not behind.done()
    world.room["key"] = 1
    await behind

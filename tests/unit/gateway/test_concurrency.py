"""Places: never more than there are, none lost however a waiter ends, first come first served."""

from __future__ import annotations

import asyncio
import random

import pytest

from modelmux.errors import GatewayOverloaded
from modelmux.gateway.concurrency import Admission


def admission(limit: int | None = 1, queue: int = 8, patience: float = 5.0) -> Admission:
    return Admission(limit, queue=queue, patience=patience)


async def test_without_a_bound_everybody_enters() -> None:
    free = admission(None)
    for _ in range(1000):
        await free.enter()
    assert (free.running, free.full) == (1000, False)


async def test_who_waits_gets_the_place_in_turn() -> None:
    places, order = admission(), list[int]()
    await places.enter()

    async def one(number: int) -> None:
        async with places:
            order.append(number)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert (places.running, places.waiting, order) == (1, 5, [])
    places.leave()
    await asyncio.gather(*tasks)
    assert (order, places.running, places.waiting) == ([0, 1, 2, 3, 4], 0, 0)


async def test_nobody_overtakes_those_who_wait() -> None:
    places = admission()
    await places.enter()
    waiter = asyncio.create_task(places.enter())
    await asyncio.sleep(0)
    places.leave()  # the place is the waiter's, though it has not run yet
    late = asyncio.create_task(places.enter())
    await asyncio.wait([waiter])
    assert not late.done()
    places.leave()
    await late


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    places = admission(queue=1)
    await places.enter()
    waiter = asyncio.create_task(places.enter())
    await asyncio.sleep(0)
    with pytest.raises(GatewayOverloaded) as caught:
        await places.enter()
    assert (caught.value.status, caught.value.retry_after) == (503, 2.0)
    places.leave()
    await waiter


@pytest.mark.parametrize(("patience", "left"), [(0.02, 9.0), (9.0, 0.02)])
async def test_nobody_waits_longer_than_it_is_worth(patience: float, left: float) -> None:
    places = admission(patience=patience)
    await places.enter()
    with pytest.raises(GatewayOverloaded):
        await places.enter(left)
    assert (places.running, places.waiting) == (1, 0)
    with pytest.raises(GatewayOverloaded):
        await places.enter(0.0)


async def test_a_waiter_that_leaves_keeps_nothing() -> None:
    places = admission()
    await places.enter()
    waiter = asyncio.create_task(places.enter())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait([waiter])
    places.leave()
    assert (places.running, places.waiting) == (0, 0)


async def test_a_waiter_that_leaves_in_the_moment_it_gets_its_place_passes_it_on() -> None:
    places = admission()
    await places.enter()
    first, second = asyncio.create_task(places.enter()), asyncio.create_task(places.enter())
    await asyncio.sleep(0)
    places.leave()
    first.cancel()
    await asyncio.wait([first])
    await asyncio.wait_for(second, 1)
    assert places.running == 1


async def test_a_larger_bound_lets_waiters_in() -> None:
    places = admission()
    await places.enter()
    waiters = [asyncio.create_task(places.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    places.resize(3, queue=8, patience=5.0)
    await asyncio.wait(waiters[:2])
    assert (places.running, places.waiting, waiters[2].done()) == (3, 1, False)
    places.resize(None, queue=8, patience=5.0)
    await waiters[2]


async def test_no_place_is_lost_or_made_up_whatever_happens() -> None:
    rng, places = random.Random(7), admission(3, queue=20, patience=0.01)
    most = 0

    async def one() -> None:
        nonlocal most
        try:
            async with places:
                most = max(most, places.running)
                await asyncio.sleep(rng.random() * 0.004)
        except GatewayOverloaded:
            pass

    tasks = [asyncio.create_task(one()) for _ in range(400)]
    for task in tasks:
        if rng.random() < 0.3:
            asyncio.get_running_loop().call_later(rng.random() * 0.05, task.cancel)
        await asyncio.sleep(0.0001)
    await asyncio.wait(tasks)
    assert (places.running, places.waiting, most) == (0, 0, 3)

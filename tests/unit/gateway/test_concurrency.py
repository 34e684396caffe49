"""Risk: more work at once than the limit, a slot lost when a waiter ends, a request that overtakes the queue."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import uvloop

from modelmux.config.schema import LimitsConfig
from modelmux.errors import GatewayOverloaded
from modelmux.gateway.concurrency import ConcurrencyLimiter, WaitResult, limits_of
from modelmux.routing.admission import Reason
from support.clock import Clock, loop_time


def limiter(limit: int | None = 1, queue: int = 8, queue_timeout: float = 5.0) -> ConcurrencyLimiter:
    return ConcurrencyLimiter(limit, queue=queue, queue_timeout=queue_timeout)


async def test_without_a_limit_every_request_gets_a_slot() -> None:
    unlimited = limiter(None)
    for _ in range(1000):
        await unlimited.acquire()
    assert (unlimited.running, unlimited.full) == (1000, False)


async def test_waiters_get_slots_in_order() -> None:
    slots, order = limiter(), list[int]()
    await slots.acquire()

    async def one(number: int) -> None:
        await slots.acquire()
        order.append(number)
        await asyncio.sleep(0)
        slots.release()

    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert (slots.running, slots.queued, order) == (1, 5, [])
    slots.release()
    await asyncio.gather(*tasks)
    assert (order, slots.running, slots.queued) == ([0, 1, 2, 3, 4], 0, 0)


async def test_a_newcomer_does_not_overtake_the_queue() -> None:
    slots = limiter()
    await slots.acquire()
    waiter = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    slots.release()  # the slot is the waiter's, though it has not run yet
    late = asyncio.create_task(slots.acquire())
    await asyncio.wait([waiter])
    assert not late.done()
    slots.release()
    await late


async def test_a_full_queue_rejects_at_once_with_a_retry_after() -> None:
    slots = limiter(queue=1)
    await slots.acquire()
    waiter = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    with pytest.raises(GatewayOverloaded) as caught:
        await slots.acquire()
    assert (caught.value.status, caught.value.retry_after) == (503, 2.0)
    slots.release()
    await waiter


@pytest.mark.virtual_time
@pytest.mark.parametrize(("queue_timeout", "left"), [(0.02, 9.0), (9.0, 0.02)])
async def test_the_wait_ends_at_the_timeout_or_the_deadline(queue_timeout: float, left: float) -> None:
    slots = limiter(queue_timeout=queue_timeout)
    await slots.acquire()
    with pytest.raises(GatewayOverloaded):
        await slots.acquire(left)
    assert (slots.running, slots.queued) == (1, 0)
    with pytest.raises(GatewayOverloaded):
        await slots.acquire(0.0)


async def test_a_cancelled_waiter_holds_no_slot() -> None:
    slots = limiter()
    await slots.acquire()
    waiter = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait([waiter])
    slots.release()
    assert (slots.running, slots.queued) == (0, 0)


async def test_a_waiter_cancelled_as_it_gets_a_slot_passes_it_on() -> None:
    slots = limiter()
    await slots.acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    slots.release()
    first.cancel()
    await asyncio.wait([first])
    await asyncio.wait_for(second, 100)
    assert slots.running == 1


async def test_a_higher_limit_lets_waiters_run() -> None:
    slots = limiter()
    await slots.acquire()
    waiters = [asyncio.create_task(slots.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    slots.resize(3, queue=8, queue_timeout=5.0)
    await asyncio.wait(waiters[:2])
    assert (slots.running, slots.queued, waiters[2].done()) == (3, 1, False)
    slots.resize(None, queue=8, queue_timeout=5.0)
    await waiters[2]


async def test_a_lower_limit_takes_effect_while_others_wait() -> None:
    slots = limiter(3)
    for _ in range(3):
        await slots.acquire()
    waiters = [asyncio.create_task(slots.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    slots.resize(1, queue=8, queue_timeout=5.0)
    seen = []
    for _ in range(5):
        slots.release()
        await asyncio.sleep(0)
        seen.append((slots.running, slots.queued))
    await asyncio.gather(*waiters)
    assert seen == [(2, 2), (1, 2), (1, 1), (1, 0), (0, 0)]


@pytest.mark.virtual_time
async def test_slots_are_neither_lost_nor_invented_under_random_load() -> None:
    rng, slots, most = random.Random(7), limiter(3, queue=20, queue_timeout=0.01), 0

    async def one() -> None:
        nonlocal most
        try:
            await slots.acquire()
            try:
                most = max(most, slots.running)
                await asyncio.sleep(rng.random() * 0.004)
            finally:
                slots.release()
        except GatewayOverloaded:
            pass

    tasks = [asyncio.create_task(one()) for _ in range(400)]
    for task in tasks:
        if rng.random() < 0.3:
            asyncio.get_running_loop().call_later(rng.random() * 0.05, task.cancel)
        await asyncio.sleep(0.0001)
    await asyncio.wait(tasks)
    assert (slots.running, slots.queued, most) == (0, 0, 3)


@pytest.mark.virtual_time
async def test_nobody_waits_longer_than_calls_take() -> None:
    """The configured timeout is 5 s, but calls take 0.1 s: a request without a slot is told so after half a second."""
    slots, waits = ConcurrencyLimiter(1, queue=8, queue_timeout=5.0), list[float]()
    for _ in range(8):
        since = await slots.acquire()
        await asyncio.sleep(0.1)
        slots.release(since=since)
    await slots.acquire()

    async def one() -> None:
        began = loop_time()
        with pytest.raises(GatewayOverloaded):
            await slots.acquire()
        waits.append(loop_time() - began)

    await asyncio.gather(one(), one())
    assert waits == pytest.approx([0.5, 0.5])
    assert (slots.running, slots.queued) == (1, 0)


async def test_a_key_with_many_waiting_gives_way_to_one_with_none() -> None:
    slots = limiter(queue=2)
    await slots.acquire()
    many = [asyncio.create_task(slots.acquire(key="many")) for _ in range(2)]
    await asyncio.sleep(0)
    one = asyncio.create_task(slots.acquire(key="one"))
    await asyncio.sleep(0)
    await asyncio.wait([many[1]])
    assert isinstance(many[1].exception(), GatewayOverloaded)
    slots.release()
    await many[0]
    slots.release()
    await one


@pytest.mark.parametrize(
    ("slots", "workers", "limits", "for_one_model"),
    [(6, 1, [6], 6), (20, 1, [20], 18), (20, 2, [10, 10], 18), (20, 4, [5, 5, 5, 5], 18), (100, 4, [25] * 4, 90)],
)
async def test_workers_leave_a_tenth_of_all_slots_to_other_models(
    slots: int, workers: int, limits: list[int], for_one_model: int
) -> None:
    config = LimitsConfig(max_concurrent_requests=slots)
    shares = [limits_of(config, workers, number, several_models=True) for number in range(1, workers + 1)]
    assert [share["limit"] for share in shares] == limits
    entered = 0
    for share in shares:
        each = ConcurrencyLimiter(**share)
        while each.enter("one") is not None:
            entered += 1
    assert entered == for_one_model
    assert all(limits_of(config, workers, number)["reserved"] == 0 for number in range(1, workers + 1))


async def test_a_slot_for_another_model_is_not_waited_for() -> None:
    slots = ConcurrencyLimiter(10, queue=8, queue_timeout=5.0)
    slots.resize(10, queue=8, queue_timeout=5.0, reserved=1)
    assert [slots.enter("slow") is not None for _ in range(10)] == [True] * 9 + [False]
    waiter = asyncio.create_task(slots.acquire(model="slow"))
    await asyncio.sleep(0)
    assert slots.enter("fast") is not None
    slots.release("slow")
    await waiter
    assert (slots.running, slots.queued) == (10, 0)


@pytest.mark.virtual_time
async def test_every_wait_is_reported_once() -> None:
    reports = list[tuple[float, WaitResult, Reason | None]]()
    slots = ConcurrencyLimiter(1, queue=3, queue_timeout=1.0, on_wait=lambda *report: reports.append(report))
    await slots.acquire()
    assert reports == [], "a request that did not wait is not worth a report"
    admitted, left, rejected = (asyncio.create_task(slots.acquire()) for _ in range(3))
    await asyncio.sleep(0.2)
    with pytest.raises(GatewayOverloaded):
        await slots.acquire()
    left.cancel()
    slots.release()
    await asyncio.sleep(1.0)
    await asyncio.wait([admitted, left, rejected])
    assert not rejected.cancelled()
    assert isinstance(rejected.exception() or admitted.exception(), GatewayOverloaded)
    assert sorted((round(seconds, 3), result, reason or "") for seconds, result, reason in reports) == [
        (0.0, "rejected", "queue_full"),
        (0.2, "admitted", ""),
        (0.2, "left", ""),
        (1.0, "rejected", "queue_timeout"),
    ]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_waits_that_are_over_when_the_next_one_arrives_end_at_once(run: Any) -> None:
    """The loop was busy for longer than the first may wait. (Of a timer that is due, uvloop does not tell the time.)"""

    async def scenario() -> None:
        clock = Clock()
        slots = ConcurrencyLimiter(1, queue=8, queue_timeout=1.0, clock=clock)
        await slots.acquire()
        first = asyncio.create_task(slots.acquire())
        await asyncio.sleep(0)
        clock.advance(2.0)
        second = asyncio.create_task(slots.acquire())
        third = asyncio.create_task(slots.acquire())
        await asyncio.wait([first], timeout=5)
        assert isinstance(first.exception(), GatewayOverloaded)
        assert (slots.running, slots.queued) == (1, 2)
        slots.release()
        await third  # the newest first: the queue has not been empty for a while
        slots.release()
        await second

    run(scenario())

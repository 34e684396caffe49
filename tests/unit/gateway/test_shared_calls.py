"""Risk: a shared call is made twice, outlives those who wait for it, or ends with the first who leaves."""

from __future__ import annotations

import asyncio

import pytest

from modelmux.gateway.shared_calls import SharedCalls
from support.clock import Clock


class Calls:
    """Calls that wait until they are released."""

    def __init__(self) -> None:
        self.begun = self.ended = self.cancelled = 0
        self.release = asyncio.Event()
        self.error: Exception | None = None
        self.error_of_cancellation: Exception | None = None

    async def call(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            if self.error_of_cancellation is not None:
                raise self.error_of_cancellation from None
            raise
        self.ended += 1
        if self.error is not None:
            raise self.error
        return number


async def begin(shared: SharedCalls[int], calls: Calls, key: bytes = b"k") -> asyncio.Task[int]:
    task = asyncio.create_task(shared.get(key, calls.call))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared(clock: Clock) -> SharedCalls[int]:
    return SharedCalls(clock, seconds=60, max_results=2)


async def test_identical_calls_in_flight_are_made_once(shared: SharedCalls[int]) -> None:
    calls = Calls()
    tasks = [await begin(shared, calls) for _ in range(5)]
    other = await begin(shared, calls, b"other")
    calls.release.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert await other == 2


async def test_a_result_is_kept_for_its_time(shared: SharedCalls[int], clock: Clock) -> None:
    calls = Calls()
    calls.release.set()
    assert await shared.get(b"k", calls.call) == 1
    clock.advance(59)
    assert await shared.get(b"k", calls.call) == 1
    clock.advance(1)
    assert await shared.get(b"k", calls.call) == 2


async def test_the_oldest_results_are_dropped_first(shared: SharedCalls[int]) -> None:
    calls = Calls()
    calls.release.set()
    assert [await shared.get(key, calls.call) for key in (b"a", b"b", b"c", b"b", b"c", b"a")] == [1, 2, 3, 2, 3, 4]


async def test_a_failure_is_shared_and_not_kept(shared: SharedCalls[int]) -> None:
    calls = Calls()
    tasks = [await begin(shared, calls) for _ in range(2)]
    calls.error = ValueError("no")
    calls.release.set()
    assert [type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [ValueError] * 2
    calls.error = None
    assert await shared.get(b"k", calls.call) == 2


async def test_a_call_survives_the_one_who_began_it(shared: SharedCalls[int]) -> None:
    calls = Calls()
    first, second = await begin(shared, calls), await begin(shared, calls)
    first.cancel()
    await asyncio.wait([first])
    assert (first.cancelled(), calls.cancelled) == (True, 0)
    calls.release.set()
    assert await second == 1


@pytest.mark.parametrize("error", [None, ValueError("while it ends")])
async def test_a_call_ends_with_the_last_who_waits(shared: SharedCalls[int], error: Exception | None) -> None:
    calls = Calls()
    calls.error_of_cancellation = error
    tasks = [await begin(shared, calls) for _ in range(2)]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert calls.cancelled == 1
    calls.release.set()
    assert await shared.get(b"k", calls.call) == 2

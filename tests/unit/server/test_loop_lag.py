"""Risk: a loop that is behind takes ever more work; one long step rejects requests that could be served."""

from __future__ import annotations

import asyncio

import pytest

from modelmux.errors import GatewayOverloaded
from modelmux.server.loop_lag import INTERVAL, MAX_LAG, MEASUREMENTS, LoopLag
from support.clock import Clock, loop_time


def test_only_lag_that_lasts_counts() -> None:
    lag, seen = LoopLag(), []
    for late in (0.0, 9.0, 0.0, MAX_LAG, MAX_LAG, MAX_LAG, 1.0, 0.0, 1.0, 1.0):
        lag.record(late)
        seen.append(lag.lagging)
    assert MEASUREMENTS == 3
    assert seen == [False, False, False, False, False, True, True, False, False, False]
    assert lag.seconds == 1.0


def test_every_rejected_request_is_counted() -> None:
    rejected = list[int]()
    error = LoopLag(on_reject=lambda: rejected.append(1)).rejection()
    assert isinstance(error, GatewayOverloaded)
    assert (error.retry_after, rejected) == (2.0, [1])
    assert isinstance(LoopLag().rejection(), GatewayOverloaded)


@pytest.mark.virtual_time
async def test_an_idle_loop_does_not_lag() -> None:
    lag = LoopLag(loop_time)
    assert lag.seconds == 0.0
    lag.start()
    lag.start()
    await asyncio.sleep(10 * INTERVAL)
    assert not lag.lagging
    assert lag.seconds == pytest.approx(0.0)
    lag.stop()
    lag.stop()


@pytest.mark.virtual_time
async def test_a_loop_whose_steps_take_long_lags_until_they_do_not() -> None:
    clock = Clock()
    lag = LoopLag(clock)
    lag.start()
    seen = []
    for step in (1.0, 1.0, 1.0, 1.0, 0.0, 0.0):
        clock.advance(INTERVAL + step)
        await asyncio.sleep(INTERVAL)
        await asyncio.sleep(0)
        seen.append(lag.lagging)
    lag.stop()
    assert seen[-1] is False
    assert True in seen


@pytest.mark.virtual_time
async def test_the_first_request_starts_it_where_there_is_no_lifespan() -> None:
    lag = LoopLag()
    lag.check()
    await asyncio.sleep(1.5 * INTERVAL)
    assert list(lag._latest) == [pytest.approx(0.0)]
    for _ in range(MEASUREMENTS):
        lag.record(MAX_LAG)
    with pytest.raises(GatewayOverloaded):
        lag.check()
    lag.stop()


def test_an_event_loop_that_has_ended_does_not_lag_for_ever() -> None:
    lag = LoopLag()

    async def lagging() -> None:
        lag.check()
        for _ in range(MEASUREMENTS):
            lag.record(MAX_LAG)

    async def another() -> None:
        lag.check()
        assert not lag.lagging
        await asyncio.sleep(1.5 * INTERVAL)
        assert len(lag._latest) >= 1, "it is measured"

    asyncio.run(lagging())
    assert lag.lagging
    asyncio.run(another())

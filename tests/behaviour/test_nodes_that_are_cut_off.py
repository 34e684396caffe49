"""Risk: a node spends from leases that another has ended, refuses what no hard budget limits, or serves no more.

The store is the real one in a file, whose calls a test makes fail. That leases end is switched on, as with PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from behaviour.test_budgets_are_never_passed import COST, NANO, World
from modelmux.accounts.lease_term import STOPS_AFTER
from modelmux.gateway.metering import budget_guard
from modelmux.store.base import StoreFailed
from support.clock import Clock, use_runtime
from support.fakes import message_reply


class CutOff(World):
    """:ivar is_cut: no call reaches the store. :ivar is_silent: none is answered."""

    is_cut = is_silent = False

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder, *(message_reply() for _ in range(20)))
        self.clock, self.answers = clock, asyncio.Event()
        self.app.metering._term._stops_after = STOPS_AFTER
        ledger: Any = self.app.metering._ledger
        exchange = ledger.exchange

        async def call(*arguments: Any) -> Any:
            if self.is_silent:
                await self.answers.wait()
            if self.is_cut:
                raise StoreFailed("no route to host")
            return await exchange(*arguments)

        ledger.exchange = call

    def free(self) -> int:
        return sum(one.free for _, one in self.app.metering._book.slices)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CutOff]:
    clock = Clock()
    use_runtime(monkeypatch, clock=clock)
    one = CutOff(tmp_path, clock)
    yield one
    one.is_cut = one.is_silent = False
    one.answers.set()
    await one.end()


async def test_what_is_leased_is_used_for_a_while_and_again_when_the_store_answers(world: CutOff) -> None:
    await world.begin(NANO)
    assert (await world.ask()).status == 200
    await world.app.metering.writer.exchange()  # type: ignore[union-attr]
    assert world.free() > COST
    world.is_cut = True
    world.clock.advance(STOPS_AFTER - 1)
    assert (await world.ask()).status == 200
    assert world.free() > COST, "its lease would do"
    world.clock.advance(2)
    refused = await world.ask()
    assert (refused.status, refused.json()["error"]["code"]) == (503, "accounts_unavailable")
    assert int(refused.headers["retry-after"]) >= 2
    assert world.held() == 0
    assert world.free() <= 0, "all of it is given back with the next exchange"
    world.is_cut = False
    assert (await world.ask()).status == 200
    world.clock.advance(1)
    assert (await world.ask()).status == 200
    await world.end()
    assert world.windows() == [(4 * COST, 0)]


async def test_a_process_that_stood_still_asks_before_it_holds(world: CutOff) -> None:
    await world.begin(NANO)
    assert (await world.ask()).status == 200
    world.clock.advance(3_600)
    assert (await world.ask()).status == 200


async def test_a47_no_request_waits_long_for_a_store_that_stands_still(
    world: CutOff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_guard, "RECALL_SECONDS", 0.01)
    await world.begin(NANO)
    assert (await world.ask()).status == 200
    world.is_silent = True
    world.clock.advance(STOPS_AFTER + 1)
    assert (await world.ask()).status == 503


async def test_an_answer_that_came_too_late_is_none(world: CutOff, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger: Any = world.app.metering._ledger
    exchange = ledger.exchange

    async def slow(*arguments: Any) -> Any:
        world.clock.advance(STOPS_AFTER + 1)
        return await exchange(*arguments)

    await world.begin(NANO)
    monkeypatch.setattr(ledger, "exchange", slow)
    assert (await world.ask()).status == 503
    assert (await world.ask()).status == 503
    monkeypatch.setattr(ledger, "exchange", exchange)
    assert (await world.ask()).status == 200


async def test_requests_that_no_hard_budget_limits_go_on(world: CutOff) -> None:
    await world.begin(NANO, mode="soft")
    assert (await world.ask()).status == 200
    world.is_cut = True
    world.clock.advance(STOPS_AFTER + 1)
    assert (await world.ask()).status == 200

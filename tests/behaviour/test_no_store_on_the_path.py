"""Risk: a request waits for the store of accounts although its process has leased enough: each one pays for a
transaction, and a store that stands still stops them all.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from behaviour.test_budgets_are_never_passed import CALLING, NANO, World
from modelmux.accounts.budgets import Selector
from modelmux.accounts.limit_edits import save_limit
from modelmux.accounts.rates import Limit, Rates
from modelmux.dialects.registry import Surface
from modelmux.store.connection_thread import ConnectionThread
from properties.test_registry import REQUESTS, by_surface, path_of, reply_of
from support.asgi import request
from support.gateway import MODEL

COUNT = 20


class Store:
    """Counts the calls of all connections, which wait until ``opened``."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.opened.set()
        self.calls = 0
        self.callers = set[asyncio.Task[Any] | None]()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    one, run, call = Store(), ConnectionThread.run, ConnectionThread.call

    async def counted_run(self: Any, function: Any, *rest: Any, **named: Any) -> Any:
        def waiting(connection: Any) -> Any:
            one.opened.wait()
            return function(connection)

        one.calls += 1
        one.callers.add(asyncio.current_task())
        return await run(self, waiting, *rest, **named)

    def counted_call(self: Any, *rest: Any, **named: Any) -> Any:
        assert one.opened.is_set(), "the event loop would wait"
        return call(self, *rest, **named)

    monkeypatch.setattr(ConnectionThread, "run", counted_run)
    monkeypatch.setattr(ConnectionThread, "call", counted_call)
    yield one
    one.opened.set()


@by_surface(CALLING)
async def test_requests_within_a_lease_end_while_the_store_stands_still(
    surface: Surface, tmp_path: Path, store: Store
) -> None:
    world = World(tmp_path, *[reply_of(surface) for _ in range(COUNT + 1)])
    await world.begin(1000 * NANO)
    limit = Limit(id="lim_a", name="paces", limits=Rates(rpm=1_000, tpm=10**9), applies_to=Selector(key="key_a"))
    await world.change(lambda d: save_limit(d, limit))
    body = dict(REQUESTS[surface.dialect.name]) | {"model": MODEL}

    async def send() -> int:
        return (await request(world.app, surface.method, path_of(surface), body, world.headers)).status

    assert await send() == 200  # it leases
    await world.app.metering.writer.exchange()  # type: ignore[union-attr]
    store.opened.clear()
    for _ in range(COUNT):
        task = asyncio.create_task(send())
        assert await asyncio.wait_for(task, 100) == 200
        assert task not in store.callers
    assert store.calls > 0
    store.opened.set()
    await world.end()
    ((spent, leased),) = world.windows()
    assert (spent > 0, leased) == (True, 0)

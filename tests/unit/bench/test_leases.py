"""Risk: the simulation shows what its model of the database does, and PostgreSQL does something else."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench.leases import clock, simulation
from bench.leases.database import Costs, Database, ModelStore, Store
from bench.leases.traffic import USD, Plan, limits_of, requests
from bench.leases.world import Outcome, World, simulate

from modelmux.accounts.entry import Entry
from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import WindowKey
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.ledger import postgres_holders
from support.postgres import execute

#: Three nodes that spend all of the budget of all, and those of some keys. A transaction takes longer than the pause
#: between two exchanges, so requests wait beside each other.
SCARCE = Plan(
    nodes=3, keys=20, teams=3, rate=30.0, seconds=12.0, duration=0.7, key_limit=USD, team_limit=3 * USD,
    all_limit=5 * USD,
)  # fmt: skip
COSTS = Costs(before=0.01, after=0.03)
_set_seen = postgres_holders.set_seen


class Recording:
    """:ivar answers: of each exchange in turn: who asked, when, for what, and what the store granted.
    :ivar looks: who looked, when, and what was recalled of its windows."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.answers: list[tuple[str, int, list[tuple[WindowKey, Ask, Grant]]]] = []
        self.looks: list[tuple[str, int, set[WindowKey]]] = []

    def exchange(
        self, holder: str, entries: Sequence[Entry], asks: Mapping[WindowKey, Ask], now: int
    ) -> dict[WindowKey, Grant]:
        grants = self.store.exchange(holder, entries, asks, now)
        assert grants.keys() == asks.keys()
        self.answers.append((holder, now, [(key, asks[key], grants[key]) for key in sorted(asks)]))
        return grants

    def recalled(self, holder: str, now: int) -> set[WindowKey]:
        recalled = set(self.store.recalled(holder, now))
        self.looks.append((holder, now, recalled))
        return recalled


class PostgresStore:
    """A ledger in PostgreSQL, whose event loop has real time: virtual time stands still meanwhile. The clock of the
    server, by which windows are recalled, shows virtual time."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        from modelmux.store.ledger.postgres_ledger import PostgresLedger

        self._ledger, self._loop = PostgresLedger(parse_postgres_url(url)), loop
        self._now = 0

    async def set_seen(self, *arguments: Any) -> tuple[int, int, bool]:
        """See ``postgres_holders.set_seen``."""
        _, epoch, is_new = await _set_seen(*arguments)
        return self._now, epoch, is_new

    def exchange(
        self, holder: str, entries: Sequence[Entry], asks: Mapping[WindowKey, Ask], now: int
    ) -> dict[WindowKey, Grant]:
        self._now = now
        return self._wait(self._ledger.exchange(holder, entries, asks, now))

    def recalled(self, holder: str, now: int) -> set[WindowKey]:
        sql = postgres_holders._RECALLED.replace(postgres_holders._NOW, str(now))
        with patch.object(postgres_holders, "_RECALLED", sql):
            return self._wait(self._ledger.recalled(holder, now))  # type: ignore[no-any-return]

    def windows(self, windows: Sequence[WindowKey]) -> dict[WindowKey, tuple[int, int]]:
        return self._wait(self._ledger.windows(windows))

    def close(self) -> None:
        self._wait(self._ledger.aclose())

    def _wait(self, call: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(100)


@contextmanager
def in_postgres(url: str) -> Iterator[PostgresStore]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    store = PostgresStore(url, loop)
    try:
        with patch.object(postgres_holders, "set_seen", store.set_seen):
            yield store
    finally:
        store.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def run(plan: Plan, store: Store, costs: Costs = COSTS) -> Outcome:
    return clock.run(simulate(plan, store, costs))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_model_grants_what_postgresql_grants(seed: int, postgres_url: str) -> None:
    plan = dataclasses.replace(SCARCE, seed=seed)
    model, modelled = ModelStore(), Recording(ModelStore())
    modelled.store = model
    expected = run(plan, modelled)
    every = sorted({window for key in range(plan.keys) for window in limits_of(plan, key, key % plan.teams)})
    with in_postgres(postgres_url) as postgres:
        real = Recording(postgres)
        outcome = run(plan, real)
        windows = postgres.windows(every)
    ((rows,),) = execute(postgres_url, "SELECT count(*) FROM ledger")
    for index, (of_model, of_postgres) in enumerate(zip(modelled.answers, real.answers, strict=False)):
        assert of_model == of_postgres, f"exchange {index}"
    assert len(modelled.answers) == len(real.answers)
    assert modelled.looks == real.looks
    assert any(recalled for _, _, recalled in real.looks)
    assert windows == {key: model.windows[key][:2] if key in model.windows else (0, 0) for key in every}
    assert rows == expected.database.rows == outcome.database.rows
    grants = [(ask, grant) for _, _, answers in real.answers for _, ask, grant in answers]
    seen = {
        "recalled": any(grant.is_recalled for _, grant in grants),
        "less than wanted": any(ask.keep < grant.leased < ask.want for ask, grant in grants),
        "nothing": any(grant.leased == ask.keep < ask.need for ask, grant in grants),
        "given back": any(ask.keep == 0 and grant.leased == 0 for ask, grant in grants),
        "beside others": any(grant.leased_by_others for _, grant in grants),
    }
    assert all(seen.values()), seen


def test_what_is_spent_is_written_and_nothing_stays_leased() -> None:
    """Also that a run is the same each time, and that no limit is passed."""
    runs = []
    for _ in range(2):
        store = ModelStore()
        world: list[World] = []

        async def simulated(store: ModelStore = store, world: list[World] = world) -> Outcome:
            world.append(World(SCARCE, store, COSTS))
            return await world[0].run()

        outcome = clock.run(simulated())
        assert outcome.requests == len(list(requests(SCARCE)))
        assert 0 < outcome.refused < outcome.requests
        assert outcome.over == 0
        assert outcome.database.rows == outcome.requests - outcome.refused
        assert {key: one.spent for key, one in store.windows.items() if one.spent} == +world[0].used
        assert not any(one.leased for one in store.windows.values())
        assert not +world[0].waiting
        assert store.recalls
        runs.append((outcome.refused, outcome.while_left, outcome.waits, outcome.database.times, outcome.samples))
    assert runs[0] == runs[1]


def test_transactions_wait_for_rows_and_for_cores() -> None:
    costs = Costs(before=1.0, after=2.0, per_window=0.5, per_row=0.0, cpu=0.5, cores=2)

    async def three(locks: Sequence[str]) -> list[float]:
        database = Database(costs)
        await asyncio.gather(*(database.transaction([lock], 2, 0) for lock in locks))
        return database.times

    alone = 1.0 + 2.0 + 2 * 0.5
    assert clock.run(three(["a"])) == [alone]
    # The second one waits until the first one has ended; the third one has a lock of its own, and waits for a core.
    assert clock.run(three(["a", "a", "b"])) == [alone, 2 * alone - 1.0, alone + costs.cpu * alone]


def test_refused_although_there_was_enough() -> None:
    """One node has leased more than it needs, and the other one has too little time to get any of it."""
    plan = dataclasses.replace(SCARCE, nodes=2, keys=1, teams=1, rate=4.0, key_limit=None, team_limit=None)
    slow = run(dataclasses.replace(plan, all_limit=3 * USD), ModelStore(), Costs(before=0.0, after=2.0))
    fast = run(dataclasses.replace(plan, all_limit=3 * USD), ModelStore(), Costs(before=0.0, after=0.01))
    assert slow.while_enough > fast.while_enough == 0
    assert slow.refused >= slow.while_left >= slow.while_enough
    assert all(0.0 < left < 1.0 for left in slow.left)


def test_a_table_has_a_column_for_each_case() -> None:
    plan = dataclasses.replace(SCARCE, nodes=2, seconds=6.0)
    columns = {}
    for name, case in simulation.cases(plan).items():
        store = ModelStore()
        columns[name] = simulation.figures(case, run(case, store), store)
    table = simulation.table(columns).splitlines()
    assert table[0] == "| | keys | shared | scarce |"
    assert {line.count("|") for line in table} == {5}
    assert "| refused | 0 | 0 |" in table[5]

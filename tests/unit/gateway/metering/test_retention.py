"""Old rows of the ledger. Risk: the file grows for ever, rows go too early, several processes drop the same rows, or a
failure ends it for good."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.config import Config, ConfigError
from modelmux.config.restart import restart_needed
from modelmux.gateway.metering.metering import Metering
from modelmux.gateway.metering.retention import DAY, HOUR, LATE, Retention
from modelmux.runtime import Runtime
from modelmux.store.local_state import LocalState
from support.fakes import FakeTokens, FakeUpstream
from support.http_peers import until
from support.ledgers import entry
from support.memory_ledger import MemoryLedger

NOW = 2_000_000_000.0


class LevelLog:
    """Messages with their levels."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def debug(self, event: str, **fields: Any) -> None:
        raise AssertionError(event)

    def info(self, event: str, **fields: Any) -> None:
        self.messages.append(("info", fields["message"]))

    def warning(self, event: str, **fields: Any) -> None:
        self.messages.append(("warning", fields["message"]))

    def error(self, event: str, **fields: Any) -> None:
        self.messages.append(("error", fields["message"]))


class World:
    def __init__(self, *ages: float) -> None:
        rows = [entry(number, round((NOW - age * DAY) * 1_000_000)) for number, age in enumerate(ages)]
        self.ledger = MemoryLedger(rows)
        self.log = LevelLog()
        self.slept: list[float] = []
        self.hours: asyncio.Semaphore = asyncio.Semaphore(0)
        runtime = Runtime(now=lambda: NOW, sleep=self.sleep)
        self.retention = Retention(self.ledger, 400 * DAY, runtime, self.log)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.hours.acquire()

    async def run(self, hours: int) -> None:
        """So many more."""
        before = len(self.slept)
        for _ in range(hours):
            self.hours.release()
        await until(lambda: len(self.slept) == before + hours)


async def test_rows_are_dropped_after_the_start_and_then_once_a_day() -> None:
    world = World(1, 399, 401, 500)
    world.retention.start()
    world.retention.start()
    await until(lambda: len(world.slept) == 1)
    assert len(world.ledger.rows) == 2
    await world.run(23)
    assert len(world.ledger.dropped) == 1
    await world.run(1)
    assert world.ledger.prepared == [round(NOW * 1_000_000)] * 2
    assert world.ledger.dropped == [round((NOW - 400 * DAY) * 1_000_000)] * 2
    assert world.slept == [HOUR] * 25
    await world.retention.aclose()
    await world.retention.aclose()
    assert world.log.messages == [("info", "2 rows of the ledger older than 400 days were dropped")]


async def test_sums_that_a_correction_of_many_rows_made_slower_are_made_anew_within_an_hour() -> None:
    world = World(1)
    world.retention.start()
    await until(lambda: len(world.slept) == 1)
    assert len(world.ledger.sealed) == 1
    await world.run(3)
    assert world.ledger.sealed == [round((NOW - LATE) * 1_000_000)] * 4
    await world.run(22)
    assert len(world.ledger.sealed) == 26
    await world.retention.aclose()


async def test_a_failure_is_logged_and_made_up_for_the_next_day() -> None:
    world = World(500)
    world.ledger.failure = "disk full"
    world.retention.start()
    await until(lambda: len(world.slept) == 1)
    assert [(level, "disk full" in message) for level, message in world.log.messages] == [("error", True)] * 3
    world.ledger.failure = None
    await world.run(24)
    assert world.ledger.rows == {}
    assert world.slept == [HOUR] * 25
    await world.retention.aclose()


async def test_days_that_could_not_be_prepared_are_tried_each_hour() -> None:
    """Risk: a backup uses the ledger each day at the time of the only try, until no day ahead has a partition."""
    world = World()
    world.ledger.failure = "in use"
    world.retention.start()
    await until(lambda: len(world.slept) == 1)
    await world.run(22)
    assert world.ledger.prepared == []
    assert sum("tried each hour" in message for _, message in world.log.messages) == 1, "told once a day"
    world.ledger.failure = None
    await world.run(1)
    assert len(world.ledger.prepared) == 1, "on the same day"
    await world.run(1)
    assert len(world.ledger.prepared) == 2, "the next day's"
    await world.run(23)
    assert len(world.ledger.prepared) == 2, "once a day"
    await world.retention.aclose()


def test_a_ledger_that_is_written_again_is_no_error(tmp_path: Path) -> None:
    log = LevelLog()
    config = Config.from_dict({"accounts": {"enabled": True, "store": f"sqlite:{tmp_path}/accounts.db"}})
    metering = Metering(config, {}, Runtime(), log)
    assert metering.writer is not None
    metering.writer._on_problem("the ledger cannot be written", 0)
    metering.writer._on_recovered("the ledger is written again")
    assert log.messages == [("error", "the ledger cannot be written"), ("info", "the ledger is written again")]


@pytest.mark.parametrize("worker", [1, 2])
async def test_one_process_of_several_does_it(tmp_path: Path, worker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(Retention, "start", lambda self: started.append(self))
    accounts = {"enabled": True, "store": f"sqlite:{tmp_path}/accounts.db"}
    vertex = {"project": "p", "location": "global"}
    config = Config.from_dict({"vertex": vertex, "accounts": accounts, "server": {"workers": 2}})
    app = Gateway(
        config,
        upstream=FakeUpstream([]),
        tokens=FakeTokens(),
        environment={},
        state=LocalState(tmp_path),
        worker=worker,
    )
    await app.startup()
    await app.aclose()
    assert len(started) == (worker == 1)


def test_the_setting() -> None:
    assert Config().accounts.retention == 400 * DAY
    assert str(Config().accounts.retention) == "400d"
    config = Config.from_dict({"accounts": {"retention": "30d"}})
    assert config.accounts.retention == 30 * DAY
    assert restart_needed(Config(), config) == ["accounts.retention"]
    with pytest.raises(ConfigError, match="retention"):
        Config.from_dict({"accounts": {"retention": "1h"}})

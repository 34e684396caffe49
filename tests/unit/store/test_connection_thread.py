"""Risk: a query that never ends keeps all others waiting, or one that was ended breaks those after it.

The clock of these tests goes on a tenth of a second each time it is looked at, so what is bounded is work.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator

import pytest

from modelmux.store.base import QueryTooLong, StoreFailed
from modelmux.store.connection_thread import ConnectionThread

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
LONG = ENDLESS.replace("FROM n)", "FROM n WHERE i < 200000)", 1)
LIMIT = 2.0


class File:
    """:ivar opened: how often."""

    def __init__(self) -> None:
        self.opened = 0

    def open(self, timeout: float) -> sqlite3.Connection:
        self.opened += 1
        return sqlite3.connect(":memory:", timeout=timeout, isolation_level=None, check_same_thread=False)

    def close(self, connection: sqlite3.Connection) -> None:
        connection.close()

    def failure(self, error: sqlite3.Error | OSError) -> StoreFailed:
        return StoreFailed(str(error))


class Clock:
    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.looks / 10


class World:
    def __init__(self) -> None:
        self.file, self.clock = File(), Clock()
        self.thread = ConnectionThread("test", self.file, 5.0, self.clock)

    async def query(self, sql: str, limit: float | None = LIMIT) -> int:
        def read(connection: sqlite3.Connection) -> int:
            (value,) = connection.execute(sql).fetchone()
            return int(value)

        return await self.thread.run(read, limit)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.thread.aclose()


async def test_a_query_without_an_end_is_ended(world: World) -> None:
    with pytest.raises(QueryTooLong, match="ended after 2 s"):
        await world.query(ENDLESS)
    assert world.clock.looks <= 25


async def test_the_next_query_has_a_connection_that_works(world: World) -> None:
    with pytest.raises(QueryTooLong):
        await world.query(ENDLESS)
    assert await world.query("SELECT 7") == 7
    assert world.file.opened == 1


async def test_a_query_without_a_limit_is_not_ended(world: World) -> None:
    with pytest.raises(QueryTooLong):
        await world.query(LONG)
    assert await world.query(LONG, limit=None) == 200_000


async def test_who_waits_behind_long_queries_does_not_wait_for_all_of_them(world: World) -> None:
    ends = await asyncio.gather(*(world.query(ENDLESS) for _ in range(50)), return_exceptions=True)
    assert [type(end) for end in ends] == [QueryTooLong] * 50
    assert world.clock.looks <= 250, "not 25 for each: most were over before they began"


async def test_another_error_is_what_it_was(world: World) -> None:
    with pytest.raises(StoreFailed, match="no such table") as failed:
        await world.query("SELECT * FROM absent")
    assert not isinstance(failed.value, QueryTooLong)
    assert await world.query("SELECT 7") == 7
    assert world.file.opened == 2

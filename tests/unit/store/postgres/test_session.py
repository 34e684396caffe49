"""Risk: a process that stands still within a transaction keeps its locks, and every other node waits for as long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.postgres.session import READ, WRITE, begin, connect, end_silent

TIMEOUT = 0.2
MINUTE = 60.0
CHANGE = "UPDATE t SET n = n + 1"


async def open_session(url: str, mode: str = WRITE, timeout: float = MINUTE) -> Any:
    connection = await connect(parse_postgres_url(url))
    await begin(connection, mode, timeout)
    return connection


@pytest.mark.parametrize("mode", [READ, WRITE])
async def test_a_session_that_stops_within_a_statement_is_ended(postgres_url: str, mode: str) -> None:
    setup, stopped = await connect(parse_postgres_url(postgres_url)), await open_session(postgres_url, timeout=TIMEOUT)
    await setup.execute("CREATE TABLE t (n bigint); INSERT INTO t VALUES (1)")
    await setup.close()
    await stopped.execute(CHANGE)
    await stopped.prepare("SELECT n + $1 FROM t")  # the first message of a statement, of two
    await asyncio.sleep(3 * TIMEOUT)
    watcher, other = await open_session(postgres_url, mode), await open_session(postgres_url)
    assert not stopped.is_closed(), "the server does not end it: its limit of silence is for what is between statements"
    assert await end_silent(watcher, MINUTE) == 0, "it is not silent for so long"
    assert await end_silent(watcher, TIMEOUT) == 1
    assert await other.execute(CHANGE) == "UPDATE 1", "nothing is locked any more"
    for connection in (watcher, other):
        await connection.execute("COMMIT")
        await connection.close()
    stopped.terminate()


async def test_a_session_that_works_or_waits_for_a_lock_is_not_ended(postgres_url: str) -> None:
    has_lock, waits, idle, watcher = [await open_session(postgres_url) for _ in range(4)]
    await idle.execute("SELECT 1")
    await has_lock.execute("SELECT pg_advisory_xact_lock(1)")
    waiting = asyncio.ensure_future(waits.execute("SELECT pg_advisory_xact_lock(1)"))
    working = asyncio.ensure_future(has_lock.execute("SELECT pg_sleep(0.5)"))
    await asyncio.sleep(3 * TIMEOUT)
    assert await end_silent(watcher, TIMEOUT) == 0
    await working
    await has_lock.execute("COMMIT")
    await waiting
    for connection in (has_lock, waits, idle, watcher):
        await connection.close()

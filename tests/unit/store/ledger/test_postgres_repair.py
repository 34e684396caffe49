"""Sums in PostgreSQL are repaired while nodes add rows, however long these take to read. Risk: what a node adds
between a comparison and its repair is lost, or counted twice, or a day with many rows cannot be repaired at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import asyncpg
import pytest

from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.ledger import postgres_ledger, postgres_repair, postgres_seal
from modelmux.store.ledger.base import FIRST
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.postgres_partitions import Partition
from modelmux.store.postgres.locks import LEDGER, REPAIRS, lock
from support.ledgers import DAY, QUARTER, START, TAGS, entry, id_at, random_entries
from support.postgres import execute

KINDS = ("usage", "group")
OF_DAY = tuple(f"{kind}_{unit}" for kind in KINDS for unit in ("quarter", "day"))
SEALED = ("usage_hour", "group_hour", "slice_quarter", "slice_hour", "slice_day")


@pytest.fixture
async def ledger(postgres_url: str) -> AsyncIterator[PostgresLedger]:
    one = PostgresLedger(parse_postgres_url(postgres_url), TAGS)
    yield one
    await one.aclose()


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[PostgresLedger]:
    """Of another node."""
    one = PostgresLedger(parse_postgres_url(postgres_url), TAGS)
    yield one
    await one.aclose()


async def fill(ledger: PostgresLedger, *, is_sealed: bool = True) -> None:
    await ledger.prepare_days(START)
    await ledger.append([entry(number, START + number * QUARTER // 2, key=f"key_{number % 5}") for number in range(40)])
    if is_sealed:
        assert await ledger.seal_days(START + DAY) == 1


def damage(url: str, tables: tuple[str, ...] = (*OF_DAY, *SEALED)) -> None:
    """Sums of each table change, are gone, or should not be there."""
    for table in tables:
        execute(url, f"UPDATE {table} SET requests = requests + 9, cost_output = 0 WHERE series % 3 = 1")
        execute(url, f"DELETE FROM {table} WHERE series % 3 = 2")
        execute(
            url,
            f"INSERT INTO {table} SELECT (t).* FROM (SELECT t FROM {table} AS t LIMIT 1) AS o ON CONFLICT DO NOTHING",
        )


def before_writes(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Each is done between a comparison and what is written by it: one in each of the next repairs."""
    left = list(steps)

    async def locking(session: Any, number: int) -> None:
        if number == LEDGER and left:
            await left.pop(0)()
        await lock(session, number)

    monkeypatch.setattr(postgres_repair, "lock", locking)
    return left


def requests(url: str, table: str) -> int:
    return int(execute(url, f"SELECT coalesce(sum(requests), 0) FROM {table}")[0][0])


async def check(ledger: PostgresLedger, url: str) -> None:
    """All sums are those of their rows, which are all there."""
    assert await ledger.verify() == []
    rows = execute(url, "SELECT count(*) FROM ledger WHERE corrects IS NULL")[0][0]
    for table in ("usage_quarter", "usage_day", "usage_month", "group_quarter", "group_day", "group_month"):
        assert requests(url, table) == rows


async def test_a_day_that_takes_longer_to_read_than_nodes_may_wait_is_repaired_while_they_write(
    ledger: PostgresLedger, other: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_ledger, "REPAIR_TIMEOUT", 0.5)
    await fill(ledger, is_sealed=False)
    await other.append([entry(100, START)])  # it knows all numbers then
    execute(postgres_url, "UPDATE usage_quarter SET requests = requests + 1")
    blocking, looking = [await asyncpg.connect(postgres_url, ssl=False) for _ in range(2)]
    transaction = blocking.transaction()
    compare = ledger._verifier.run

    async def run(work: Any, **named: Any) -> Any:
        if named.get("writes", True) and not blocking.is_in_transaction():
            await transaction.start()
            await blocking.execute("LOCK TABLE ledger_series IN ACCESS EXCLUSIVE MODE")
        return await compare(work, **named)

    monkeypatch.setattr(ledger._verifier, "run", run)
    monkeypatch.setattr(ledger._writer, "run", run)
    repair = asyncio.create_task(ledger.verify(repair=True))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ledger_series'::regclass"
    while not await looking.fetchval(waits):
        assert not repair.done()
        await asyncio.sleep(0.01)
    await asyncio.wait_for(other.append([entry(101, START)]), 5)
    await asyncio.sleep(1)  # more than a repair may take whom nodes wait for
    await transaction.rollback()
    await blocking.close()
    await looking.close()
    assert await repair
    monkeypatch.undo()
    await check(ledger, postgres_url)


@pytest.mark.parametrize("is_sealed", [False, True])
async def test_what_nodes_add_after_a_comparison_stays_in_the_sums(
    ledger: PostgresLedger, other: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch, is_sealed: bool
) -> None:
    """To sums that are wrong, that are gone, and that there were not before."""
    await fill(ledger, is_sealed=is_sealed)
    damage(postgres_url, (*OF_DAY, *SEALED) if is_sealed else OF_DAY)
    rows = [entry(200 + number, START + number * QUARTER, key=f"key_{number % 7}") for number in range(50)]
    left = before_writes(monkeypatch, partial(other.append, rows), partial(other.append, [entry(300, START)]))
    assert await ledger.verify(repair=True)
    assert len(left) <= 1
    await check(ledger, postgres_url)


async def test_more_sums_than_one_transaction_writes_are_repaired_a_part_at_a_time(
    ledger: PostgresLedger, other: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_repair, "AT_ONCE", 40)
    await fill(ledger)
    damage(postgres_url)
    steps = [partial(other.append, [entry(200 + number, START + number * QUARTER)]) for number in range(3)]
    left = before_writes(monkeypatch, *steps)
    verified = await ledger.verify_some(FIRST, 2**31, Author("ann", "cli"), 7)
    assert len({one.what for one in verified.differences}) == len(verified.differences)
    assert not left
    parts = execute(postgres_url, "SELECT count(*) FROM audit WHERE action = 'ledger.repair'")[0][0]
    assert parts > 3
    await check(ledger, postgres_url)


async def test_slices_that_are_lost_are_made_again(ledger: PostgresLedger, postgres_url: str) -> None:
    """Also those of groups whose sums are lost, too."""
    await fill(ledger)
    right = [execute(postgres_url, f"SELECT sum(requests), count(*) FROM {table}") for table in SEALED]
    for table in (*OF_DAY, *SEALED, "ledger_slice"):
        execute(postgres_url, f"DELETE FROM {table}")
    assert await ledger.verify(repair=True)
    assert [execute(postgres_url, f"SELECT sum(requests), count(*) FROM {table}") for table in SEALED] == right
    await check(ledger, postgres_url)


async def test_a_repair_ends_although_a_slice_cannot_be_made(ledger: PostgresLedger, postgres_url: str) -> None:
    """Its digest is there, with another text: a database that is damaged so is told, and not repaired."""
    await fill(ledger)
    execute(postgres_url, "UPDATE ledger_slice SET value = 'other' WHERE kind = 'model'")
    damage(postgres_url, OF_DAY)
    assert await ledger.verify(repair=True)
    left = await ledger.verify()
    assert left
    assert all(" of a slice" in one.what for one in left)


async def test_displaced_rows_of_another_day_that_come_meanwhile_are_not_missing(
    ledger: PostgresLedger, other: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The days of their ids are parameters of the statement."""
    await fill(ledger)
    damage(postgres_url)
    basis = postgres_repair._basis
    steps = [entry(300, START + QUARTER, id=id_at(START + 40 * DAY, 300))]

    async def changing(*values: Any) -> Any:
        result = await basis(*values)
        if steps:  # after the first question, and before the statement
            await other.append([steps.pop()])
        return result

    monkeypatch.setattr(postgres_repair, "_basis", changing)
    assert await ledger.verify(repair=True)
    assert not steps
    await check(ledger, postgres_url)


async def test_a_day_that_is_sealed_meanwhile_is_repaired_as_a_whole(
    ledger: PostgresLedger, other: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a node of an older version, which does not leave it to the repair, from sums that are wrong."""
    monkeypatch.setattr(postgres_seal, "REPAIRS", 1)
    await fill(ledger, is_sealed=False)
    damage(postgres_url, OF_DAY)
    left = before_writes(monkeypatch, partial(other.seal_days, START + DAY))
    assert await ledger.verify(repair=True)
    assert not left
    assert requests(postgres_url, "slice_day") == 4 * 40
    await check(ledger, postgres_url)


async def test_rows_that_go_to_a_new_partition_meanwhile_are_not_missing(
    ledger: PostgresLedger, other: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.append([entry(number, START + number, key=f"key_{number % 5}") for number in range(20)])
    damage(postgres_url, OF_DAY)
    basis = postgres_repair._basis
    steps = [partial(other.prepare_days, START)]

    async def changing(*values: Any) -> Any:
        result = await basis(*values)
        if steps:
            await steps.pop()()
        return result

    monkeypatch.setattr(postgres_repair, "_basis", changing)
    passes: list[bool] = []
    one_pass = postgres_repair.Repair._pass

    async def noting(*values: Any) -> Any:
        result = await one_pass(*values)
        passes.append(result.is_void)
        return result

    monkeypatch.setattr(postgres_repair.Repair, "_pass", noting)
    assert await ledger.verify(repair=True)
    assert passes[:2] == [True, False], "what was compared before the partition is not written"
    await check(ledger, postgres_url)


async def test_two_repairs_at_once_add_what_is_missing_once(
    ledger: PostgresLedger, other: PostgresLedger, postgres_url: str
) -> None:
    await ledger.append(random_entries(5, 60))
    for _ in range(3):
        damage(postgres_url, OF_DAY)
        await asyncio.gather(ledger.verify(repair=True), other.verify(repair=True))
        await check(ledger, postgres_url)


async def test_a_repair_beside_a_long_one_says_so(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_repair, "STATEMENT_TIMEOUT", 3.0)
    await fill(ledger)
    damage(postgres_url)
    connection = await asyncpg.connect(postgres_url, ssl=False)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", REPAIRS)
        with pytest.raises(StoreFailed, match="being made by another process"):
            await ledger.verify(repair=True)
    await connection.close()
    monkeypatch.undo()
    assert await ledger.verify(repair=True)


async def test_a_day_that_changes_all_the_time_ends_the_repair(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(ledger)
    damage(postgres_url)
    numbers = iter(range(100))
    comparison = postgres_repair.comparison

    async def changing(*values: Any) -> Any:
        result = await comparison(*values)
        monkeypatch.setattr(postgres_repair, "partitions", partial(changed, next(numbers)))
        return result

    async def changed(number: int, session: Any) -> Any:
        del session
        return [Partition(f"ledger_day_{number}", START // DAY, START // DAY + 1)]

    monkeypatch.setattr(postgres_repair, "comparison", changing)
    with pytest.raises(StoreFailed, match="change all the time"):
        await ledger.verify(repair=True)
    assert next(numbers) == 2 * 5


@pytest.mark.parametrize("stored", [2**63 - 1, -(2**63), -(2**63) + 1])
async def test_a_sum_may_be_as_far_off_as_its_type_allows(
    ledger: PostgresLedger, postgres_url: str, stored: int
) -> None:
    await fill(ledger)
    for table in (*OF_DAY, *SEALED):
        one = f"(slot, series) = (SELECT slot, series FROM {table} LIMIT 1)"
        execute(postgres_url, f"UPDATE {table} SET input = {stored} WHERE {one}")
    assert await ledger.verify(repair=True)
    await check(ledger, postgres_url)


async def test_any_damage_is_repaired_beside_nodes_that_write(
    ledger: PostgresLedger, other: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_repair, "AT_ONCE", 100)
    rows = random_entries(17, 300)
    await ledger.append(rows[:100])
    await ledger.seal_days(START + 5 * DAY)
    choices = random.Random(3)
    for table in (*OF_DAY, *SEALED):
        execute(postgres_url, f"DELETE FROM {table} WHERE (slot + series) % {choices.randrange(2, 5)} = 0")
        execute(postgres_url, f"UPDATE {table} SET errors = errors - 4 WHERE series % {choices.randrange(2, 5)} = 1")

    async def write() -> None:
        for row in rows[100:]:
            await other.append([row])

    writing = asyncio.create_task(write())
    while not writing.done():
        await ledger.verify(repair=True)
    await writing
    await ledger.verify(repair=True)
    await check(ledger, postgres_url)

"""Days that are sealed in PostgreSQL, limits of queries, and the migration to webhooks. Risk: nodes seal a day twice or
miss rows that come meanwhile, a long query keeps others waiting, or what was told is told again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from modelmux.accounts.alert_types import encode_alert
from modelmux.accounts.alerts import Watch, alerts_of
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.usage_query import UsageQuery
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.base import QueryTooLong
from modelmux.store.ledger import postgres_ledger, postgres_seal
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.postgres.locks import REPAIRS
from modelmux.store.postgres.migrate import migrate, postgres_migrations
from modelmux.store.postgres.session import connect
from support.directories import budget
from support.ledgers import DAMAGE_TO_SEALED_DAYS, DAY, START, TAGS, Expected, check_usage, entry, random_entries
from support.postgres import execute

A = WindowKey("bud_a", "", 0)
BY_MODEL = UsageQuery(
    start=START - 400 * DAY, end=START + 400 * DAY, bucket="1d", zone="Asia/Kolkata", group_by=("model",)
)


def open_ledger(url: str, **options: Any) -> PostgresLedger:
    return PostgresLedger(parse_postgres_url(url), TAGS, **options)


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[list[PostgresLedger]]:
    every = [open_ledger(postgres_url) for _ in range(4)]
    yield every
    for one in every:
        await one.aclose()


@pytest.fixture
def ledger(nodes: list[PostgresLedger]) -> PostgresLedger:
    return nodes[0]


@pytest.mark.parametrize("damage", DAMAGE_TO_SEALED_DAYS)
async def test_verify_repairs_sums_of_sealed_days(ledger: PostgresLedger, postgres_url: str, damage: str) -> None:
    rows = random_entries(5, 100)
    await ledger.append(rows)
    assert await ledger.seal_days(START + 400 * DAY) > 0
    check_usage(await ledger.usage(BY_MODEL), BY_MODEL, Expected(rows))
    assert await ledger.verify() == []
    execute(postgres_url, damage)
    assert await ledger.verify()
    assert await ledger.verify(repair=True)
    check_usage(await ledger.usage(BY_MODEL), BY_MODEL, Expected(rows))
    assert await ledger.verify() == []


async def test_days_that_nodes_seal_at_once_while_others_add_rows_are_sealed_once(nodes: list[PostgresLedger]) -> None:
    rows = random_entries(8, 200)
    await nodes[0].append(rows[:100])
    counts = await asyncio.gather(
        *(node.seal_days(START + 400 * DAY) for node in nodes[:2]),
        *(nodes[2].append(rows[index : index + 10]) for index in range(100, 200, 10)),
    )
    assert (counts[0] or 0) + (counts[1] or 0) > 1
    check_usage(await nodes[3].usage(BY_MODEL), BY_MODEL, Expected(rows))
    assert await nodes[3].verify() == []


async def test_a_day_that_takes_longer_to_seal_than_nodes_may_wait_is_sealed_while_they_write(
    nodes: list[PostgresLedger], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_ledger, "REPAIR_TIMEOUT", 1.0)
    ledger, other = nodes[:2]
    for one in (ledger, other):
        await one.append(random_entries(8, 20))
    blocking, looking = [await asyncpg.connect(postgres_url, ssl=False) for _ in range(2)]
    async with blocking.transaction():
        await blocking.execute("LOCK TABLE usage_hour IN SHARE MODE")
        sealing = asyncio.create_task(ledger.seal_days(START + 400 * DAY))
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'usage_hour'::regclass"
        while not await looking.fetchval(waits):
            assert not sealing.done()
            await asyncio.sleep(0.01)
        await asyncio.wait_for(other.append(random_entries(8, 40)), 5)
        await asyncio.sleep(1.5)
    for connection in (blocking, looking):
        await connection.close()
    assert await sealing > 0
    check_usage(await other.usage(BY_MODEL), BY_MODEL, Expected(random_entries(8, 40)))
    assert await other.verify() == []


@pytest.mark.parametrize("shift", [0, -1])
async def test_what_nodes_add_while_a_day_is_sealed_is_in_its_sums(
    nodes: list[PostgresLedger], monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    """Also to the day before, which had nothing, and each time but the last one, in which they wait."""
    ledger, other = nodes[:2]
    make = postgres_seal._make
    await ledger.append([entry(1, START)])
    numbers = iter(range(2, 100))
    calls: list[int] = []

    async def making(session: Any, day: int, end: float) -> None:
        calls.append(day)
        if day >= START // DAY and len(calls) < 5:
            await other.append([entry(next(numbers), day * DAY + shift * DAY)])
        await make(session, day, end)

    monkeypatch.setattr(postgres_seal, "_make", making)
    assert await ledger.seal_days(START + DAY) == (1 if shift == 0 else 2)
    assert len(calls) == (5 if shift == 0 else 3)
    assert await other.verify() == []


async def test_a_day_is_left_to_the_process_that_seals_it(ledger: PostgresLedger, postgres_url: str) -> None:
    await ledger.append([entry(1, START)])
    connection = await asyncpg.connect(postgres_url, ssl=False)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", REPAIRS)
        assert await ledger.seal_days(START + DAY) == 0
    await connection.close()
    assert await ledger.seal_days(START + DAY) == 1


async def test_a_day_that_another_call_has_sealed_since_it_was_looked_for_is_not_sealed_again(
    ledger: PostgresLedger,
) -> None:
    rows = random_entries(8, 100)
    await ledger.append(rows)
    counts = await asyncio.gather(*(ledger.seal_days(START + 400 * DAY) for _ in range(4)))
    assert sum(counts) == len({row.at // DAY for row in rows})
    assert await ledger.verify() == []


async def test_a_report_of_sealed_days_does_not_read_the_sums_of_groups(
    ledger: PostgresLedger, postgres_url: str
) -> None:
    rows = random_entries(8, 200)
    await ledger.append(rows)
    await ledger.seal_days(START + 400 * DAY)
    execute(postgres_url, "DELETE FROM group_quarter")
    check_usage(await ledger.usage(BY_MODEL), BY_MODEL, Expected(rows))


async def test_a_query_that_takes_too_long_is_ended_and_the_next_one_is_answered(
    ledger: PostgresLedger, postgres_url: str
) -> None:
    await ledger.append([entry(1)])
    limited = open_ledger(postgres_url, query_limit=0.3)
    execute(postgres_url, "ALTER TABLE ledger RENAME TO really")
    slow = "SELECT r.* FROM really AS r, generate_series(1, 10) AS n WHERE pg_sleep(100) IS NOT NULL"
    execute(postgres_url, f"CREATE VIEW ledger AS {slow}")
    with pytest.raises(QueryTooLong, match=r"ended after 0.3 s"):
        await limited.entries(EntryQuery())
    assert await limited.alerts.last(["whk_a"]) == {}, "in the same thread, without a limit"
    execute(postgres_url, "DROP VIEW ledger")
    execute(postgres_url, "ALTER TABLE really RENAME TO ledger")
    assert await limited.verify() == []
    await limited.aclose()


async def test_what_was_told_before_the_migration_to_webhooks_is_not_told_again(postgres_url: str) -> None:
    connection = await connect(parse_postgres_url(postgres_url))
    await migrate(connection, postgres_migrations()[:2])
    (alert,) = alerts_of(A, Watch(budget("bud_a", limit=100, alerts=(50,)), 100, None), 60, 5)
    for id, percent, due in (("told", 50, None), ("second", 100, 7), ("first", 80, 7)):
        data = encode_alert(replace(alert, id=id, percent=percent)).decode()
        await connection.execute(
            "INSERT INTO budget_alert VALUES ($1, 'bud_a', '', 0, $2, $3, $4, 0)", id, percent, data, due
        )
    await connection.close()
    migrated = open_ledger(postgres_url)
    handed_out = [await migrated.alerts.hand_out(9, {}) for _ in range(3)]
    assert [one and one.id for one in handed_out] == ["first", "second", None]
    await migrated.alerts.note([replace(alert, id="told")], 9)
    assert await migrated.alerts.hand_out(9, {}) is None
    await migrated.aclose()

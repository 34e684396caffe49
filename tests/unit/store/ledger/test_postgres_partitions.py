"""Risk: a row is lost or found twice when the ledger becomes one of days, a node of an older version fails beside it, a
day is dropped with rows that have to stay, or a question locks more partitions than the server has room for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.usage_query import UsageQuery
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.base import QueryTooLong, StoreFailed
from modelmux.store.ledger import postgres_append, postgres_drop, postgres_ledger, postgres_partitions, postgres_upkeep
from modelmux.store.ledger.base import FIRST, EntryQuery
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.postgres_partitions import AT_ONCE, MOST, Partition, cuts, last_day
from modelmux.store.ledger.sqlite_rows import first_id, id_time
from modelmux.store.postgres import thread
from modelmux.store.postgres.migrate import migrate, postgres_migrations
from modelmux.store.postgres.session import connect
from support.http_peers import until
from support.ledgers import (
    DAY,
    HOUR,
    START,
    TAGS,
    Expected,
    all_pages,
    check_usage,
    correction,
    entry,
    id_at,
    random_entries,
)
from support.postgres import execute

ALL = UsageQuery(start=START - 400 * DAY, end=START + 400 * DAY, bucket="1d", group_by=("key", "team", "tag:app"))
TODAY = START // DAY
#: Statements of the version whose last migration is 5.
OLD_APPEND = {
    "_UNPRICED_REQUESTS": "SELECT l.id, l.at, l.series FROM unnest($1::integer[], $2::bytea[]) AS w (day, id) "
    "JOIN ledger AS l ON l.day = w.day AND l.id = w.id WHERE l.corrects IS NULL AND l.cost_input IS NULL",
    "_PRICED_CORRECTIONS": "SELECT corrects, id FROM ledger WHERE corrects = ANY($1::bytea[]) AND corrects IS NOT NULL "
    "AND cost_input IS NOT NULL",
}
OLD_BY_ID = (
    "SELECT l.id FROM unnest($1::integer[], $2::bytea[]) WITH ORDINALITY AS w (day, id, number) "
    "JOIN ledger AS l ON l.day = w.day AND l.id = w.id ORDER BY w.number"
)
OLD_CORRECTIONS = (
    "SELECT l.id FROM ledger AS l WHERE l.corrects IS NOT NULL AND l.corrects = ANY($1::bytea[]) ORDER BY l.day, l.id"
)
OLD_PAGE = (
    "SELECT l.id FROM ledger AS l WHERE (l.day, l.id) > ($1::integer, $2::bytea) AND (l.day, l.id) < ($3::integer, "
    "$4::bytea) ORDER BY l.day DESC, l.id DESC LIMIT $5"
)
OLD_DROP = (
    "WITH old AS (SELECT day, id FROM ledger WHERE (day, id) > ($1, $2) AND (day, id) < ($3, $4) AND at < $5 "
    "ORDER BY day, id LIMIT $6), dropped AS (DELETE FROM ledger AS l USING old WHERE l.day = old.day AND l.id = old.id "
    "RETURNING l.id) SELECT id FROM dropped ORDER BY id"
)


def open_ledger(url: str, **options: Any) -> PostgresLedger:
    return PostgresLedger(parse_postgres_url(url), TAGS, **options)


@pytest.fixture
async def ledger(pooled_url: str) -> AsyncIterator[PostgresLedger]:
    """Through PgBouncer in transaction mode."""
    one = open_ledger(pooled_url)
    yield one
    await one.aclose()


@contextlib.asynccontextmanager
async def old_node(url: str) -> AsyncIterator[PostgresLedger]:
    """What it writes is written by the statements of then."""

    async def prepare(connection: Any, *, timeout: float) -> None:
        await migrate(connection, postgres_migrations()[:5], timeout=timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_ledger, "migrate", prepare)
        for name, statement in OLD_APPEND.items():
            patch.setattr(postgres_append, name, statement)
        node = open_ledger(url)
        yield node
        await node.aclose()


async def fetch(url: str, sql: str, *values: object) -> list[Any]:
    connection = await asyncpg.connect(url, ssl=False)
    try:
        return [row[0] for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()


def tables(url: str) -> set[str]:
    sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ledger'::regclass"
    return {name for (name,) in execute(url, sql)}


def looked_up(rows: Sequence[Entry]) -> set[bytes]:
    return {
        row.id for row in rows
        if row.corrects is not None or row.cost is None or abs(row.at - id_time(row.id)) > 15_000_000
    }  # fmt: skip


async def check(ledger: PostgresLedger, url: str, rows: Sequence[Entry]) -> None:
    """All questions have the same answers as a list of rows."""
    check_usage(await ledger.usage(ALL), ALL, Expected(rows))
    assert await ledger.verify() == []
    for query in (EntryQuery(limit=7), EntryQuery(newest_first=True, limit=50, start=START, end=START + 2 * DAY)):
        assert await all_pages(ledger, query) == Expected(rows).entries(query)
    ids = sorted({row.id for row in rows})
    assert [row.id for row in await ledger.by_id(ids)] == ids
    corrections = sorted({row.id for row in rows if row.corrects is not None})
    assert [row.id for row in await ledger.corrections(ids)] == corrections
    assert set(await fetch(url, "SELECT id FROM ledger_lookup")) == looked_up(rows)


# Migration


async def test_a_ledger_with_rows_becomes_one_of_days_beside_nodes_of_before(
    pooled_url: str, postgres_url: str
) -> None:
    first, second, third = (random_entries(seed, 80) for seed in (1, 2, 3))
    unpriced = entry(5_000, START + 5 * HOUR, cost=None)
    ahead = entry(5_001, START + 4_000 * DAY)
    new = open_ledger(pooled_url)
    async with old_node(pooled_url) as old:
        await old.append([*first, unpriced, ahead])
        new.check()
        (name,) = tables(postgres_url) - {"ledger_default"}
        (days,) = await fetch(postgres_url, "SELECT (extract(epoch FROM now())::bigint / 86400)::integer")
        assert 30 <= int(name.removeprefix("ledger_before_")) - days <= 31
        assert tables(postgres_url) == {name, "ledger_default"}
        assert execute(postgres_url, "SELECT count(*) FROM ledger_default") == [(1,)], "of a clock that was wrong"
        late = [correction(unpriced, 1, cost=Cost(input=5)), correction(ahead, 2)]
        await old.append([*second, *first[:9], late[0]])
    rows = [*first, *second, unpriced, ahead, late[0]]
    await check(new, postgres_url, rows)
    await new.append([*third, late[1], *second])
    await check(new, postgres_url, [*rows, *third, late[1]])
    await new.aclose()
    assert (
        execute(postgres_url, f"SELECT 1 FROM pg_constraint WHERE contype = 'c' AND conrelid = '{name}'::regclass")
        == []
    )


async def test_an_upgrade_that_had_too_little_time_goes_on_with_what_was_checked_by_hand(postgres_url: str) -> None:
    rows, new = random_entries(1, 80), open_ledger(postgres_url)
    async with old_node(postgres_url) as old:
        await old.append(rows)
        connection = await connect(parse_postgres_url(postgres_url))
        await migrate(connection, postgres_migrations()[:6])  # what is committed before the steps that take long
        named = "SELECT conname FROM pg_constraint WHERE conrelid = 'ledger'::regclass AND NOT convalidated"
        (name,) = [one for (one,) in execute(postgres_url, named)]
        assert name.startswith("ledger_before_")
        execute(postgres_url, f"ALTER TABLE ledger VALIDATE CONSTRAINT {name}")
        await connection.close()
        new.check()
    assert tables(postgres_url) == {name, "ledger_default"}
    await check(new, postgres_url, rows)
    await new.aclose()


@pytest.mark.parametrize(
    ("other", "mode"),
    [
        ("SELECT * FROM ledger", "AccessExclusiveLock"),
        ("LOCK TABLE ledger IN SHARE UPDATE EXCLUSIVE MODE", "ShareUpdateExclusiveLock"),
    ],
    ids=["a backup", "a vacuum"],
)
async def test_nodes_of_before_go_on_while_an_upgrade_waits(postgres_url: str, other: str, mode: str) -> None:
    """None of them waits behind it. It waits for a vacuum in one go: an automatic one ends when it is in the way for a
    second."""
    waiting = f"SELECT count(*) FROM pg_locks WHERE mode = '{mode}' AND NOT granted"
    new = open_ledger(postgres_url)
    async with old_node(postgres_url) as old:
        await old.append([entry(1)])
        async with in_use(postgres_url, other):
            upgrade = asyncio.create_task(asyncio.to_thread(new.check))
            await until(lambda: execute(postgres_url, waiting) == [(1,)])
            await old.append([entry(2)])
            assert not upgrade.done()
        await upgrade
    assert await all_pages(new, EntryQuery()) == [entry(1), entry(2)]
    await new.aclose()


async def test_who_may_read_or_write_the_ledger_may_so_after_an_upgrade(postgres_url: str) -> None:
    """Other programs read it, and nodes may run as another user than the one that migrates."""
    new = open_ledger(postgres_url)
    async with old_node(postgres_url) as old:
        await old.append([])
        old.check()
        execute(postgres_url, "GRANT INSERT ON ledger TO pg_monitor WITH GRANT OPTION")
        execute(postgres_url, "GRANT SELECT ON ledger TO PUBLIC")
        execute(postgres_url, "CREATE VIEW of_another_program AS SELECT * FROM ledger")
    new.check()
    await new.aclose()
    for table in ("ledger", "ledger_default", "ledger_lookup"):
        rights = (("pg_monitor", "INSERT WITH GRANT OPTION"), ("pg_read_all_stats", "SELECT"))
        for role, right in rights:
            has = f"SELECT has_table_privilege('{role}', '{table}', '{right}')"
            assert execute(postgres_url, has) == [(True,)], (role, table)
    assert execute(postgres_url, "SELECT proname FROM pg_proc WHERE proname LIKE 'ledger%' ORDER BY 1") == [
        ("ledger_lookup_add",), ("ledger_lookup_delete",),
    ]  # fmt: skip


async def test_a_node_whose_user_cannot_make_partitions_starts_all_the_same(postgres_url: str) -> None:
    """Its rows are stored without one of their day."""
    owner = open_ledger(postgres_url)
    owner.check()
    for name in tables(postgres_url) - {"ledger_default"}:
        execute(postgres_url, f"DROP TABLE {name}")
    role = f"limited_{postgres_url.rpartition('/')[2]}"
    execute(postgres_url, f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    execute(postgres_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    limited = open_ledger(f"postgresql://{role}:x@{postgres_url.rpartition('@')[2]}")
    limited.check()
    rows = [entry(1), entry(2, cost=None)]
    await limited.append(rows)
    assert await all_pages(limited, EntryQuery()) == rows
    with pytest.raises(StoreFailed, match=r"denies a right .*own"):
        await limited.prepare_days(START)
    await limited.aclose()
    await owner.aclose()
    execute(postgres_url, f"DROP OWNED BY {role}")
    execute(postgres_url, f"DROP ROLE {role}")


async def test_an_empty_ledger_begins_with_the_days_around_now(ledger: PostgresLedger, postgres_url: str) -> None:
    ledger.check()
    (before,) = await fetch(postgres_url, "SELECT (extract(epoch FROM now())::bigint / 86400)::integer")
    names = {f"ledger_day_{day}" for day in range(before - 1, before + 5)}
    assert len(names & tables(postgres_url)) >= 5, "it may be midnight"
    assert len(tables(postgres_url)) == 7


async def test_statements_of_the_older_version_have_the_same_answers(ledger: PostgresLedger, postgres_url: str) -> None:
    await ledger.prepare_days(START)
    rows = random_entries(4, 120)
    await ledger.append(rows)
    ids = sorted({row.id for row in rows})
    days = [id_time(id) // DAY for id in ids]
    corrections = sorted({row.id for row in rows if row.corrects is not None})
    assert await fetch(postgres_url, OLD_BY_ID, days, ids) == ids
    assert await fetch(postgres_url, OLD_CORRECTIONS, ids) == corrections
    assert await fetch(postgres_url, OLD_PAGE, 0, b"", 10**7, b"\xff", 30) == ids[:-31:-1]
    horizon = START + DAY
    old = sorted({row.id for row in rows if row.at < horizon and row.id < first_id(horizon)})
    values = (-1, b"", TODAY + 1, first_id(horizon), horizon, 10_000)
    assert await fetch(postgres_url, OLD_DROP, *values) == old != []
    kept = [row for row in rows if row.id not in old]
    assert set(await fetch(postgres_url, "SELECT id FROM ledger_lookup")) == looked_up(kept)


# Days


async def test_rows_without_a_partition_get_into_that_of_their_day(ledger: PostgresLedger, postgres_url: str) -> None:
    rows = random_entries(6, 100)
    await ledger.append(rows)
    await ledger.prepare_days(START)
    await ledger.prepare_days(START + HOUR)
    assert tables(postgres_url) == {"ledger_default", *(f"ledger_day_{TODAY + day}" for day in range(-1, 5))}
    counts = await fetch(postgres_url, "SELECT count(*) FROM ledger GROUP BY tableoid ORDER BY 1")
    assert len(counts) > 1
    assert sum(counts) == len({row.id for row in rows})
    await check(ledger, postgres_url, rows)
    await ledger.append([*rows, entry(700, START + 3 * DAY)])
    await check(ledger, postgres_url, [*rows, entry(700, START + 3 * DAY)])


async def test_many_rows_without_a_partition_stay_where_they_are(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_partitions, "MOST_MOVED", 3)
    rows = [*(entry(number) for number in range(4)), *(entry(number, START + DAY) for number in range(10, 13))]
    await ledger.append(rows)
    await ledger.prepare_days(START)
    assert {f"ledger_day_{TODAY}", f"ledger_day_{TODAY + 1}"} & tables(postgres_url) == {f"ledger_day_{TODAY + 1}"}
    await check(ledger, postgres_url, rows)


@contextlib.asynccontextmanager
async def in_use(url: str, sql: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(url, ssl=False)
    try:
        async with connection.transaction():
            await connection.fetch(sql)
            yield
    finally:
        await connection.close()


async def test_partitions_that_are_in_use_are_left_alone(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For now: whoever adds rows does not wait for a report."""
    monkeypatch.setattr(postgres_partitions, "_PATIENCE", 20)
    monkeypatch.setattr(postgres_drop, "_PAUSE_IN_USE", 0)
    rows = [entry(1), entry(2, START + 9 * DAY)]
    await ledger.append(rows)
    async with in_use(postgres_url, "SELECT * FROM ledger"):
        with pytest.raises(StoreFailed, match=r"the ledger is in use by queries .* pg_stat_activity"):
            await ledger.prepare_days(START)
        assert tables(postgres_url) == {"ledger_default"}
    await ledger.prepare_days(START)
    async with in_use(postgres_url, "SELECT * FROM ledger"):
        with pytest.raises(StoreFailed, match=r"2 old partitions, as ledger_day_.* pg_stat_activity"):
            await ledger.drop_before(START + DAY)
        await ledger.append([entry(3, START + 9 * DAY)])
        assert len(await ledger.by_id([row.id for row in rows])) == 2
    assert await ledger.drop_before(START + DAY) == 1
    assert await all_pages(ledger, EntryQuery()) == [rows[1], entry(3, START + 9 * DAY)]


# Retention


async def test_a_day_is_dropped_as_a_whole_and_what_is_not_old_stays(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As row by row in a ledger without partitions: a row whose time is later stays, displaced or next to midnight."""
    monkeypatch.setattr(postgres_upkeep, "CHUNK", 3)
    await ledger.prepare_days(START)
    horizon = START + 2 * DAY
    midnight = entry(901, horizon + 5_000, id=id_at(horizon - 5_000_000, 901))
    displaced = entry(902, horizon + 7 * DAY, id=id_at(START, 902))
    before_all = [entry(number, START - 30 * DAY) for number in range(910, 917)]
    rows = [*random_entries(6, 150), midnight, displaced, *before_all]
    await ledger.append(rows)
    old = {row.id for row in rows if row.at < horizon and row.id < first_id(horizon)}
    kept = [row for row in rows if row.id not in old]
    assert await ledger.drop_before(horizon + 5 * HOUR) == len(old) > 30
    assert tables(postgres_url) == {"ledger_default", *(f"ledger_day_{TODAY + day}" for day in range(2, 5))}
    assert {row.id for row in await all_pages(ledger, EntryQuery())} == {row.id for row in kept}
    assert set(await fetch(postgres_url, "SELECT id FROM ledger_lookup")) == looked_up(kept)
    await ledger.append(rows)  # a late replay
    check_usage(await ledger.usage(ALL), ALL, Expected(rows))
    assert await ledger.verify() == []
    assert await ledger.drop_before(horizon + 5 * HOUR) == 0
    assert await ledger.drop_before(horizon + DAY) > 0
    assert midnight.id not in {row.id for row in await all_pages(ledger, EntryQuery())}


async def test_a_day_with_too_many_rows_that_stay_is_dropped_row_by_row(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_partitions, "MOST_MOVED", 1)
    await ledger.prepare_days(START)
    kept = [entry(number, START + 9 * DAY, id=id_at(START, number)) for number in (1, 2)]
    await ledger.append([*kept, *(entry(number) for number in range(10, 20))])
    assert await ledger.drop_before(START + DAY) == 10
    assert f"ledger_day_{TODAY}" in tables(postgres_url)
    assert await all_pages(ledger, EntryQuery()) == kept


async def test_a_day_that_cannot_be_dropped_keeps_no_other(ledger: PostgresLedger, postgres_url: str) -> None:
    await ledger.prepare_days(START)
    await ledger.append([entry(1), entry(2, START + DAY), entry(3, START - 9 * DAY)])
    execute(postgres_url, f"CREATE VIEW of_another_program AS SELECT * FROM ledger_day_{TODAY}")
    with pytest.raises(StoreFailed, match="other objects depend on it"):
        await ledger.drop_before(START + 2 * DAY)
    assert tables(postgres_url) == {"ledger_default", *(f"ledger_day_{TODAY + day}" for day in (0, 2, 3, 4))}
    assert await all_pages(ledger, EntryQuery()) == [entry(1)]
    execute(postgres_url, "DROP VIEW of_another_program")
    assert await ledger.drop_before(START + 2 * DAY) == 1


async def test_a_partition_with_too_many_rows_to_count_is_dropped(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_ledger, "REPORT_TIMEOUT", 0.5)
    ledger = open_ledger(postgres_url)
    await ledger.prepare_days(START)
    await ledger.append([entry(number) for number in range(10)])
    execute(postgres_url, "ANALYZE")
    slow = "SELECT count(*) FROM pg_sleep(60) WHERE $1::integer < $2::integer AND $3::bigint > 0"
    monkeypatch.setattr(postgres_partitions, "_OLD_ROWS", slow)
    assert await ledger.drop_before(START + DAY) == 10
    assert f"ledger_day_{TODAY}" not in tables(postgres_url)
    await ledger.aclose()


async def test_what_is_looked_up_of_a_day_is_dropped_before_others_wait(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have as many rows as the day."""
    monkeypatch.setattr(postgres_upkeep, "CHUNK", 3)
    monkeypatch.setattr(postgres_partitions, "_PATIENCE", 20)
    monkeypatch.setattr(postgres_drop, "_PAUSE_IN_USE", 0)
    await ledger.prepare_days(START)
    displaced = entry(100, START + 9 * DAY, id=id_at(START, 100))
    await ledger.append([*(entry(number, cost=None) for number in range(10)), displaced])
    async with in_use(postgres_url, "SELECT * FROM ledger"):
        with pytest.raises(StoreFailed, match="2 old partitions"):
            await ledger.drop_before(START + DAY)
        assert await fetch(postgres_url, "SELECT id FROM ledger_lookup") == [displaced.id]
    assert await ledger.drop_before(START + DAY) == 10
    assert await all_pages(ledger, EntryQuery()) == [displaced]


async def test_the_table_of_before_is_dropped_when_all_of_it_is_old(postgres_url: str) -> None:
    ledger = open_ledger(postgres_url)
    async with old_node(postgres_url) as old:
        rows = [entry(number, START + number * HOUR) for number in range(100)]
        await old.append(rows)
    assert await ledger.drop_before(START + DAY) == 24
    assert len(tables(postgres_url)) == 2
    assert await ledger.drop_before(START + 4_000 * DAY) == 76
    assert tables(postgres_url) == {"ledger_default"}
    assert await all_pages(ledger, EntryQuery()) == []
    check_usage(await ledger.usage(ALL), ALL, Expected(rows))
    await ledger.aclose()


# Bounds


@given(
    st.lists(st.integers(0, 60), max_size=40), st.booleans(),
    st.tuples(st.integers(0, 70 * 24), st.integers(0, 70 * 24)).filter(lambda pair: pair[0] < pair[1]),
)  # fmt: skip
def test_pieces_are_all_of_a_range_in_its_order(days: list[int], newest_first: bool, hours: tuple[int, int]) -> None:
    parts = [Partition("", -(2**31), 0), *(Partition("", day, day + 1) for day in sorted(set(days)))]
    low, high = (first_id(hour * HOUR)[:6] for hour in hours)
    pieces = list(cuts(low, high, parts, newest_first=newest_first))
    joined = pieces[::-1] if newest_first else pieces
    assert (joined[0][0], joined[-1][1]) == (low, high)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(joined))
    for piece in pieces:
        first, last = id_time(piece[0] + bytes(10)) // DAY, last_day(piece[1])
        assert sum(part.low <= last and part.high > first for part in parts) <= AT_ONCE + 1


MAKE_DAYS = """
DO $$ BEGIN FOR d IN {0}..{1} LOOP
    EXECUTE format('CREATE TABLE ledger_day_%s PARTITION OF ledger FOR VALUES FROM (%s) TO (%s)', d, d, d + 1);
END LOOP; END $$
"""


async def test_no_transaction_locks_more_than_a_bounded_number_of_partitions(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 400, in each of which there is a row."""
    locks: list[int] = []
    ending = thread.ending

    @contextlib.asynccontextmanager
    async def counting(connection: Any) -> AsyncIterator[Any]:
        async with ending(connection) as session:
            yield session
            locks.append(await session.fetchval("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()"))

    ledger = open_ledger(postgres_url, query_limit=3_600.0)
    await ledger.state()
    for day in range(TODAY, TODAY + 400, 50):
        execute(postgres_url, MAKE_DAYS.format(day, day + 49))
    rows = [
        entry(number, START + number * DAY, cost=None if number % 50 == 0 else Cost(input=1)) for number in range(400)
    ]
    rows += [correction(row, number, cost=Cost(input=2)) for number, row in enumerate(rows[::50])]
    rows += [entry(800 + number, START, id=id_at(START + number * DAY, 900)) for number in range(100, 120)]
    for index in range(0, len(rows), 20):
        await ledger.append(rows[index : index + 20])
    monkeypatch.setattr(thread, "ending", counting)
    ids = [row.id for row in rows]
    rare = EntryQuery(where=(("model", ("none",)),))

    async def most(work: Any) -> int:
        locks.clear()
        await work
        return max(locks)

    one_partition = 6
    assert await most(ledger.append([entry(5_000, START + 399 * DAY)])) <= 2 * one_partition + 30
    assert await most(ledger.entries(EntryQuery(newest_first=True, limit=5))) <= 2 * AT_ONCE * one_partition + 30
    bound = (MOST + 2 * AT_ONCE) * one_partition + 30
    assert await most(ledger.entries(rare)) <= bound
    assert len(locks) > 400 / MOST
    assert await most(all_pages(ledger, EntryQuery())) <= bound
    assert await most(ledger.entries(EntryQuery(start=START + 300 * DAY, end=START + 301 * DAY))) <= bound
    assert await most(ledger.entries(EntryQuery(start=START, end=START + HOUR))) <= bound
    assert await most(ledger.by_id(ids)) <= bound
    assert await most(ledger.corrections(ids)) <= bound
    assert await most(ledger.state()) <= bound
    assert await most(ledger.verify_some(FIRST, 5)) <= bound
    locks.clear()
    await ledger.drop_before(START + 2 * DAY)
    assert max(locks) <= bound
    await ledger.aclose()
    limited = open_ledger(postgres_url, query_limit=0.0)
    with pytest.raises(QueryTooLong):
        await limited.entries(rare)
    await limited.aclose()


async def test_the_pages_of_many_days_have_every_row_once(ledger: PostgresLedger, postgres_url: str) -> None:
    """More days than one transaction reads, some of them without a partition, and displaced rows on each side."""
    await ledger.state()
    execute(postgres_url, MAKE_DAYS.format(TODAY, TODAY + 49))
    models = ["rare" if number % 30 == 7 else "opus" for number in range(140)]
    rows = [entry(number, START + number * DAY // 2, model=model) for number, model in enumerate(models)]
    ids = [id_at(START + number * DAY, 400 + number) for number in range(60)]
    rows += [entry(200 + number, START + 20 * DAY + number, id=id) for number, id in enumerate(ids)]
    rows += [correction(row, 300 + number) for number, row in enumerate(rows[::9])]
    await ledger.append(rows)
    for where in ((), (("model", ("rare",)),), (("model", ("none",)),)):
        for newest_first in (False, True):
            for start, end in ((None, None), (START + 20 * DAY, START + 21 * DAY)):
                for limit in (7, 1_000):
                    query = EntryQuery(where=where, newest_first=newest_first, start=start, end=end, limit=limit)
                    assert await all_pages(ledger, query) == Expected(rows).entries(query), query
    rare = replace(EntryQuery(), where=(("model", ("none",)),))
    assert (await ledger.entries(rare)).next is None
    await check(ledger, postgres_url, rows)


async def test_a_search_without_a_match_asks_twice_for_each_piece(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question is planned for all partitions of its piece, which takes longer than to read few rows."""
    await ledger.state()
    execute(postgres_url, MAKE_DAYS.format(TODAY, TODAY + 49))
    await ledger.append([entry(number, START + number * DAY) for number in range(50)])
    asked: list[str] = []
    fetch = asyncpg.Connection._execute

    async def counting(self: Any, query: str, *arguments: Any, **options: Any) -> Any:
        asked.append(query)
        return await fetch(self, query, *arguments, **options)

    monkeypatch.setattr(asyncpg.Connection, "_execute", counting)
    assert (await ledger.entries(EntryQuery(where=(("model", ("none",)),)))).entries == []
    assert 0 < sum("FROM ledger AS l" in query for query in asked) <= 2 * (56 // AT_ONCE + 1)

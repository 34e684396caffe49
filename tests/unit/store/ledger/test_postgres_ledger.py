"""Risk: nodes that write at once count twice, pass a limit or block each other; a sum is not that of its rows."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.alert_types import WebhookTest
from modelmux.accounts.alerts import Watch
from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.leases import Ask
from modelmux.accounts.slices import UNLIMITED, WindowKey
from modelmux.accounts.usage_query import UsageQuery
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.base import StoreFailed, StoreOutdated
from modelmux.store.directory.base import Author
from modelmux.store.ledger import postgres_ledger, postgres_numbers, postgres_upkeep
from modelmux.store.ledger.alerts import Outcome
from modelmux.store.ledger.base import Difference, EntryQuery
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from modelmux.store.ledger.rollups import SUMS
from modelmux.store.ledger.slots import QUARTER
from modelmux.store.ledger.stored_windows import RECALLED_FOR
from modelmux.store.nodes import LOST_AFTER
from modelmux.store.postgres import thread
from modelmux.store.postgres.session import connect
from support.directories import budget
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
    full_entry,
    id_at,
    random_entries,
)  # fmt: skip
from support.postgres import PgBouncer, Server, execute

A, B = (WindowKey(f"bud_{name}", "", 0) for name in "ab")
LIMITS = {A: 100, B: 1_000}
HALF = 50
ALL = UsageQuery(start=START - 400 * DAY, end=START + 400 * DAY, bucket="1d", group_by=("key", "team", "tag:app"))


def open_ledger(url: str, **options: Any) -> PostgresLedger:
    return PostgresLedger(parse_postgres_url(url), TAGS, **options)


@pytest.fixture
async def ledger(postgres_url: str) -> AsyncIterator[PostgresLedger]:
    one = open_ledger(postgres_url)
    yield one
    await one.aclose()


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[list[PostgresLedger]]:
    every = [open_ledger(postgres_url) for _ in range(4)]
    yield every
    for one in every:
        await one.aclose()


def spending(number: int, amount: int, window: WindowKey = A) -> Entry:
    return replace(entry(number), debits=((window, amount),))


async def check(ledger: PostgresLedger, rows: list[Entry]) -> None:
    check_usage(await ledger.usage(ALL), ALL, Expected(rows))
    assert await ledger.verify() == []


# Nodes at once


async def test_nodes_that_write_the_same_rows_at_once_count_each_once(nodes: list[PostgresLedger]) -> None:
    """Their corrections and requests without a price too, whichever node has which, in opposite orders."""
    rows = random_entries(8, 240)
    parts = [rows[index : index + 8] for index in range(0, len(rows), 8)]
    await asyncio.gather(
        *(node.append(part) for node in nodes[:2] for part in parts),
        *(node.append(part[::-1]) for node in nodes[2:] for part in parts[::-1]),
    )
    await check(nodes[0], rows)
    assert await all_pages(nodes[1], EntryQuery()) == Expected(rows).entries(EntryQuery())


async def test_a_price_that_comes_while_its_request_is_written_leaves_no_request_without_one(
    nodes: list[PostgresLedger],
) -> None:
    rows = [entry(number, cost=None) for number in range(60)]
    prices = [correction(row, number, cost=Cost(input=1)) for number, row in enumerate(rows)]
    await asyncio.gather(
        *(nodes[0].append([row]) for row in rows), *(nodes[1].append([row]) for row in prices),
        *(nodes[2].append([row]) for row in prices[::-1]),
    )  # fmt: skip
    (total,) = await nodes[0].usage(replace(ALL, bucket="all", group_by=()))
    assert (total.requests, total.unpriced, total.cost.total) == (60, 0, 60)
    assert await nodes[0].verify() == []


async def test_processes_that_spend_at_once_never_pass_the_limit(nodes: list[PostgresLedger]) -> None:
    numbers = itertools.count(1)

    async def spend(holder: str, node: PostgresLedger) -> int:
        spent = 0
        for _ in range(25):
            leased = (await node.exchange(holder, [], {B: Ask(12, 90, LIMITS[B])}, 0))[B].leased
            amount = min(12, leased)
            if amount > 0:
                await node.exchange(holder, [spending(next(numbers), amount, B)], {B: Ask(0, 0, LIMITS[B])}, 0)
                spent += amount
        return spent

    spent = await asyncio.gather(*(spend(f"process {number}", node) for number, node in enumerate(nodes * 2)))
    assert sum(spent) == LIMITS[B], "all of it could be used"
    last = (await nodes[0].exchange("last", [], {B: Ask(1, 1, LIMITS[B])}, 0))[B]
    assert (last.leased, last.available, last.leased_by_others) == (0, 0, 0)
    assert await nodes[0].windows([B]) == {B: (LIMITS[B], 0)}


async def test_windows_that_nodes_lock_in_any_order_block_none_for_good(nodes: list[PostgresLedger]) -> None:
    windows = [WindowKey(f"bud_{number}", "é", 0) for number in range(20)]
    numbers = itertools.count(1)

    async def ask(holder: str, node: PostgresLedger, order: list[WindowKey]) -> None:
        for _ in range(5):
            asks = {window: Ask(5, 5, 1_000) for window in order}
            row = replace(entry(next(numbers)), debits=tuple((window, 1) for window in order[::-1]))
            await node.exchange(holder, [row], asks, 0)

    await asyncio.gather(
        *(ask(f"p{index}", node, windows[index:] + windows[:index]) for index, node in enumerate(nodes))
    )
    assert set((await nodes[0].windows(windows)).values()) == {(20, 20)}


async def test_of_two_nodes_that_end_a_lost_process_one_charges_its_leases(nodes: list[PostgresLedger]) -> None:
    await nodes[0].exchange("lost", [], {A: Ask(60, 60, LIMITS[A])}, 0)
    numbers = itertools.count(500)

    def row(window: WindowKey, amount: int) -> Entry:
        return replace(entry(next(numbers)), kind="in_doubt", debits=((window, amount),))

    await asyncio.gather(*(node.end_holder("lost", row) for node in nodes))
    assert await nodes[0].windows([A]) == {A: (60, 0)}
    assert len((await nodes[0].entries(EntryQuery())).entries) == 1
    assert await nodes[0].holders() == {}


# Leases


async def test_rows_and_leases_are_one_transaction(nodes: list[PostgresLedger]) -> None:
    ledger, other, *_ = nodes
    first = await ledger.exchange("one", [], {A: Ask(HALF, HALF, LIMITS[A])}, 0)
    assert first[A].leased == HALF
    for _ in range(2):  # as after a failure that came when all was written
        again = await ledger.exchange("one", [spending(1, 30), spending(2, 5)], {A: Ask(15, 15, LIMITS[A])}, 0)
        assert (again[A].leased, again[A].available) == (15, 50)
    assert (await other.exchange("two", [], {A: Ask(HALF, HALF, LIMITS[A])}, 0))[A].leased == HALF
    rows = (await other.entries(EntryQuery())).entries
    assert sorted(amount for row in rows for _, amount in row.debits) == [5, 30]


async def test_a_failed_exchange_changes_nothing(ledger: PostgresLedger) -> None:
    await ledger.exchange("one", [], {A: Ask(HALF, HALF, LIMITS[A])}, 0)
    with pytest.raises(TypeError):
        await ledger.exchange("one", [spending(1, 30)], {A: Ask(0, 0, "x")}, 0)  # type: ignore[arg-type]
    assert (await ledger.exchange("one", [], {A: Ask(HALF, HALF, LIMITS[A])}, 0))[A].leased == HALF
    assert not (await ledger.entries(EntryQuery())).entries


async def test_a_process_that_gets_too_little_recalls_what_others_have(
    nodes: list[PostgresLedger], postgres_url: str
) -> None:
    """By the clock of the database. To a node that is an hour ahead it would be over, or last an hour."""

    async def ask(node: int, need: int, want: int) -> Any:
        now = round(time.time() + 3_600 * (node - 0.5)) * 1_000_000
        return (await nodes[node].exchange(f"of {node}", [], {A: Ask(need, want, LIMITS[A])}, now))[A]

    def recall(sql: str) -> list[tuple[Any, ...]]:
        return execute(postgres_url, sql.replace("NOW", "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"))

    for asks, keeps in ((0, 1), (1, 0)):
        await ask(keeps, 10, 100)
        before = recall("SELECT NOW")[0][0]
        assert (await ask(asks, 50, 50)).leased == 0
        ((until, after),) = recall("SELECT recalled, NOW FROM budget_window")
        assert before + RECALLED_FOR <= until <= after + RECALLED_FOR
        recall("UPDATE budget_window SET recalled = NOW + 60000000")  # the test may be slow
        answer = await ask(keeps, 10, 100)
        assert (answer.leased, answer.is_recalled) == (10, True)
        assert (await ask(asks, 50, 50)).leased == 50
        recall("UPDATE budget_window SET recalled = NOW - 1")
        assert not (await ask(keeps, 10, 100)).is_recalled
        for node in (0, 1):
            await nodes[node].end_holder(f"of {node}")


async def test_a_process_sees_what_is_recalled_although_others_have_locked_it(
    nodes: list[PostgresLedger], postgres_url: str
) -> None:
    """By the clock of the database; and of what it has leased itself, no more."""
    strange, others = WindowKey("bud_\0", "é", 7), WindowKey("bud_c", "", 0)
    await nodes[0].exchange("keeps", [], {one: Ask(10, 100, 100) for one in (A, B, strange)}, 0)
    await nodes[1].exchange("other", [], {others: Ask(10, 100, 100)}, 0)
    assert await nodes[0].recalled("keeps", 0) == set()
    asks = dict.fromkeys((A, strange, others), Ask(50, 50, 100))
    await nodes[2].exchange("short", [], asks, 0)
    now = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    execute(postgres_url, f"UPDATE budget_window SET recalled = {now} + 60000000 WHERE recalled > 0")  # tests are slow
    connection = await connect(parse_postgres_url(postgres_url))
    try:
        await connection.execute("BEGIN")
        for table in ("budget_window", "budget_lease", "budget_holder"):
            assert await connection.fetch(f"SELECT * FROM {table} FOR UPDATE")
        assert await nodes[0].recalled("keeps", 2**62) == {A, strange}
    finally:
        await connection.close()
    assert await nodes[2].recalled("short", 0) == set()
    execute(postgres_url, f"UPDATE budget_window SET recalled = {now} - 1 WHERE recalled > 0")
    assert await nodes[0].recalled("keeps", 0) == set()


async def test_nodes_are_counted_by_the_clock_of_the_database(nodes: list[PostgresLedger], postgres_url: str) -> None:
    """Workers of one server are one node; one that left, or fell silent, is none."""
    assert (await nodes[0].renew("a:1", "a", 60)).nodes == 1
    assert (await nodes[1].renew("a:2", "a", 60)).nodes == 1
    assert (await nodes[2].renew("b:1", "b", 60)).nodes == 2
    assert (await nodes[3].exchange("b:1", [], {A: Ask(1, 1, 100)}, 0))[A].leased == 1
    execute(postgres_url, f"UPDATE budget_holder SET seen = seen - {round(LOST_AFTER + 1)}000000 WHERE node = 'b'")
    renewal = await nodes[0].renew("a:1", "a", 60)
    assert (renewal.nodes, renewal.processes) == (1, 3), "one that is silent may go on"
    assert (await nodes[2].renew("b:1", "b", 60)).nodes == 2
    await nodes[1].leave("a:1")
    await nodes[1].leave("a:2")
    await nodes[2].leave("b:1")
    assert list(await nodes[0].holders()) == ["b:1"], "it has a lease, which is ended later"
    assert (await nodes[0].renew("a:1", "a", 60)).processes == 2


async def test_a_process_is_overdue_by_its_own_bound(nodes: list[PostgresLedger], postgres_url: str) -> None:
    await nodes[0].renew("short", "a", 60)
    await nodes[0].renew("long", "b", 120)
    execute(postgres_url, "INSERT INTO budget_holder (holder, seen) VALUES ('older version', 0)")
    execute(postgres_url, "UPDATE budget_holder SET seen = seen - 61000000 WHERE node IS NOT NULL")
    assert {name: one.is_overdue for name, one in (await nodes[1].holders()).items()} == {
        "short": True, "long": False, "older version": None,
    }  # fmt: skip
    await nodes[0].exchange("short", [], {}, 0)
    assert (await nodes[1].holders())["short"].is_overdue is False


async def test_costs_above_their_holds_and_ended_processes(ledger: PostgresLedger) -> None:
    await ledger.exchange("one", [], {A: Ask(100, 100, LIMITS[A]), B: Ask(5, 5, None)}, 0)
    assert await ledger.windows([A, B]) == {A: (0, 100), B: (0, 0)}
    await ledger.exchange("one", [spending(1, 130)], {}, 0)
    assert await ledger.windows([A]) == {A: (130, -30)}
    await ledger.end_holder("one")
    await ledger.end_holder("one")
    assert await ledger.windows([A]) == {A: (130, 0)}
    unlimited = await ledger.exchange("two", [spending(2, 7, B)], {B: Ask(5, 5, None)}, 0)
    assert unlimited[B].available == UNLIMITED
    assert await ledger.windows([B]) == {B: (7, 0)}


async def test_a_threshold_that_nodes_reach_at_once_is_told_once(nodes: list[PostgresLedger]) -> None:
    watches = {A: Watch(budget("bud_a", limit=100, alerts=(50, 60)), 100, None)}
    await asyncio.gather(
        *(
            node.exchange(f"p{index}", [spending(1, 60)], {A: Ask(0, 0, 100)}, 5, watches)
            for index, node in enumerate(nodes)
        )
    )
    handed_out = await asyncio.gather(*(node.alerts.hand_out(10, {}) for node in nodes for _ in range(2)))
    assert len({one.id for one in handed_out if one is not None}) == sum(one is not None for one in handed_out) == 2
    assert (await nodes[0].state()).alerts_due == 0


# Sums


async def test_verify_tells_what_differs(ledger: PostgresLedger, postgres_url: str) -> None:
    await ledger.append([entry(1, key="k", team="t", model="m", tags=(("app", "chat"),))])
    labels = 'key=k team=t model=m tags=[["app","chat"]]'
    execute(postgres_url, "UPDATE usage_quarter SET cost_input = cost_input + 5")
    assert await ledger.verify() == [Difference(f"2026-10-20T00:00Z {labels} cost_input", 106, 101)]
    execute(postgres_url, "UPDATE usage_month SET requests = 0")
    assert (await ledger.verify())[1:] == [Difference(f"2026-10 {labels} requests", 0, 1)]
    assert len(await ledger.verify(repair=True)) == 2
    execute(postgres_url, "UPDATE group_day SET cost_input = cost_input + 5")
    assert [one.what.partition(" team")[0] for one in await ledger.verify()] == [
        "2026-10-20 of all keys", "2026-10 of all keys",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE usage_quarter SET cost_input = cost_input + 5 WHERE slot = (SELECT max(slot) FROM usage_quarter)",
        "DELETE FROM usage_day WHERE slot = (SELECT min(slot) FROM usage_day)",
        "DELETE FROM usage_month",
        "UPDATE group_quarter SET requests = requests + 1 WHERE slot = (SELECT max(slot) FROM group_quarter)",
        "DELETE FROM group_month",
        f"INSERT INTO group_month SELECT slot + 50, series, {', '.join(SUMS)} FROM group_month",
        f"INSERT INTO usage_day SELECT slot + 100, series, {', '.join(SUMS)} FROM usage_day",
    ],
)
async def test_verify_repairs_what_differs_and_says_so(
    ledger: PostgresLedger, postgres_url: str, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_entries(5, 100)
    rows.append(entry(999, START + 300 * DAY, id=id_at(START, 999)))
    await ledger.append(rows)
    execute(postgres_url, damage)
    monkeypatch.setattr(postgres_ledger, "MOST_DIFFERENCES", 2)
    assert 1 <= len(await ledger.verify()) <= 2
    after: int | None = -(2**62)
    while after is not None:
        verified = await ledger.verify_some(after, 2, Author("ann", "cli"), 7)
        after = verified.next
    await check(ledger, rows)
    assert {row[0] for row in execute(postgres_url, "SELECT action FROM audit")} == {"ledger.repair"}


async def test_old_rows_are_dropped_and_their_sums_stay(
    nodes: list[PostgresLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_upkeep, "CHUNK", 7)
    ledger, other, *_ = nodes
    rows = random_entries(6, 100)
    await ledger.append(rows)
    horizon = START + DAY
    dropped = [row for row in rows if row.at < horizon and int.from_bytes(row.id[:6]) * 1000 < horizon]
    count, *_ = await asyncio.gather(
        ledger.drop_before(horizon + 5 * HOUR), *(other.append(rows[index : index + 5]) for index in range(0, 100, 5))
    )
    assert count == len(dropped) > 20
    assert {row.id for row in await all_pages(ledger, EntryQuery())} == {row.id for row in rows} - {
        row.id for row in dropped
    }
    await other.append(rows)  # a late replay
    await check(ledger, rows)
    assert await ledger.drop_before(horizon) == await ledger.drop_before(0) == 0


async def test_a_day_has_a_bounded_number_of_sets_of_tags(
    nodes: list[PostgresLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_numbers, "MOST_TAG_SETS", 3)
    ledger, other, *_ = nodes
    rows = [entry(number, tags=(("app", f"app-{number}"), ("id", str(number)))) for number in range(6)]
    await ledger.append(rows)
    await other.append([entry(7, tags=(("app", "app-1"),)), entry(8, START + DAY, tags=(("app", "app-8"),))])
    await other.append([entry(9, tags=(("app", "app-9"),)), entry(10, tags=(("id", "10"),))])
    usage = {row.group: row.requests for row in await ledger.usage(replace(ALL, bucket="all", group_by=("tag:app",)))}
    assert usage == {("app-0",): 1, ("app-1",): 2, ("app-2",): 1, ("app-8",): 1, ("other",): 4, (None,): 1}
    assert [row.tags for row in await all_pages(ledger, EntryQuery(where=(("tag:app", ("app-5",)),)))] == [rows[5].tags]
    assert await ledger.verify() == []


async def test_what_clients_choose_is_stored_once_up_to_a_bound(
    ledger: PostgresLedger, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_numbers, "MOST_CONTEXTS", 3)
    rows = [entry(number, agent=f"agent {number}", requested=f"model {number}" * 500, app=None) for number in range(20)]
    await ledger.append(rows)
    assert await all_pages(ledger, EntryQuery()) == rows
    assert execute(postgres_url, "SELECT count(*) FROM ledger_context") == [(4,)]
    await check(ledger, rows)


async def test_numbers_of_texts_from_a_transaction_that_failed_are_forgotten(
    ledger: PostgresLedger, postgres_url: str
) -> None:
    await ledger.append([entry(1)])
    execute(postgres_url, "ALTER TABLE group_month ADD CONSTRAINT no CHECK (requests < 2)")
    with pytest.raises(StoreFailed, match="violates check constraint"):
        await ledger.append([entry(2, key="new", agent="new")])
    execute(postgres_url, "ALTER TABLE group_month DROP CONSTRAINT no")
    execute(postgres_url, "INSERT INTO ledger_key (name) VALUES ('other')")
    await ledger.append([entry(3, key="new", agent="new")])
    await check(ledger, [entry(1), entry(3, key="new", agent="new")])
    assert [row.key for row in await all_pages(ledger, EntryQuery(where=(("key", ("new",)),)))] == ["new"]


async def test_a_command_that_only_reads_creates_nothing(postgres_url: str) -> None:
    quiet = open_ledger(postgres_url, leaves_nothing=True)
    with pytest.raises(StoreOutdated, match="next start"):
        await quiet.usage(ALL)
    await quiet.aclose()
    assert execute(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


async def test_through_pgbouncer(postgres_url: str, postgres_server: Server) -> None:
    bouncer = PgBouncer(postgres_server)
    try:
        url = postgres_server.url(postgres_url.rpartition("/")[2], bouncer.port)
        every = [open_ledger(url) for _ in range(4)]
        every[0].check()
        rows = random_entries(9, 200)
        await asyncio.gather(
            *(every[index % 4].append(rows[index : index + 10]) for index in range(0, 200, 10)),
            *(one.exchange(f"p{index}", [], {A: Ask(10, 20, 100)}, 0) for index, one in enumerate(every)),
        )
        await check(every[1], rows)
        assert sum(leased for _, leased in (await every[2].windows([A])).values()) == 80
        for one in every:
            await one.aclose()
    finally:
        bouncer.remove()


async def test_no_value_is_a_part_of_a_statement(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """See ``test_sql``."""
    statements: set[str] = set()
    real_connect = thread.connect

    async def logged(*arguments: Any) -> Any:
        connection = await real_connect(*arguments)
        connection.add_query_logger(lambda record: statements.add(record.query))
        return connection

    monkeypatch.setattr(thread, "connect", logged)
    canary = "x'; canary"
    ledger = open_ledger(postgres_url)
    texts: Any = dict.fromkeys(("key", "person", "team", "model", "agent", "end_user", "outcome", "reason"), canary)
    rows = [replace(full_entry(number), tags=(("app", canary),), **texts) for number in range(3)]
    window = WindowKey(canary, canary, 0)
    await ledger.exchange(canary, rows, {window: Ask(1, 1, 10)}, 0)
    where = tuple((name, (canary, "other")) for name in ("key", "team", "person", "model", "tag:app"))
    await ledger.usage(UsageQuery(start=0, end=2**60 // QUARTER * QUARTER, group_by=("key", "tag:app"), where=where))
    for name in ("key", "team", "person", "model", "outcome", "end_user", "tag:app"):
        page = await ledger.entries(EntryQuery(where=((name, (canary,)),), after=b"canary" + bytes(10)))
        assert page.next is None
    await ledger.windows([window], [(canary, 0)])
    await ledger.corrections([row.id for row in rows])
    await ledger.seal_days(2**60)
    await ledger.append([replace(full_entry(7), tags=(("app", canary),), **texts)])
    await ledger.usage(UsageQuery(start=0, end=2**60 // QUARTER * QUARTER, where=(("model", (canary,)),)))
    await ledger.verify(repair=True)
    test = WebhookTest(id=canary, at=canary, webhook=canary)
    await ledger.alerts.note([test], 0)
    await ledger.alerts.hand_out(0, {canary: None})
    for due in await ledger.alerts.claim(0, 1, 9):
        await ledger.alerts.tried(due.id, Outcome(at=1, problem=canary, again=3))
    await ledger.alerts.deliveries(canary, 9, 9)
    await ledger.alerts.last([canary])
    await ledger.end_holder(canary)
    await ledger.aclose()
    assert len(statements) > 30
    assert not [sql for sql in statements if "canary" in sql.lower()]


async def test_what_is_known_of_a_database_is_forgotten_with_its_connection(
    postgres_url: str, postgres_server: Server
) -> None:
    """A standby that takes over, or a backup that is put back, may lack what was written last."""
    ledger = PostgresLedger(parse_postgres_url(postgres_url), TAGS)
    await ledger.append([entry(1)])
    for (table,) in execute(
        postgres_url, "SELECT tablename FROM pg_tables WHERE tablename ~ '^(ledger|usage|group)_?'"
    ):
        if table not in ("ledger_state", "ledger_sealed"):
            execute(postgres_url, f"TRUNCATE {table} RESTART IDENTITY")
    execute(postgres_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()")  # fmt: skip
    await ledger.append([entry(2)])
    assert [one.id for one in (await ledger.entries(EntryQuery())).entries] == [entry(2).id]
    assert await ledger.verify() == []
    await ledger.aclose()

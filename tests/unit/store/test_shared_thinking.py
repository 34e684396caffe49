"""Thinking that nodes remember together. Risk: a store is asked on the way of each request, one caller gets the
thinking of another, or a store that is away holds up or fails a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from modelmux.config.postgres_url import parse_postgres_url
from modelmux.config.redis_url import parse_redis_url
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.store import shared_thinking, waiting_rows
from modelmux.store.base import StoreFailed, StoreOutdated
from modelmux.store.memory import MAX_AGE_SECONDS, MemoryThinkingStore
from modelmux.store.postgres_thinking import ROW_OVERHEAD, PostgresThinkingRows
from modelmux.store.redis.thinking_rows import RedisThinkingRows
from modelmux.store.shared_thinking import LOOK_AGAIN, MAX_FETCHED, SharedThinkingStore, ThinkingRows
from modelmux.wire.anthropic import RedactedThinkingBlock, ThinkingBlock
from support.clock import Clock
from support.postgres import Server, execute
from support.redis import Server as RedisServer
from support.thinking_rows import FakeThinkingRows

ANN, BOB = "ann", "bob"
THOUGHT = (ThinkingBlock("a \ud800 thought\0", "sig1"), RedactedThinkingBlock("data"), ThinkingBlock("", "sig2"))
#: Of calls that should succeed: what is tested is not how busy the machine is.
AMPLE = 60.0
Make = Callable[..., SharedThinkingStore]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


def in_database(url: str, clock: Clock, max_bytes: int = 2**30, **options: Any) -> PostgresThinkingRows:
    bounds = {"find_bound": AMPLE, "add_bound": AMPLE} | options
    return PostgresThinkingRows(parse_postgres_url(url, "thinking.store"), max_bytes, clock, clock=clock, **bounds)


async def until_written(*stores: SharedThinkingStore) -> None:
    for store in stores:
        async with asyncio.timeout(AMPLE):
            await store.written()


def on_server(server: RedisServer, clock: Clock) -> RedisThinkingRows:
    url = parse_redis_url(server.url, "thinking.store")
    return RedisThinkingRows(url, None, clock, clock=clock, find_bound=AMPLE, add_bound=AMPLE)


@pytest.fixture(params=["memory", "postgres", "pgbouncer", "redis"])
async def node(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Make]:
    """Makes a store as a node has it: of its own memory, and the rows of all."""
    stores: list[SharedThinkingStore] = []
    fake = FakeThinkingRows()
    resources = {"postgres": "postgres_url", "pgbouncer": "pooled_url", "redis": "shared_redis"}
    where: Any = request.getfixturevalue(resources[request.param]) if request.param != "memory" else None

    def make(key: bytes = b"k" * 64, on_problem: Callable[[str | None], None] = lambda _: None) -> SharedThinkingStore:
        rows: ThinkingRows = fake
        if where is not None:
            rows = on_server(where, clock) if request.param == "redis" else in_database(where, clock)
        stores.append(made(rows, clock, key, on_problem))
        return stores[-1]

    yield make
    for store in stores:
        await store.aclose()


def made(
    rows: ThinkingRows, clock: Clock, key: bytes = b"k" * 64, on_problem: Callable[[str | None], None] = lambda _: None
) -> SharedThinkingStore:
    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        await asyncio.sleep(0)

    memory = MemoryThinkingStore(clock)
    return SharedThinkingStore(memory, rows, AesSivSealer([key]), clock, clock, sleep, on_problem)


# Every engine


async def test_another_node_remembers_what_one_was_told(node: Make) -> None:
    one, two = node(), node()
    one.put(ANN, "call_1", "opus", THOUGHT)
    one.put(ANN, "call_2", "opus", ())
    assert one.get(ANN, "call_1", "opus") == THOUGHT
    await until_written(one)
    assert two.get(ANN, "call_1", "opus") is None, "it has not looked yet"
    assert await two.fetch(ANN, ["call_2", "call_1", "call_0"]) is True
    assert two.get(ANN, "call_1", "opus") == THOUGHT
    assert two.get(ANN, "call_2", "opus") == ()
    assert two.get(ANN, "call_0", "opus") is None
    assert two.get(ANN, "call_1", "sonnet") is None


async def test_for_another_caller_nothing_is_remembered(node: Make) -> None:
    one, two = node(), node()
    one.put(ANN, "call_1", "opus", THOUGHT)
    await until_written(one)
    assert await two.fetch(BOB, ["call_1"]) is False
    assert two.get(BOB, "call_1", "opus") is None


@pytest.mark.parametrize("call_id", ["", "\0", "\ud800", "x" * 10_000])
async def test_any_text_is_an_id(node: Make, call_id: str) -> None:
    one, two = node(), node()
    one.put(ANN, call_id, "opus", THOUGHT)
    await until_written(one)
    assert await two.fetch(ANN, [call_id]) is True
    assert two.get(ANN, call_id, "opus") == THOUGHT


async def test_the_last_of_one_call_is_remembered(node: Make) -> None:
    one, two = node(), node()
    one.put(ANN, "call", "opus", THOUGHT)
    await until_written(one)
    one.put(ANN, "call", "opus", THOUGHT[:1])
    await until_written(one)
    await two.fetch(ANN, ["call"])
    assert two.get(ANN, "call", "opus") == THOUGHT[:1]


async def test_a_node_with_another_key_says_so_once_and_goes_on_alone(node: Make) -> None:
    said: list[str | None] = []
    one, two = node(), node(b"o" * 64, said.append)
    for number in range(3):
        one.put(ANN, f"call_{number}", "opus", THOUGHT)
        await until_written(one)
        assert await two.fetch(ANN, [f"call_{number}"]) is False
        two.put(ANN, f"own_{number}", "opus", THOUGHT)
        await until_written(two)
    assert len(said) == 1, "though it can write, and read what it wrote itself"
    assert "thinking is remembered by each node alone" in str(said[0])
    assert "same server.seal_keys" in str(said[0])


async def test_what_waits_is_written_when_a_node_ends(node: Make) -> None:
    one, two = node(), node()
    for number in range(100):
        one.put(ANN, f"call_{number}", "opus", THOUGHT)
    await one.aclose()
    assert await two.fetch(ANN, [f"call_{number}" for number in range(100)]) is True
    assert all(two.get(ANN, f"call_{number}", "opus") == THOUGHT for number in range(100))
    one.put(ANN, "late", "opus", THOUGHT)
    assert one.get(ANN, "late", "opus") == THOUGHT
    assert await one.fetch(ANN, ["call_x"]) is False


# When the store is asked


async def test_what_a_node_remembers_itself_is_never_looked_for(clock: Clock) -> None:
    rows = FakeThinkingRows()
    one, two = made(rows, clock), made(rows, clock)
    for number in range(3):
        one.put(ANN, f"call_{number}", "opus", ())
    assert await one.fetch(ANN, ["call_2", "call_1"]) is False
    await until_written(one)
    await two.fetch(ANN, ["call_1", "call_0"])
    assert await two.fetch(ANN, ["call_1", "call_0"]) is False
    assert await two.fetch(ANN, ["call_2", "call_1", "call_0"]) is True
    assert [len(keys) for keys in rows.finds] == [2, 1]


async def test_what_is_unknown_is_looked_for_twice_and_what_is_before_it_never(clock: Clock) -> None:
    rows = FakeThinkingRows()
    store = made(rows, clock)
    for _ in range(5):
        assert await store.fetch(ANN, ["call_1"]) is False
    assert len(rows.finds) == 1
    await store.fetch(ANN, ["call_1", "call_0"])
    assert len(rows.finds) == 1
    clock.advance(LOOK_AGAIN)
    for _ in range(5):
        await store.fetch(ANN, ["call_1"])
        clock.advance(LOOK_AGAIN)
    assert len(rows.finds) == 2
    clock.advance(MAX_AGE_SECONDS)
    await store.fetch(ANN, ["call_1"])
    assert len(rows.finds) == 3


async def test_a_row_that_was_on_its_way_is_remembered_later(clock: Clock) -> None:
    rows = FakeThinkingRows()
    one, two = made(rows, clock), made(rows, clock)
    assert await two.fetch(ANN, ["call"]) is False
    one.put(ANN, "call", "opus", THOUGHT)
    await until_written(one)
    clock.advance(LOOK_AGAIN)
    assert await two.fetch(ANN, ["call"]) is True


async def test_a_long_history_is_looked_for_up_to_a_bound(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_thinking, "_MAX_ABSENT", 10)
    rows = FakeThinkingRows()
    store = made(rows, clock)
    await store.fetch(ANN, [f"call_{number}" for number in range(10 * MAX_FETCHED)])
    assert [len(keys) for keys in rows.finds] == [MAX_FETCHED]
    assert len(store._absent) == 10


async def test_writes_come_in_batches(clock: Clock) -> None:
    rows = FakeThinkingRows()
    store = made(rows, clock)
    for number in range(waiting_rows.MAX_BATCH * 2 + 1):
        store.put(ANN, f"call_{number}", "opus", THOUGHT)
    await until_written(store)
    assert rows.batches == [waiting_rows.MAX_BATCH, waiting_rows.MAX_BATCH, 1]


async def test_a_batch_of_large_replies_has_fewer_of_them(clock: Clock) -> None:
    rows = FakeThinkingRows()
    store = made(rows, clock)
    for number in range(10):
        store.put(ANN, f"call_{number}", "opus", (ThinkingBlock("x" * (1024 * 1024 - 500), "sig"),))
    await until_written(store)
    assert sum(rows.batches) == 10
    assert max(rows.batches) <= 4, "of 4 MiB"


async def test_ids_of_clients_take_no_memory(clock: Clock) -> None:
    """Calls that are nowhere are remembered as such, up to 20,000; a client may send 30 MB of ids."""
    rows = FakeThinkingRows()
    store = made(rows, clock)
    for number in range(10):
        await store.fetch(ANN, [f"{number}_{other}" + "x" * 100_000 for other in range(10)])
    assert len(store._absent) == 100
    assert max(len(repr(key)) for key in store._absent) < 200


async def test_a_reply_that_is_too_large_for_a_row_is_remembered_here(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_thinking, "MAX_ROW_BYTES", 1000)
    rows = FakeThinkingRows()
    store, large = made(rows, clock), (ThinkingBlock("x" * 1000, "sig"),)
    store.put(ANN, "large", "opus", large)
    store.put(ANN, "small", "opus", THOUGHT)
    await until_written(store)
    assert rows.batches == [1]
    assert store.get(ANN, "large", "opus") == large


# Without the store


async def test_a_store_that_is_away_costs_no_request_and_is_written_later(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_rows, "MAX_WAITING", 5)
    rows, said = FakeThinkingRows(), list[str | None]()
    store = made(rows, clock, on_problem=said.append)
    rows.fails = True
    for number in range(8):
        store.put(ANN, f"call_{number}", "opus", THOUGHT)
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert await store.fetch(ANN, ["other"]) is False
    assert store.get(ANN, "call_0", "opus") == THOUGHT
    store.put(ANN, "call_8", "opus", THOUGHT)
    assert said == ["thinking is remembered by each node alone: db: away"]
    rows.fails = False
    await until_written(store)
    assert said[1:] == [None], "told once that it works again"
    assert 5 <= len(rows.rows) <= 6, "those that wait, and perhaps one of the batch that was being written"
    assert store.dropped == 9 - len(rows.rows)
    assert await made(rows, clock).fetch(ANN, ["call_8", "call_7", "call_6", "call_5", "call_4"])
    rows.fails, dropped = True, store.dropped
    store.put(ANN, "call_9", "opus", THOUGHT)
    await store.aclose()
    assert len(said) == 3
    assert store.dropped == dropped + 1


async def test_large_replies_that_wait_are_bounded_by_their_bytes(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_rows, "MAX_WAITING_BYTES", 10_000)
    rows = FakeThinkingRows()
    store = made(rows, clock)
    rows.fails = True
    for number in range(50):
        store.put(ANN, f"call_{number}", "opus", (ThinkingBlock("x" * 1_000, "sig"),))
        store.put(ANN, "again", "opus", (ThinkingBlock("x" * 1_000, "sig"),))
        await asyncio.sleep(0)
        assert store._waiting.bytes <= 10_000
    store.put(ANN, "huge", "opus", (ThinkingBlock("x" * 5_000_000, "sig"),))
    rows.fails = False
    await until_written(store)
    assert store._waiting.bytes == 0
    assert 5 <= len(rows.rows) <= 17, "those that wait, and perhaps those of the batch that was being written"
    assert store.dropped == 51 - len(rows.rows)
    assert await made(rows, clock).fetch(ANN, ["again", "call_49", "call_48", "call_47"])


async def test_rows_that_cannot_be_read_are_told_of_once_though_they_are_written(clock: Clock) -> None:
    rows, said = FakeThinkingRows(), list[str | None]()
    store = made(rows, clock, on_problem=said.append)
    rows.hides = True
    for number in range(3):
        assert await store.fetch(ANN, [f"other_{number}"]) is False
        store.put(ANN, f"call_{number}", "opus", THOUGHT)
        await until_written(store)
    assert said == ["thinking is remembered by each node alone: db: may not read"]
    rows.hides = False
    store.put(ANN, "call_3", "opus", THOUGHT)
    await until_written(store)
    assert said[1:] == [None], "which no conversation had to come from another node for"


async def test_a_store_that_is_away_at_the_start_is_told_of_once(clock: Clock) -> None:
    rows, said = FakeThinkingRows(), list[str | None]()
    store = made(rows, clock, on_problem=said.append)
    store.check()
    assert said == []
    rows.fails = True
    store.check()
    assert await store.fetch(ANN, ["other"]) is False
    assert said == ["thinking is remembered by each node alone: db: away"]


# Rows in PostgreSQL


async def test_the_oldest_rows_make_room(postgres_url: str, clock: Clock) -> None:
    size = 1000 + ROW_OVERHEAD
    rows = in_database(postgres_url, clock, max_bytes=20 * size)
    for number in range(40):
        clock.advance(1.0)
        await rows.add([(b"%02d" % number, b"x" * 1000, clock() + 100)])
    found = await rows.find([b"%02d" % number for number in range(40)])
    assert b"39" in found
    assert sorted(found) == [b"%02d" % number for number in range(40 - len(found), 40)]
    assert 15 <= len(found) <= 20
    assert execute(postgres_url, "SELECT bytes, entries FROM thinking_total") == [(size * len(found), len(found))]
    clock.advance(100.0)
    assert await rows.find([b"39"]) == {}
    await rows.add([(b"new", b"x" * 1000, clock() + 100)])
    assert execute(postgres_url, "SELECT bytes, entries FROM thinking_total") == [(size, 1)]
    assert execute(postgres_url, "SELECT key FROM remembered_thinking") == [(b"new",)]
    await rows.aclose()


async def test_nodes_that_write_the_same_calls_do_not_hold_up_each_other(postgres_url: str, clock: Clock) -> None:
    nodes = [in_database(postgres_url, clock) for _ in range(3)]
    batch = [(b"%02d" % number, b"x", clock() + 100) for number in range(50)]
    await asyncio.gather(*(node.add(batch[::step]) for node in nodes for step in (1, -1, 2)))
    assert execute(postgres_url, "SELECT bytes, entries FROM thinking_total") == [(50 * (1 + ROW_OVERHEAD), 50)]
    assert execute(postgres_url, "SELECT count(*) FROM remembered_thinking") == [(50,)]
    for node in nodes:
        await node.aclose()


async def test_a_look_changes_nothing(postgres_url: str, clock: Clock) -> None:
    with pytest.raises(StoreOutdated):
        in_database(postgres_url, clock).look()
    in_database(postgres_url, clock).check()
    in_database(postgres_url, clock).look()


async def test_a_database_that_is_away_is_named_with_its_setting(own_postgres_server: Server, clock: Clock) -> None:
    rows = in_database(own_postgres_server.new_database(), clock)
    await rows.add([(b"k", b"x", clock() + 100)])
    own_postgres_server.stop()
    with pytest.raises(StoreFailed, match=r"thinking\.store"):
        in_database(own_postgres_server.url("test_0"), clock).check()
    with pytest.raises(StoreFailed):
        await rows.find([b"k"])
    own_postgres_server.start()
    await rows.aclose()

"""Stored responses in PostgreSQL. Risk: prompts can be read in the database, nodes free what another one begins to
hold, or a database that stands still holds up requests."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from modelmux.config.postgres_url import parse_postgres_url
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.dialects.stored_responses import HistoryQuery
from modelmux.store import postgres_responses
from modelmux.store.base import ResponseLimits, StoreFailed, StoreOutdated
from modelmux.store.bounded_calls import PAUSE
from modelmux.store.postgres_response_rows import ITEM_OVERHEAD, RESPONSE_OVERHEAD
from modelmux.store.postgres_responses import PostgresResponseStore
from support.clock import Clock
from support.postgres import Server, execute
from support.response_stores import ANN, item, response

TTL = 3600.0
OLD, NEW = b"o" * 64, b"n" * 64
#: Of calls that should succeed: what is tested is not how busy the machine is.
AMPLE = 60.0
Make = Callable[..., PostgresResponseStore]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
async def node(postgres_url: str, clock: Clock) -> AsyncIterator[Make]:
    """Makes a store as a node has it."""
    stores: list[PostgresResponseStore] = []

    def make(*keys: bytes, url: str = postgres_url, bound: float = AMPLE, **limits: Any) -> PostgresResponseStore:
        bounds = ResponseLimits(**({"ttl": TTL} | limits))
        sealer = AesSivSealer(keys or [OLD])
        store = PostgresResponseStore(
            parse_postgres_url(url, "responses.store"), sealer, clock, bounds, bound=bound, clock=clock
        )
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.aclose()


def counted(url: str) -> tuple[int, int]:
    """Bytes and items, counted anew; the totals have to be the same, and each content to have the holders it counts."""
    ((contents,),) = execute(url, "SELECT coalesce(sum(octet_length(data)), 0)::bigint FROM stored_content")
    ((count, heads),) = execute(
        url, "SELECT count(*), coalesce(sum(octet_length(head)), 0)::bigint FROM stored_response"
    )
    ((items,),) = execute(url, "SELECT count(*) FROM stored_item")
    (totals,) = execute(url, "SELECT sum(bytes)::bigint, sum(items)::bigint FROM stored_total")
    wrong = execute(
        url,
        "SELECT key FROM stored_content AS c "
        "WHERE holders <> (SELECT count(*) FROM stored_item AS i WHERE i.content = c.key)",
    )
    orphans = execute(
        url,
        "SELECT 1 FROM stored_item AS i WHERE NOT EXISTS (SELECT 1 FROM stored_content AS c WHERE c.key = i.content) "
        "OR NOT EXISTS (SELECT 1 FROM stored_response AS r WHERE r.number = i.response)",
    )
    assert (wrong, orphans) == ([], [])
    assert totals == (contents + heads + RESPONSE_OVERHEAD * count + ITEM_OVERHEAD * items, items)
    return int(totals[0]), int(totals[1])


# What is in the database


async def test_nothing_can_be_read_without_the_key(node: Make, postgres_url: str) -> None:
    secret = "canary"
    stored = response(
        f"resp_{secret}", f"resp_before_{secret}", input=(item(f"in_{secret}", secret * 100),),
        output=(item(f"out_{secret}", secret),), body=secret.encode(),
    )  # fmt: skip
    await node().put(f"owner {secret}", stored)
    columns = execute(
        postgres_url,
        "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'",
    )
    for table, column in columns:
        for (value,) in execute(postgres_url, f'SELECT "{column}" FROM "{table}"'):
            data = value if isinstance(value, bytes) else str(value).encode()
            assert secret.encode() not in data, (table, column)
    assert {table for table, _ in columns} >= {"stored_response", "stored_content", "stored_item"}


async def test_rows_that_were_exchanged_do_not_open(node: Make, postgres_url: str) -> None:
    store = node()
    await store.put(ANN, response("a", input=(), output=()))
    await store.put("bob", response("b", input=(), output=()))
    execute(postgres_url, "UPDATE stored_response SET head = (SELECT head FROM stored_response WHERE number = 2)")
    with pytest.raises(StoreFailed, match="cannot be opened"):
        await store.get(ANN, "a")
    assert await store.get("bob", "b")


async def test_another_key_is_reported_with_what_to_do_and_an_old_one_still_opens(node: Make) -> None:
    before = node(OLD)
    await before.put(ANN, response("r1"))
    other = node(NEW)
    for use in (other.check, other.look):
        with pytest.raises(StoreFailed, match=r"same server\.seal_keys, and keep an old key behind the new one"):
            use()
    with pytest.raises(StoreFailed, match=r"server\.seal_keys"):
        await other.put(ANN, response("r2"))
    rotated = node(NEW, OLD)
    rotated.check()
    rotated.look()
    await rotated.put(ANN, response("r2", "r1", input=(item("i", "data of in_r1"),)))
    assert (await rotated.history(ANN, HistoryQuery("r2", ("in_r1",)))).items == (
        b"data of in_r1", b"data of out_r1", b"data of in_r1", b"data of out_r2",
    )  # fmt: skip
    with pytest.raises(StoreFailed, match=r"server\.seal_keys"):  # it has run since before the new key
        await before.history(ANN, HistoryQuery("r2"))


async def test_a_lost_key_is_no_matter_once_its_responses_have_expired(node: Make, clock: Clock) -> None:
    await node(OLD).put(ANN, response("r"))
    clock.advance(TTL)
    store = node(NEW)
    store.check()
    await store.put(ANN, response("r"))
    assert await store.get(ANN, "r")


async def test_a_look_changes_nothing(node: Make, postgres_url: str) -> None:
    with pytest.raises(StoreOutdated):
        node().look()
    assert execute(postgres_url, "SELECT 1 FROM information_schema.tables WHERE table_schema = 'public'") == []


# Several nodes


async def test_two_nodes_migrate_at_once_and_see_each_others_responses(node: Make) -> None:
    one, two = node(), node()
    await asyncio.gather(one.put(ANN, response("r1")), two.put(ANN, response("r2")))
    assert await one.get(ANN, "r2") == response("r2")
    await two.put(ANN, response("r3", "r1"))
    assert len((await one.history(ANN, HistoryQuery("r3"))).items or ()) == 4
    assert await two.delete(ANN, "r1")
    assert (await one.history(ANN, HistoryQuery("r3"))).items is None


async def test_nodes_that_add_and_delete_the_same_items_free_each_once(node: Make, postgres_url: str) -> None:
    nodes = [node() for _ in range(4)]
    shared = tuple(item(f"i{n}", f"content {n % 5}") for n in range(10))

    async def use(number: int) -> None:
        store = nodes[number]
        for turn in range(12):
            order = shared if (turn + number) % 2 else shared[::-1]
            await store.put(ANN, response(f"r{number}_{turn}", input=order))
            if turn % 3:
                await nodes[(number + 1) % 4].delete(ANN, f"r{number}_{turn - 1}")
            if turn % 4 == 3:
                assert await store.get(ANN, f"r{number}_{turn}") == response(f"r{number}_{turn}", input=order)

    await asyncio.gather(*map(use, range(4)))
    left = counted(postgres_url)
    assert left[1] > 0
    for number in range(4):
        for turn in range(12):
            await nodes[0].delete(ANN, f"r{number}_{turn}")
    assert counted(postgres_url) == (0, 0)


async def test_nodes_that_fill_the_store_keep_it_within_its_bounds(node: Make, postgres_url: str, clock: Clock) -> None:
    limits = {"max_bytes": 300_000, "max_items": 100}
    nodes = [node(**limits) for _ in range(3)]
    for turn in range(10):
        clock.advance(1.0)
        await asyncio.gather(
            *(store.put(ANN, response(f"r{n}_{turn}", output=(item("o", f"{n}{turn}" * 5_000),)))
              for n, store in enumerate(nodes))
        )  # fmt: skip
    await nodes[0].put(ANN, response("last"))  # alone: what came at once is within the bounds now
    size, items = counted(postgres_url)
    assert size <= 300_000
    assert items <= 100
    assert size > 200_000
    assert await nodes[1].get(ANN, "last")


async def test_what_expired_leaves_the_database_a_part_with_each_put(
    node: Make, postgres_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_responses, "_MAX_EXPIRED", 3)
    store = node()
    for number in range(10):
        await store.put(ANN, response(f"r{number}"))
    clock.advance(TTL)
    await store.put(ANN, response("new"))
    assert counted(postgres_url)[1] == 2 * (10 - 3 + 1)


async def test_a_read_is_recorded_now_and_then_only(node: Make, postgres_url: str, clock: Clock) -> None:
    def used_at() -> float:
        ((value,),) = execute(postgres_url, "SELECT used_at FROM stored_response")
        return float(value)

    store = node()
    await store.put(ANN, response("r"))
    stored_at = used_at()
    clock.advance(TTL / 20)
    assert await store.get(ANN, "r")
    assert used_at() == stored_at
    clock.advance(1.0)
    assert (await store.history(ANN, HistoryQuery("r"))).items
    assert used_at() == clock()


# Without a database


async def test_a_database_that_is_away_fails_calls_and_is_used_again(
    own_postgres_server: Server, node: Make, clock: Clock
) -> None:
    url = own_postgres_server.new_database()
    store = node(url=url)
    await store.put(ANN, response("r1"))
    own_postgres_server.stop()
    for call in (store.put(ANN, response("r2")), store.get(ANN, "r1"), store.delete(ANN, "r1")):
        with pytest.raises(StoreFailed, match=r"^postgresql://127.0.0.1:\d+/test_0: .*; ") as caught:
            await call
        assert "pass" not in str(caught.value)
    with pytest.raises(StoreFailed, match=r"host and port of responses\.store"):
        store.check()
    own_postgres_server.start()
    async with asyncio.timeout(100):
        while True:
            try:
                assert await store.get(ANN, "r1") == response("r1")
                break
            except StoreFailed:
                await asyncio.sleep(0.05)


async def test_a_database_that_stands_still_holds_up_calls_once_and_not_one_after_another(
    own_postgres_server: Server, node: Make, clock: Clock
) -> None:
    url = own_postgres_server.new_database()
    await node(url=url).put(ANN, response("r1"))
    store = node(url=url, bound=1.0)
    await store.get(ANN, "r1")
    own_postgres_server.signal(signal.SIGSTOP)
    try:
        calls = [store.get(ANN, "r1") for _ in range(5)]
        problems = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(problem) for problem in problems} == {StoreFailed}
        assert "no answer in time" in str(problems[0])
        reached = store._reader._thread.submit
        tried: list[Any] = []

        def submit(task: Any) -> Any:
            tried.append(task)
            return reached(task)

        store._reader._thread.submit = submit  # type: ignore[method-assign]
        for _ in range(100):
            with pytest.raises(StoreFailed, match="no answer in time"):
                await store.get(ANN, "r1")
        assert tried == [], "they failed at once"
        clock.advance(PAUSE)
        calls = [store.get(ANN, "r1") for _ in range(5)]
        assert {type(problem) for problem in await asyncio.gather(*calls, return_exceptions=True)} == {StoreFailed}
        assert len(tried) == 1, "one has tried"
    finally:
        own_postgres_server.signal(signal.SIGCONT)
    async with asyncio.timeout(100):
        while True:
            clock.advance(PAUSE)
            try:
                assert await store.get(ANN, "r1") == response("r1")
                break
            except StoreFailed:
                await asyncio.sleep(0.05)

"""What every store of responses promises. Risk: one caller reads another's conversation, or a conversation comes back
incomplete, in another order, or not at all while it is in use."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from modelmux.config.postgres_url import parse_postgres_url
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.dialects.stored_responses import History, HistoryQuery
from modelmux.errors import InvalidRequest
from modelmux.store import base
from modelmux.store.base import MAX_CHAIN, ResponseLimits, ResponseStore, StoreFailed
from modelmux.store.memory_responses import MemoryResponseStore
from modelmux.store.no_responses import NoResponseStore
from modelmux.store.postgres_responses import PostgresResponseStore
from modelmux.store.sqlite_responses import SqliteResponseStore
from support.clock import Clock
from support.response_stores import ANN, item, response

BOB = "bob"
Make = Callable[..., Any]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture(params=["memory", "sqlite", "postgres", "pgbouncer"])
async def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Make]:
    """Makes a store with the given limits."""
    stores: list[ResponseStore] = []
    kind, url = request.param, ""
    if kind.startswith("p"):
        url = request.getfixturevalue("postgres_url" if kind == "postgres" else "pooled_url")

    def make(**limits: Any) -> ResponseStore:
        bounds = dataclasses.replace(ResponseLimits(), **limits)
        store: ResponseStore
        if url:
            # Generous: what is tested is not how busy the machine is.
            store = PostgresResponseStore(parse_postgres_url(url), AesSivSealer([b"k" * 64]), clock, bounds, bound=60.0)
        elif kind == "memory":
            store = MemoryResponseStore(clock, bounds)
        else:
            store = SqliteResponseStore(tmp_path / "responses.sqlite3", clock, bounds)
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.aclose()


@pytest.fixture
def store(make: Make) -> ResponseStore:
    return make()  # type: ignore[no-any-return]


async def conversation(store: ResponseStore, *ids: str, owner: str = ANN) -> None:
    for previous, id in zip((None, *ids), ids, strict=False):
        await store.put(owner, response(id, previous))


async def test_a_response_comes_back_as_it_was(store: ResponseStore) -> None:
    stored = response(
        "resp_1",
        "resp_0",
        input=(item("a", "same"), item("b", "same"), item("c", "")),
        output=(item("d", "ü\0" * 3), item("e")),
        body=b'{"object":"response"}',
    )
    await store.put(ANN, stored)
    assert await store.get(ANN, "resp_1") == stored
    empty = response("resp_2", input=(), output=(), body=b"")
    await store.put(ANN, empty)
    assert await store.get(ANN, "resp_2") == empty


async def test_a_second_put_replaces_the_first(store: ResponseStore) -> None:
    await store.put(ANN, response("r", input=(item("old"),)))
    await store.put(ANN, response("r", input=(item("new"),)))
    assert await store.get(ANN, "r") == response("r", input=(item("new"),))
    assert (await store.history(ANN, HistoryQuery(item_ids=("old", "new")))).by_id.keys() == {"new"}


async def test_a_conversation_is_its_responses_in_order_each_input_before_output(store: ResponseStore) -> None:
    await conversation(store, "r1", "r2", "r3")
    history = await store.history(ANN, HistoryQuery("r3"))
    assert history.items == tuple(
        f"data of {kind}_{id}".encode() for id in ("r1", "r2", "r3") for kind in ("in", "out")
    )
    assert (await store.history(ANN, HistoryQuery("r2"))).items == history.items[:4]
    assert await store.history(ANN, HistoryQuery()) == History((), {})


async def test_items_are_found_by_id_and_with_a_conversation(store: ResponseStore) -> None:
    await conversation(store, "r1", "r2")
    history = await store.history(ANN, HistoryQuery("r1", ("out_r2", "nobody", "in_r1")))
    assert history.by_id == {"out_r2": b"data of out_r2", "in_r1": b"data of in_r1"}
    assert history.items == (b"data of in_r1", b"data of out_r1")


async def test_of_items_with_one_id_an_output_is_first_then_the_newest(store: ResponseStore) -> None:
    async def found() -> bytes:
        return (await store.history(ANN, HistoryQuery(item_ids=("x",)))).by_id["x"]

    await store.put(ANN, response("r1", input=(item("x", "sent"),)))
    await store.put(ANN, response("r2", input=(item("x", "sent later"),)))
    assert await found() == b"sent later"
    await store.put(ANN, response("r3", output=(item("x", "made"),)))
    await store.put(ANN, response("r4", input=(item("x", "sent back"),)))
    assert await found() == b"made"
    await store.put(ANN, response("r5", output=(item("x", "made later"),)))
    assert await found() == b"made later"
    await store.delete(ANN, "r5")
    assert await found() == b"made"


async def test_for_another_owner_nothing_exists(store: ResponseStore) -> None:
    await conversation(store, "r1", "r2")
    assert await store.get(BOB, "r1") is None
    foreign, unknown = HistoryQuery("r2", ("in_r1", "out_r2")), HistoryQuery("r9", ("in_r9",))
    assert await store.history(BOB, foreign) == await store.history(BOB, unknown) == History(None, {})
    assert await store.delete(BOB, "r1") is False
    assert await store.get(ANN, "r1") is not None


async def test_owners_may_use_the_same_ids_and_content(store: ResponseStore) -> None:
    await store.put(ANN, response("r", input=(item("i", "ann's"),), output=(item("o", "both"),)))
    await store.put(BOB, response("r", input=(item("i", "bob's"),), output=(item("o", "both"),)))
    assert (await store.history(ANN, HistoryQuery("r", ("i",)))).by_id == {"i": b"ann's"}
    assert await store.delete(ANN, "r") is True
    assert await store.history(BOB, HistoryQuery("r", ("i",))) == History((b"bob's", b"both"), {"i": b"bob's"})


async def test_a_conversation_does_not_continue_that_of_another_owner(store: ResponseStore) -> None:
    await store.put(ANN, response("r1"))
    await store.put(BOB, response("r2", "r1"))
    assert (await store.history(BOB, HistoryQuery("r2"))).items is None


@pytest.mark.parametrize("id", ["", "\0", "resp_\ud800", "'; DROP TABLE responses; --", "%", "x" * 10_000])
async def test_any_text_is_an_id(store: ResponseStore, id: str) -> None:
    assert await store.get(ANN, id) is None
    assert await store.history(ANN, HistoryQuery(id, (id,))) == History(None, {})
    assert await store.delete(ANN, id) is False
    await store.put(ANN, response(id, output=(item("o", id.encode("utf-8", "replace").decode()),)))
    await store.put(ANN, response("next", id))
    assert len((await store.history(ANN, HistoryQuery("next"))).items or ()) == 4


# Deletion


async def test_a_deleted_response_is_gone_at_once_and_its_conversation_with_it(store: ResponseStore) -> None:
    await conversation(store, "r1", "r2", "r3")
    assert await store.delete(ANN, "r2") is True
    assert await store.get(ANN, "r2") is None
    assert await store.delete(ANN, "r2") is False
    assert (await store.history(ANN, HistoryQuery("r3"))).items is None
    history = await store.history(ANN, HistoryQuery("r1", ("in_r2", "out_r2", "out_r3")))
    assert history.items == (b"data of in_r1", b"data of out_r1")
    assert history.by_id.keys() == {"out_r3"}


async def test_what_another_response_holds_outlives_a_deletion(store: ResponseStore) -> None:
    await store.put(ANN, response("r1", output=(item("o", "shared"),)))
    await store.put(ANN, response("r2", input=(item("i", "shared"),)))
    await store.delete(ANN, "r1")
    history = await store.history(ANN, HistoryQuery("r2", ("o", "i")))
    assert history == History((b"shared", b"data of out_r2"), {"i": b"shared"})


# Time


async def test_a_response_expires_after_its_last_use(make: Make, clock: Clock) -> None:
    store = make(ttl=100.0)
    await conversation(store, "r1", "r2")
    clock.advance(99.0)
    assert await store.get(ANN, "r1") is not None
    clock.advance(1.0)
    assert await store.get(ANN, "r2") is None, "not used for 100 s"
    assert (await store.history(ANN, HistoryQuery("r2"))).items is None
    assert await store.delete(ANN, "r2") is False
    clock.advance(98.0)
    assert await store.get(ANN, "r1") is not None, "used 99 s ago"
    clock.advance(100.0)
    assert await store.get(ANN, "r1") is None


async def test_the_use_of_a_conversation_is_a_use_of_all_its_responses(make: Make, clock: Clock) -> None:
    store = make(ttl=100.0)
    await conversation(store, "r1", "r2")
    await store.put(ANN, response("other"))
    for _ in range(5):
        clock.advance(60.0)
        await store.put(ANN, response("new"))
        assert (await store.history(ANN, HistoryQuery("r2"))).items
    assert await store.get(ANN, "r1") is not None
    assert await store.get(ANN, "other") is None


async def test_the_use_of_an_item_is_a_use_of_its_response(make: Make, clock: Clock) -> None:
    store = make(ttl=100.0)
    await store.put(ANN, response("r1"))
    for _ in range(5):
        clock.advance(60.0)
        assert (await store.history(ANN, HistoryQuery(item_ids=("out_r1",)))).by_id
    assert await store.get(ANN, "r1") is not None
    clock.advance(100.0)
    assert (await store.history(ANN, HistoryQuery(item_ids=("out_r1",)))).by_id == {}


async def test_an_expired_item_does_not_hide_one_that_has_not_expired(make: Make, clock: Clock) -> None:
    store = make(ttl=100.0)
    await store.put(ANN, response("r1", output=(item("x", "old"),)))
    clock.advance(60.0)
    await store.put(ANN, response("r2", input=(item("x", "sent back"),)))
    clock.advance(60.0)
    assert (await store.history(ANN, HistoryQuery(item_ids=("x",)))).by_id == {"x": b"sent back"}


# Bounds


async def test_the_least_recently_used_make_room(make: Make, clock: Clock) -> None:
    store = make(max_bytes=400_000)
    for number in range(4):
        clock.advance(3600 / 4)
        await store.put(ANN, response(f"r{number}", output=(item("o", str(number) * 90_000),)))
        assert await store.get(ANN, "r0") is not None
    await store.put(ANN, response("r4", output=(item("o", "4" * 90_000),)))
    kept = [n for n in range(5) if await store.get(ANN, f"r{n}") is not None]
    assert kept == [0, 2, 3, 4]


async def test_items_are_bounded_too(make: Make, clock: Clock) -> None:
    store = make(max_items=20)
    for number in range(30):
        clock.advance(1.0)
        await store.put(ANN, response(f"r{number}"))
    kept = [n for n in range(30) if await store.get(ANN, f"r{n}") is not None]
    assert kept == list(range(20, 30))
    with pytest.raises(StoreFailed, match="larger than the store"):
        await store.put(BOB, response("big", input=tuple(item(f"i{n}") for n in range(21))))
    assert await store.get(BOB, "big") is None
    assert await store.get(ANN, "r29") is not None  # nothing was dropped for it


async def test_a_response_over_the_limit_is_not_stored_and_displaces_nothing(make: Make) -> None:
    store = make(max_response_bytes=10_000)
    await store.put(ANN, response("small"))
    with pytest.raises(StoreFailed, match="larger than 10000"):
        await store.put(ANN, response("large", body=b"x" * 10_001))
    assert await store.get(ANN, "large") is None
    assert await store.get(ANN, "small") is not None


async def test_a_history_that_is_repeated_costs_its_new_items_only(make: Make) -> None:
    """A hundred turns of 10 kB fit: with their histories they would be 50 MB."""
    store = make(max_bytes=5_000_000)
    turns = [item(f"i{n}", f"{n:05d}" * 2_000) for n in range(100)]
    for number in range(100):
        await store.put(ANN, response(f"r{number}", input=tuple(turns[: number + 1])))
    first, last = await store.get(ANN, "r0"), await store.get(ANN, "r99")
    assert first is not None
    assert last is not None
    assert last.input == tuple(turns)


async def test_a_conversation_has_a_longest_length(store: ResponseStore) -> None:
    ids = [f"r{number}" for number in range(MAX_CHAIN + 1)]
    for previous, id in zip((None, *ids), ids, strict=False):
        await store.put(ANN, response(id, previous, input=(), output=(item(f"o_{id}"),)))
    assert len((await store.history(ANN, HistoryQuery(ids[-2]))).items or ()) == MAX_CHAIN
    with pytest.raises(InvalidRequest, match="more than 1000 responses") as caught:
        await store.history(ANN, HistoryQuery(ids[-1]))
    assert caught.value.param == "previous_response_id"
    assert caught.value.hint
    await store.delete(ANN, ids[0])
    assert (await store.history(ANN, HistoryQuery(ids[-2]))).items is None


async def test_a_conversation_in_a_circle_ends(store: ResponseStore) -> None:
    await store.put(ANN, response("a", "b"))
    await store.put(ANN, response("b", "a"))
    with pytest.raises(InvalidRequest):
        await store.history(ANN, HistoryQuery("a"))


async def test_a_history_has_a_largest_size(store: ResponseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_HISTORY_BYTES", 1_000)
    for previous, id in ((None, "r1"), ("r1", "r2"), ("r2", "r3")):
        await store.put(ANN, response(id, previous, output=(item(f"o_{id}", id * 200),)))
    assert (await store.history(ANN, HistoryQuery("r2"))).items
    assert (await store.history(ANN, HistoryQuery(None, ("o_r1", "o_r2")))).by_id
    for query in (HistoryQuery("r3"), HistoryQuery("r2", ("o_r1",)), HistoryQuery(None, ("o_r1", "o_r2", "o_r3"))):
        with pytest.raises(InvalidRequest, match="more than 1000 bytes"):
            await store.history(ANN, query)


async def test_a_closed_store_fails(store: ResponseStore) -> None:
    await store.put(ANN, response("r"))
    await store.aclose()
    await store.aclose()
    for call in (
        store.put(ANN, response("r")),
        store.get(ANN, "r"),
        store.delete(ANN, "r"),
        store.history(ANN, HistoryQuery()),
    ):
        with pytest.raises(StoreFailed, match="closed"):
            await call


async def test_a_gateway_without_a_store_knows_no_id() -> None:
    store = NoResponseStore()
    assert await store.get(ANN, "r") is None
    assert await store.delete(ANN, "r") is False
    assert await store.history(ANN, HistoryQuery("r", ("i",))) == History(None, {})
    assert await store.history(ANN, HistoryQuery(None, ("i",))) == History((), {})
    with pytest.raises(StoreFailed):
        await store.put(ANN, response("r"))
    await store.aclose()

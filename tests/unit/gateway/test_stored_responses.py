"""Risk: a response that its client refers to at once, before it is stored; one that claims to be stored and is not; a
text that waits for the store; a request that loses the conversation it refers to."""

from __future__ import annotations

import asyncio

import pytest

from modelmux.dialects.stored_responses import History, HistoryQuery, StoredResponse
from modelmux.errors import InvalidRequest, StoreUnavailable
from modelmux.store.base import StoreFailed
from modelmux.store.no_responses import NoResponseStore
from support.dialects import TINY_STORING, named
from support.exchange_world import NOW, World
from support.fakes import text_events
from support.playbook import (
    Playbook,
    calls,
    ends,
    fails,
    gets,
    head,
    leaves,
    pause,
    replies,
    responds,
    settled,
    starts,
    streams,
)

pytestmark = pytest.mark.virtual_time
ID = "0" * 32
MESSAGE = {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}


class ScriptedStore:
    """Keeps what it gets; each call waits until it may return, and may fail."""

    def __init__(self, error: StoreFailed | None = None, history: History | None = None) -> None:
        self.error = error
        self.known = history or History()
        self.may_return = asyncio.Event()
        self.may_return.set()
        self.calls: list[tuple[str, object]] = []

    async def _answer(self, owner: str, what: object) -> None:
        self.calls.append((owner, what))
        await self.may_return.wait()
        if self.error is not None:
            raise self.error

    async def put(self, owner: str, response: StoredResponse) -> None:
        await self._answer(owner, response)

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        raise AssertionError((owner, response_id))

    async def history(self, owner: str, query: HistoryQuery) -> History:
        await self._answer(owner, query)
        return self.known

    async def delete(self, owner: str, response_id: str) -> bool:
        raise AssertionError((owner, response_id))

    async def aclose(self) -> None:
        raise AssertionError


def lets_the_store_return(world: World) -> None:
    store = world.setting.responses
    assert isinstance(store, ScriptedStore)
    store.may_return.set()


def is_storing(body: bytes) -> object:
    def check(world: World) -> None:
        store = world.setting.responses
        assert isinstance(store, ScriptedStore)
        assert store.calls == [("ann", StoredResponse(ID, int(NOW), None, (), (), body))]
        assert not world.effects

    return check


def end(stored: bool = True) -> bytes:
    return named("end", stop="end_turn", stored=stored)


async def test_the_text_of_a_stream_does_not_wait_for_the_store_and_its_end_does() -> None:
    store = ScriptedStore()
    store.may_return.clear()
    await (
        Playbook(TINY_STORING, responses=store) << calls("a") >> head() >> streams(b"".join(text_events("Hi")))
        << starts() << gets(named("begin", id=ID) + named("text", text="Hi")) << is_storing(b"stream")
        >> lets_the_store_return << ends(end()) << settled("ok")
    ).play()  # fmt: skip


async def test_a_message_is_stored_before_it_is_sent() -> None:
    store = ScriptedStore()
    store.may_return.clear()
    await (
        Playbook(TINY_STORING, stream=False, responses=store) << calls("a") >> replies(MESSAGE)
        << is_storing(b"message") >> lets_the_store_return
        << responds({"id": ID, "text": "Hi", "stop": "end_turn", "stored": True}) << settled("ok")
    ).play()  # fmt: skip


async def test_a_stream_in_one_piece_is_stored_too() -> None:
    store = ScriptedStore()
    await (
        Playbook(TINY_STORING, mode="single", responses=store) << calls("a") >> replies(MESSAGE)
        << starts() << ends(named("begin", id=ID) + named("text", text="Hi") + end()) << is_storing(b"stream")
        << settled("ok")
    ).play()  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reply_that_cannot_be_stored_is_complete_and_says_so(stream: bool) -> None:
    book = Playbook(TINY_STORING, stream=stream, responses=ScriptedStore(StoreFailed("disk full"))) << calls("a")
    if stream:
        book = book >> head() >> streams(b"".join(text_events("Hi"))) << starts()
        book = book << gets(named("begin", id=ID) + named("text", text="Hi")) << ends(end(stored=False))
    else:
        book = book >> replies(MESSAGE)
        book = book << responds({"id": ID, "text": "Hi", "stop": "end_turn", "stored": False})
    world = await (book << settled("ok")).play()
    assert world.observer.store_errors == ["disk full"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_deadline_does_not_make_a_failure_of_a_reply_that_waits_for_the_store(stream: bool) -> None:
    store = ScriptedStore()
    store.may_return.clear()
    book = Playbook(TINY_STORING, stream=stream, responses=store, timeout=10.0) << calls("a")
    if stream:
        book = book >> head() >> streams(b"".join(text_events("Hi"))) << starts()
        book = book << gets(named("begin", id=ID) + named("text", text="Hi")) >> pause(6.0) << ends(end(stored=False))
    else:
        book = book >> replies(MESSAGE) >> pause(6.0)
        book = book << responds({"id": ID, "text": "Hi", "stop": "end_turn", "stored": False})
    world = await (book << settled("ok")).play()
    assert len(world.observer.store_errors) == 1


async def test_a_client_that_leaves_while_the_store_works_is_settled_once() -> None:
    store = ScriptedStore()
    store.may_return.clear()
    await (
        Playbook(TINY_STORING, responses=store) << calls("a") >> head() >> streams(b"".join(text_events("Hi")))
        << starts() << gets(named("begin", id=ID) + named("text", text="Hi")) >> leaves() << settled("client_gone")
    ).play()  # fmt: skip


async def test_a_request_gets_the_history_that_it_refers_to() -> None:
    store = ScriptedStore(history=History((b"one", b"two")))
    book = Playbook(TINY_STORING, stream=False, responses=store, request={"after": "resp_1"}) << calls("a")
    world = await (
        book >> replies(MESSAGE) << responds({"id": ID, "text": "Hi", "stop": "end_turn", "stored": True})
        << settled("ok")
    ).play()  # fmt: skip
    assert store.calls[0] == ("ann", HistoryQuery("resp_1"))
    sent = [message["content"] for message in world.upstream.body(0)["messages"]]
    assert sent == ["one", "two", "Hi"]


@pytest.mark.parametrize(
    ("store", "kind", "error"),
    [
        (ScriptedStore(history=History(None)), "bad_request", InvalidRequest),
        (NoResponseStore(), "bad_request", InvalidRequest),
        (ScriptedStore(StoreFailed("locked")), "store_unavailable", StoreUnavailable),
    ],
    ids=["unknown", "off", "failed"],
)
async def test_a_history_that_is_not_there_is_an_error_before_any_call(
    store: ScriptedStore | NoResponseStore, kind: str, error: type[Exception]
) -> None:
    book = Playbook(TINY_STORING, stream=False, responses=store, request={"after": "resp_1"})
    world = await (book << fails(kind)).play()
    assert isinstance(world.observer.records[0].error, error)
    assert not world.observer.attempts


async def test_a_store_that_is_off_knows_nothing() -> None:
    store = NoResponseStore()
    response = StoredResponse("resp_1", 1, None, (), (), b"{}")
    with pytest.raises(StoreFailed):
        await store.put("ann", response)
    assert await store.get("ann", "resp_1") is None
    assert not await store.delete("ann", "resp_1")
    assert await store.history("ann", HistoryQuery()) == History()
    assert await store.history("ann", HistoryQuery("resp_1")) == History(None)
    await store.aclose()

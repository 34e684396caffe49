"""Risk: the list of running requests lacks one, keeps one that is over, shows a state that it is not in, or another
caller's; ending one ends another, ends it twice, or looks like success to its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from behaviour.test_keys_have_their_rights import APIS, World, path_of
from modelmux.accounts.live_requests import EndLive, ListLive, LiveEnd, LiveList, LiveRequest
from modelmux.dialects.registry import Surface
from modelmux.gateway.live_requests import LiveRequests
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from properties.test_registry import REQUESTS, by_surface
from support.asgi import Response, request
from support.fakes import JSON_HEADERS, SSE_HEADERS, FakeReply, event, message_reply, text_events
from support.gateway import MODEL, PATH, ask
from support.http_peers import until


class Paused(FakeReply):
    """A reply that sends its pieces, and goes on once ``go`` is set: with its end, or never."""

    def __init__(self, pieces: list[bytes], rest: list[bytes] | None = None) -> None:
        super().__init__(200, SSE_HEADERS, pieces)
        self.go = asyncio.Event()
        self._rest = rest

    async def _iterate(self) -> AsyncIterator[bytes]:
        async for piece in super()._iterate():
            yield piece
        await self.go.wait()
        for piece in self._rest or ():
            yield piece


START = text_events()[:2]
TEXT = text_events("one", "two")
THINKING = [
    *START,
    event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
]


class Live(World):
    """:ivar live: as a worker answers."""

    def __init__(self, folder: Path, *replies: Any, **settings: Any) -> None:
        super().__init__(folder, *replies, **settings)
        self.live = LiveRequests(self.app.running, 3, "5eed", {})

    def listed(self, **question: Any) -> list[LiveRequest]:
        answer = self.live.answer(ListLive(**question))
        assert isinstance(answer, LiveList)
        assert answer.more == 0
        return answer.requests

    def end_one(self, id: str) -> bool:
        answer = self.live.answer(EndLive(id=id))
        assert isinstance(answer, LiveEnd)
        return answer.ended

    def ask(self, secret: str, stream: bool = True, surface: Surface | None = None, **fields: Any) -> Any:
        body = ask(stream=stream, **fields)
        path = PATH
        if surface is not None:
            path, body = path_of(surface), {**REQUESTS[surface.dialect.name], "stream": stream}
        return asyncio.create_task(request(self.app, "POST", path, body, {"authorization": f"Bearer {secret}"}))

    async def rows(self) -> list[Any]:
        ledger = SqliteLedger(self.path)
        rows = (await ledger.entries(EntryQuery())).entries
        await ledger.aclose()
        return list(rows)


@pytest.mark.parametrize(
    ("pieces", "state", "has_tokens"),
    [([], "waiting", False), (START, "waiting", False), (THINKING, "thinking", None), (TEXT[:5], "streaming", True)],
    ids=["sent", "begun", "thinking", "text"],
)
async def test_a_request_is_in_the_state_that_is_shown(
    tmp_path: Path, pieces: list[bytes], state: str, has_tokens: bool | None
) -> None:
    reply = Paused(pieces, TEXT[len(pieces) :])
    world = Live(tmp_path, reply)
    call = world.ask(await world.new_key(team=None))
    await until(lambda: len(world.upstream.replies) == 1 and reply.read_pieces == len(pieces))
    await until(lambda: world.listed()[0].state == state)
    (one,) = world.listed()
    assert (one.key, one.route, one.model, one.dialect) == ("key_a", MODEL, MODEL, "openai_chat")
    assert one.requested_model == MODEL
    assert one.stream
    assert one.attempts == 1
    assert one.row is not None
    assert one.id.startswith("live_3_5eed_")
    assert world.listed()[0].id == one.id, "it keeps its id"
    if has_tokens is not None:
        assert (one.output_tokens is not None and one.estimated) == has_tokens
        assert (one.first_content is not None) == has_tokens
    reply._rest = text_events()[2:] if state != "streaming" else TEXT[5:]
    call.cancel()
    await asyncio.wait([call])
    assert world.listed() == []
    await world.end()


async def test_one_that_waits_for_a_slot_is_queued_and_one_in_one_piece_waits(tmp_path: Path) -> None:
    held = asyncio.Event()

    class Slow(FakeReply):
        async def _iterate(self) -> AsyncIterator[bytes]:
            await held.wait()
            async for piece in super()._iterate():
                yield piece

    slow = Slow(200, JSON_HEADERS, message_reply()._pieces)
    world = Live(tmp_path, slow, message_reply(), limits={"max_concurrent_requests": 1})
    secret = await world.new_key()
    calls = [world.ask(secret, stream=False)]
    await until(lambda: [one.state for one in world.listed()] == ["waiting"])
    calls.append(world.ask(secret, stream=False))
    await until(lambda: [one.state for one in world.listed()] == ["queued", "waiting"])
    assert [one.attempts for one in world.listed()] == [0, 1], "the newest first"
    assert world.listed()[0].model == MODEL, "it is known which it would be"
    held.set()
    assert [(await one).status for one in calls] == [200, 200]
    assert world.listed() == []
    await world.end()


async def test_filters_choose(tmp_path: Path) -> None:
    world = Live(tmp_path, Paused(TEXT[:5]), Paused([]), server={"api_keys": ["sk-of-the-operator"]})
    calls = [world.ask(await world.new_key())]
    await until(lambda: [one.state for one in world.listed()] == ["streaming"])
    calls.append(world.ask("sk-of-the-operator"))
    await until(lambda: [one.state for one in world.listed()] == ["waiting", "streaming"])

    def states(**question: Any) -> list[str]:
        return [one.state for one in world.listed(**question)]

    assert states(where=(("key", ("key_a",)),)) == ["streaming"]
    assert states(where=(("key", ()),)) == []
    assert states(where=(("person", ("usr_ada",)),)) == states(where=(("team", ("team_top",)),)) == []
    assert states(where=(("model", (MODEL,)),)) == ["waiting", "streaming"]
    assert states(where=(("model", ("claude-other",)),)) == []
    assert states(state="waiting") == ["waiting"]
    assert states(min_age=3600.0) == []
    assert states(id=world.listed()[1].id) == ["streaming"]
    for question, told in ((ListLive(limit=1), 1), (ListLive(limit=1, where=(("model", (MODEL,)),)), 1)):
        answer = world.live.answer(question)
        assert isinstance(answer, LiveList)
        assert (len(answer.requests), answer.more) == (told, 1)
    keys = {one.key for one in world.listed()}
    assert "key_a" in keys
    world.live.keys = {next(iter(keys - {"key_a"})): "static_1"}
    assert {one.key for one in world.listed()} == {"key_a", "static_1"}
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    await world.end()


@by_surface([surface for surface in APIS if surface.calls_upstream and surface.operation != "count_tokens"])
async def test_every_dialect_says_that_it_was_ended(surface: Surface, tmp_path: Path) -> None:
    for stream in (True, False):
        folder = tmp_path / str(stream)
        folder.mkdir()
        world = Live(folder, Paused(TEXT[:5]))
        call = world.ask(await world.new_key(), stream, surface)
        await until(lambda world=world: len(world.upstream.replies) == 1 and world.upstream.replies[0].read_pieces == 5)  # type: ignore[misc]
        (one,) = world.listed()
        assert world.end_one(one.id)
        response: Response = await call
        assert response.complete
        assert "An administrator of this gateway has ended the request." in response.body.decode()
        streams = response.headers["content-type"].startswith("text/event-stream")
        assert response.status == (200 if streams else 500)
        assert streams or response.headers["x-should-retry"] == "false"
        assert world.upstream.replies[0].closed
        assert world.listed() == []
        assert not world.end_one(one.id)
        await world.app.aclose()
        (row,) = await world.rows()
        assert (row.outcome, row.code, row.id) == ("gateway_error", "request_ended", one.row)
        assert row.counts.input == 7, "what the upstream had told is charged"
        await world.store.aclose()


async def test_only_the_one_that_is_named_ends(tmp_path: Path) -> None:
    replies = [Paused(TEXT[:5], TEXT[5:]) for _ in range(2)]
    world = Live(tmp_path, *replies)
    secret = await world.new_key()
    first = world.ask(secret)
    await until(lambda: len(world.listed()) == 1)
    id = world.listed()[0].id
    second = world.ask(secret)
    await until(lambda: [one.state for one in world.listed()] == ["streaming"] * 2)
    others = ["live_3_5eed_99", "live_3_0000_1", "live_2_5eed_1", "live_3_5eed_", "live_3_5eed_²", "live", "req_1", ""]
    assert not any(map(world.end_one, [*others, id.replace("live_3", "live_4")]))
    assert world.end_one(id)
    assert world.end_one(id), "it has not come to that yet"
    assert "has ended the request" in (await first).body.decode()
    assert len(world.listed()) == 1
    for reply in replies:
        reply.go.set()
    assert (await second).events()[-1] is not None
    assert "error" not in (await second).body.decode()
    assert world.listed() == []
    await world.app.aclose()
    assert sorted(row.outcome for row in await world.rows()) == ["gateway_error", "ok"]
    await world.store.aclose()


async def test_one_that_is_still_sending_its_body_is_listed_and_can_be_ended(tmp_path: Path) -> None:
    world = Live(tmp_path)
    secret = await world.new_key()
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {secret}".encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": "POST", "path": PATH, "headers": [*headers, (b"content-length", b"9")],
        "query_string": b"", "client": ("127.0.0.1", 1),
    }  # fmt: skip
    call = asyncio.create_task(world.app(scope, receive, send))
    await until(lambda: [one.state for one in world.listed()] == ["receiving"])
    (one,) = world.listed()
    assert (one.model, one.route, one.requested_model, one.attempts, one.row) == (None, None, None, 0, None)
    assert world.end_one(one.id)
    await call
    assert sent[0]["status"] == 500
    assert world.listed() == []
    await world.end()


async def test_without_accounts_nothing_is_kept(tmp_path: Path) -> None:
    reply = Paused(TEXT[:5], TEXT[5:])
    world = Live(tmp_path, reply, accounts={"enabled": False})
    call = world.ask("none")
    await until(lambda: reply.read_pieces == 5)
    assert len(world.app.running) == 0
    reply.go.set()
    assert (await call).status == 200
    await world.app.aclose()

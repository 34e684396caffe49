"""Risk: what counts is not what happened: a request that never ran counts, one that ran long or moved counts elsewhere,
absurd usage breaks the counting.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.budgets import Selector
from modelmux.accounts.edits import save_key, save_team
from modelmux.accounts.rates import Rates
from modelmux.accounts.records import Team
from support.asgi import request
from support.fakes import SSE_HEADERS, FakeReply, event, message_reply, text_events
from support.gateway import PATH, ask
from support.limited import Forever, LimitedGateway, Make


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    return lambda reply=message_reply, **settings: LimitedGateway(tmp_path, monkeypatch, reply, **settings)


class Late(FakeReply):
    """A stream whose end comes when a test says so. :param usage: what it reports then."""

    def __init__(self, reached: asyncio.Event, go_on: asyncio.Event, usage: dict[str, int]) -> None:
        super().__init__(200, SSE_HEADERS, text_events("Hello"))
        self.reached, self.go_on, self.usage = reached, go_on, usage

    async def _iterate(self) -> Any:
        for piece in self._pieces[:4]:
            yield piece
        self.reached.set()
        await self.go_on.wait()
        yield self._pieces[4]
        yield event("message_delta", delta={"stop_reason": "end_turn"}, usage=self.usage)
        yield self._pieces[-1]


@pytest.mark.parametrize("queued", [0, 5])
async def test_what_the_queue_of_the_gateway_refuses_does_not_count(queued: int, make: Make) -> None:
    """Without room in it, and when clients leave it."""
    reached = asyncio.Queue[None]()
    limits = {"max_concurrent_requests": 1, "max_queued_requests": queued}
    world = make(lambda: Forever(reached=reached), limits=limits)
    await world.begin(Rates(rpm=100, tpm=50_000, concurrent=10))
    first = asyncio.create_task(world.ask())
    await asyncio.wait_for(reached.get(), 100)
    names = [f"key_a\0{rate}\0" for rate in ("rpm", "tpm")]
    before = [world.counted(name) for name in names]
    assert before[0] == 1
    assert before[1] > 0
    leave = asyncio.Event()
    leave.set()
    for _ in range(3):
        answer = await request(world.app, "POST", PATH, ask(), world.headers["a"], disconnect=leave)
        assert answer.status == (0 if queued else 503)
    assert [world.counted(name) for name in names] == before
    assert world.running("key_a\0concurrent\0") == 1
    first.cancel()
    await asyncio.wait([first])
    assert world.running("key_a\0concurrent\0") == 0
    await world.end()


async def test_a_key_that_moves_while_its_request_arrives_is_limited_as_its_new_team_from_then_on(make: Make) -> None:
    world = make()
    await world.begin(team=Rates(rpm=50))
    await world.change(lambda d: save_team(d, Team(id="team_b", name="other", limits=Rates(rpm=2))))
    assert (await world.ask()).status == 200

    async def moving(scope: Any, receive: Any, send: Any) -> None:
        async def body() -> Any:
            record = world.app.directory.current.keys["key_a"]  # type: ignore[union-attr]
            if record.team != "team_b":
                await world.change(lambda d: save_key(d, replace(record, team="team_b")))
            return await receive()

        await world.app(scope, body, send)

    assert (await request(moving, "POST", PATH, ask(), world.headers["a"])).status == 200
    assert [(await world.ask()).status for _ in range(3)][-1] == 429, "its new team may use two a minute"
    await world.end()


async def test_a_long_reply_counts_for_its_key_though_nothing_else_did_meanwhile(make: Make) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    world = make(lambda: Late(reached, go_on, {"input_tokens": 7, "output_tokens": 5_000}))
    await world.begin(Rates(otpm=10_000), limits=Rates(rpm=100), applies_to=Selector(each="end_user"))
    task = asyncio.create_task(world.ask(max_tokens=8_000, stream=True))
    await asyncio.wait_for(reached.wait(), 100)
    world.clock.advance(400.0)
    world.reply = message_reply
    for number in range(20):  # counters that are new: old ones are forgotten
        assert (await world.ask("b", user=f"user-{number}")).status == 200
    go_on.set()
    assert (await task).status == 200
    assert world.counted("key_a\0otpm\0") == 4_000, "1,000 were expected, and counted for their minute"
    await world.end()


@pytest.mark.parametrize("tokens", [2**62, 10**40])
async def test_absurd_usage_fills_a_limit_and_breaks_nothing(tokens: int, make: Make) -> None:
    world = make(lambda: message_reply(usage={"input_tokens": tokens, "output_tokens": tokens}))
    await world.begin(Rates(tpm=10**12, itpm=10**12, otpm=10**12))
    for _ in range(3):
        answer = await world.ask()
        assert answer.status in (200, 429)
        if answer.status == 200:
            assert answer.headers["x-ratelimit-limit-tokens"] == str(10**12)
        world.clock.advance(61.0)
    assert len(world.passed) == 3, "after a minute nothing of it counts"
    await world.end()


@pytest.mark.parametrize("limit", [Rates(rpm=1), Rates(concurrent=1, tpm=10**9)], ids=["rpm", "concurrent"])
async def test_a_large_request_above_a_limit_is_refused_before_it_is_decoded(limit: Rates, make: Make) -> None:
    """Decoding takes a tenth of a second and more, and others wait for it: a limit is there to prevent that."""
    reached = asyncio.Queue[None]()
    world = make(lambda: Forever(reached=reached))
    await world.begin(limit, team=Rates(rpm=100))
    large = b'{"model": "claude-sonnet-4-6", "messages": [' + b"1," * 1_000_000  # which cannot be decoded
    assert (await request(world.app, "POST", PATH, large, world.headers["a"])).status == 400
    first = asyncio.create_task(world.ask())
    await asyncio.wait_for(reached.get(), 100)
    before = world.counted("team_a\0rpm\0")
    refused = await request(world.app, "POST", PATH, large, world.headers["a"])
    assert refused.status == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert "retry-after" in refused.headers
    assert world.counted("team_a\0rpm\0") == before == 1
    assert (await request(world.app, "POST", PATH, large, world.headers["b"])).status == 400
    counted = await request(world.app, "POST", "/v1/messages/count_tokens", large, world.headers["a"])
    assert counted.status == 400, "counting tokens is not limited"
    first.cancel()
    await asyncio.wait([first])
    await world.end()


async def test_a_large_request_counts_once(make: Make) -> None:
    world = make()
    await world.begin(Rates(rpm=2, concurrent=1))
    for status in (200, 200, 429):
        assert (await world.ask(text="word " * 400_000)).status == status
    assert world.counted("key_a\0rpm\0") == 2
    assert world.running("key_a\0concurrent\0") == 0
    await world.end()

"""Risk: a request that was to wait is refused, waits in vain, holds something meanwhile, or more passes than a limit.

With the real store of keys. The clock passes when a test says so; who waits first looks ten times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from pathlib import Path
from typing import Any

import pytest

from modelmux import Config, ConfigError
from modelmux.accounts.edits import save_key
from modelmux.accounts.rates import Rates
from modelmux.accounts.records import Key
from modelmux.app import Gateway
from modelmux.claude.native import NativeRequest
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.gateway.gates import LET_GO
from modelmux.gateway.limits import rate_gate
from modelmux.server.disconnect import DisconnectGuard
from support.asgi import Response, request
from support.fakes import FakeTokens, FakeUpstream, HeldBack, message_reply
from support.gateway import PATH, ask
from support.limited import LimitedGateway, Make

#: Longer than requests of which the limit has to be looked at before they are decoded.
LARGE = "long " * 40_000


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def made(wait: Any = "10s", timeouts: Any = None, **limits: Any) -> LimitedGateway:
        settings = {"limits": {"wait": wait, **limits}, "timeouts": timeouts or {}}
        return LimitedGateway(tmp_path, monkeypatch, message_reply, **settings)

    return made


def key_record(name: str, limits: Rates | None) -> Key:
    return Key(id=f"key_{name}", name=f"laptop-{name}", team="team_a", person="usr_a", limits=limits)


async def waiting(world: LimitedGateway, count: int) -> None:
    async with asyncio.timeout(60):
        while world.app._limits._queue.waiting != count:  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("text", ["Hi", LARGE])
async def test_a_request_waits_for_room_and_no_more_passes_than_the_limit(make: Make, text: str) -> None:
    world = make()
    await world.begin(Rates(rpm=2))
    begin = world.clock.now
    for _ in range(2):
        assert (await world.ask()).status == 200
    world.clock.advance(52.0)
    task = asyncio.create_task(world.ask(text=text))
    await waiting(world, 1)
    world.clock.advance(8.0)
    await asyncio.sleep(0)
    assert world.passed == [begin, begin]
    world.clock.advance(0.5)
    assert (await task).status == 200
    assert world.passed[2] == begin + 60.5
    assert world.counted("key_a\0rpm\0") == 1
    await world.end()


@pytest.mark.parametrize("text", ["Hi", LARGE])
async def test_a_request_that_would_wait_in_vain_is_refused_at_once(make: Make, text: str) -> None:
    world = make()
    await world.begin(Rates(rpm=1))
    assert (await world.ask()).status == 200
    world.clock.advance(50.0)
    refused = await world.ask(text=text)
    assert (refused.status, refused.headers["retry-after"]) == (429, "11")
    await world.end()


async def test_those_before_count(make: Make) -> None:
    """The first one waits for the room that is there next, so the second one would wait for a minute more."""
    world = make()
    await world.begin(Rates(rpm=1))
    assert (await world.ask()).status == 200
    world.clock.advance(55.0)
    first = asyncio.create_task(world.ask())
    await waiting(world, 1)
    assert (await world.ask()).status == 429
    assert (await world.ask("b")).status == 200, "another key"
    world.clock.advance(5.5)
    second = asyncio.create_task(world.ask())
    assert (await first).status == 200
    refused = await second
    assert refused.status == 429
    await world.end()


async def test_a_request_waits_for_the_end_of_another_one(make: Make) -> None:
    world = make()
    await world.begin(Rates(concurrent=1))
    calls = HeldBack(world.upstream)
    first = asyncio.create_task(world.ask())
    await calls.began.wait()
    second = asyncio.create_task(world.ask())
    await waiting(world, 1)
    assert world.app._limiter.running == 1, "who waits holds no slot"
    assert world.running("key_a\0concurrent\0") == 1
    calls.answers.set()
    assert [(await first).status, (await second).status] == [200, 200]
    assert world.running("key_a\0concurrent\0") == 0
    await world.end()


@pytest.mark.parametrize("text", ["Hi", LARGE])
async def test_a_client_that_leaves_waits_no_more(make: Make, text: str) -> None:
    world = make()
    await world.begin(Rates(rpm=1))
    assert (await world.ask()).status == 200
    world.clock.advance(55.0)
    leave = asyncio.Event()
    task = asyncio.create_task(request(world.app, "POST", PATH, ask(text), world.headers["a"], disconnect=leave))
    await waiting(world, 1)
    leave.set()
    await asyncio.wait_for(asyncio.wait([task]), 60)
    assert world.app._limits._queue.waiting == 0
    assert world.counted("key_a\0rpm\0") == 1
    await world.end()


async def test_a_gateway_that_is_about_to_end_lets_nobody_wait(make: Make) -> None:
    world = make()
    await world.begin(Rates(rpm=1))
    assert (await world.ask()).status == 200
    world.clock.advance(55.0)
    task = asyncio.create_task(world.ask())
    await waiting(world, 1)
    world.app.readiness.draining = True
    assert (await task).status == 429
    await world.end()


async def test_a_number_of_requests_wait(make: Make) -> None:
    world = make(max_queued_requests=1)
    await world.begin(Rates(concurrent=1), team=Rates(rpm=100))
    counter = world.app._limits._counters.counter("key_a\0concurrent\0", int(world.clock.now * 2))
    counter.enter()
    first = asyncio.create_task(world.ask())
    await waiting(world, 1)
    assert (await world.ask()).status == 429
    assert (await world.ask("b")).status == 200
    counter.enter(-1)
    assert (await first).status == 200
    await world.end()


async def test_what_another_gate_refuses_makes_room_for_who_waits(make: Make) -> None:
    """Tokens that were expected and not used count no more."""
    world = make()
    await world.begin(Rates(tpm=1_200))
    calls = HeldBack(world.upstream)
    first = asyncio.create_task(world.ask(max_tokens=700))
    await calls.began.wait()
    world.clock.advance(55.0)
    second = asyncio.create_task(world.ask(max_tokens=700))
    await waiting(world, 1)
    calls.answers.set()
    assert [(await first).status, (await second).status] == [200, 200]
    await world.end()


async def running(world: LimitedGateway) -> Any:
    """Another request of the key, of another worker, that takes the only slot."""
    await world.begin(Rates(concurrent=1))
    counter = world.app._limits._counters.counter("key_a\0concurrent\0", int(world.clock.now * 2))
    counter.enter()
    return counter


async def test_one_key_does_not_take_all_places(make: Make) -> None:
    world = make(max_queued_requests=4)
    counter = await running(world)
    await world.change(lambda d: save_key(d, key_record("b", Rates(rpm=1))))
    assert (await world.ask("b")).status == 200
    tasks = [asyncio.create_task(world.ask()) for _ in range(4)]
    await waiting(world, 4)
    world.clock.advance(50.0)
    await asyncio.gather(*tasks)
    assert world.app._limits._queue.waiting == 0
    tasks = [asyncio.create_task(world.ask()) for _ in range(4)]
    await waiting(world, 4)
    world.clock.advance(5.0)
    other = asyncio.create_task(world.ask("b"))
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result().status for task in tasks if task.done()] == [429]
    await waiting(world, 4)
    world.clock.advance(7.0)
    assert (await other).status == 200
    await asyncio.gather(*tasks)
    counter.enter(-1)
    await world.end()


async def test_those_that_wait_leave_memory_for_other_keys(make: Make) -> None:
    world = make(body_memory="4MiB")
    counter, text = await running(world), "x " * 450_000
    tasks = [asyncio.create_task(world.ask(text=text)) for _ in range(2)]
    await waiting(world, 2)
    assert (await world.ask(text=text)).status == 429, "they have nearly half of it"
    assert (await world.ask("b", text=text)).status == 200
    world.clock.advance(11.0)
    assert [task.status for task in await asyncio.gather(*tasks)] == [429, 429]
    counter.enter(-1)
    await world.end()


async def test_a_small_request_waits_behind_a_large_one(make: Make) -> None:
    """By what is expected there is no room for it after the large one, which is rarely true."""
    world = make("30s")
    await world.begin(None, team=Rates(tpm=20_000))
    tick = int(world.clock.now * 2)
    world.app._limits._counters.counter("team_a\0tpm\0", tick).add(tick, 6_000)
    world.clock.advance(40.0)
    large = asyncio.create_task(world.ask("a", text="ab " * 20_000, max_tokens=10))
    await waiting(world, 1)
    small = asyncio.create_task(world.ask("b", text="ab " * 4_000, max_tokens=10))
    await waiting(world, 2)
    world.clock.advance(20.5)
    assert [(await large).status, (await small).status] == [200, 200]
    await world.end()


async def test_who_has_no_time_left_for_the_wait_of_the_first_one_is_told_when_that_ends(make: Make) -> None:
    world = make("30s")
    await world.begin(None, team=Rates(tpm=20_000))
    tick = int(world.clock.now * 2)
    world.app._limits._counters.counter("team_a\0tpm\0", tick).add(tick, 6_000)
    world.clock.advance(40.0)
    large = asyncio.create_task(world.ask("a", text="ab " * 20_000, max_tokens=10))
    await waiting(world, 1)
    small = await world.ask("b", text="ab " * 4_000, max_tokens=10, headers={"x-modelmux-timeout": "10"})
    assert (small.status, small.headers["retry-after"]) == (429, "21")
    world.clock.advance(21.0)
    assert (await large).status == 200
    await world.end()


@pytest.mark.parametrize("text", ["Hi", LARGE])
async def test_a_request_waits_no_longer_than_its_client(make: Make, text: str) -> None:
    world = make()
    await world.begin(Rates(rpm=1))
    assert (await world.ask()).status == 200
    world.clock.advance(55.0)
    refused = await world.ask(text=text, headers={"x-modelmux-timeout": "3"})
    assert (refused.status, refused.headers["retry-after"]) == (429, "6"), "and not 504"
    await world.end()


@pytest.mark.parametrize("text", ["Hi", LARGE])
async def test_a_request_waits_no_longer_than_it_may_take(make: Make, text: str) -> None:
    world = make(timeouts={"total": "3s"})
    await world.begin(Rates(rpm=1))
    assert (await world.ask()).status == 200
    world.clock.advance(55.0)
    assert (await world.ask(text=text)).status == 429
    await world.end()


async def test_a_large_request_waits_once_for_so_long(make: Make) -> None:
    """Before it is decoded and after that together. Another one takes the room meanwhile."""
    world = make("10s")
    counter = await running(world)
    begin, queue = world.clock.now, world.app._limits._queue
    ends: list[str] = []

    def on_wait(_seconds: float, result: str, _reason: None) -> None:
        ends.append(result)
        if result == "admitted":
            counter.enter()

    queue._on_wait = on_wait
    task = asyncio.create_task(world.ask(text=LARGE))
    await waiting(world, 1)
    world.clock.advance(8.0)
    counter.enter(-1)
    while not ends:  # noqa: ASYNC110 - nobody tells it
        await asyncio.sleep(0.001)
    await waiting(world, 1)
    world.clock.advance(2.1)
    assert (await asyncio.wait_for(task, 60)).status == 429
    assert (ends, world.clock.now - begin < 11.0) == (["admitted", "rejected"], True)
    counter.enter(-1)
    await world.end()


@pytest.mark.parametrize("text", ["Hi", LARGE])
async def test_a_limit_that_is_raised_makes_room_for_who_waits(make: Make, text: str) -> None:
    world = make("30s")
    await world.begin(Rates(rpm=1))
    assert (await world.ask()).status == 200
    world.clock.advance(40.0)
    task = asyncio.create_task(world.ask(text=text))
    await waiting(world, 1)
    await world.change(lambda d: save_key(d, key_record("a", Rates(rpm=1_000))))
    assert (await asyncio.wait_for(task, 60)).status == 200
    await world.end()


async def test_a_limit_that_is_gone_makes_room_for_who_waits(make: Make) -> None:
    world = make("30s")
    await world.begin(Rates(rpm=1))
    assert (await world.ask()).status == 200
    world.clock.advance(40.0)
    task = asyncio.create_task(world.ask())
    await waiting(world, 1)
    await world.change(lambda d: save_key(d, key_record("a", None)))
    assert (await asyncio.wait_for(task, 60)).status == 200
    await world.end()


async def large_and_waiting(world: LimitedGateway, pieces: int) -> asyncio.Task[Response]:
    """A native request that waits for a limit of tokens."""
    await world.begin(Rates(tpm=1_000_000))
    tick = int(world.clock.now * 2)
    world.app._limits._counters.counter("key_a\0tpm\0", tick).add(tick, 1_000_000)
    world.clock.advance(55.0)
    content = [{"type": "text", "text": "ab " * (100_000 // pieces)} for _ in range(pieces)]
    body = {"model": "claude-opus-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": content}]}
    task = asyncio.create_task(request(world.app, "POST", "/v1/messages", body, world.headers["a"]))
    await waiting(world, 1)
    return task


@pytest.mark.parametrize("pieces", [5, 2_000], ids=["at once", "in the thread"])
async def test_a_large_request_waits_without_what_was_decoded_of_it(make: Make, pieces: int) -> None:
    world = make()
    task = await large_and_waiting(world, pieces)
    gc.collect()  # those of earlier tests
    held = [one for one in gc.get_objects() if isinstance(one, NativeRequest) and b"ab ab " in one.body]
    async with asyncio.timeout(60):
        while any(one.content for one in held):  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.001)
    assert held
    world.clock.advance(6.0)
    assert (await task).status == 200
    assert len(world.upstream.calls[0].body) > LET_GO
    await world.end()


async def test_a_request_that_cannot_be_read_again_counts_nowhere(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_native: NativeRequest) -> None:
        raise MemoryError

    world = make()
    task = await large_and_waiting(world, 5)
    monkeypatch.setattr(rate_gate, "read_again", fails)
    world.clock.advance(6.0)
    assert (await task).status == 500
    assert (world.counted("key_a\0tpm\0"), world.passed) == (0, [])
    await world.end()


async def test_a_client_that_has_left_before_the_wait_leaves_nothing_behind(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_self: DisconnectGuard) -> None:
        raise ClientDisconnected

    world = make()
    await world.begin(Rates(rpm=1))
    monkeypatch.setattr(DisconnectGuard, "__aenter__", gone)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with contextlib.suppress(ClientDisconnected, AssertionError):
            await world.ask(text=LARGE)
        gc.collect()
    assert not [one for one in told if "never awaited" in str(one.message)]
    monkeypatch.undo()
    await world.end()


async def test_without_the_setting_a_request_is_refused_at_once(make: Make) -> None:
    world = make(wait=0)
    await world.begin(Rates(rpm=1))
    assert (await world.ask()).status == 200
    world.clock.advance(60.0)
    assert (await world.ask()).status == 429
    await world.end()


def test_a_wait_for_limits_that_there_are_not_is_an_error() -> None:
    config = Config.from_dict({"vertex": {"project": "p", "location": "global"}, "limits": {"wait": "5s"}})
    with pytest.raises(ConfigError, match=r"limits\.wait.*no effect while accounts\.enabled is false"):
        Gateway(config, upstream=FakeUpstream([]), tokens=FakeTokens())

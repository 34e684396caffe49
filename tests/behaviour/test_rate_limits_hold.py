"""Risk: more passes than a limit in some minute, or less than it has room for; a slot of a request that ended stays
taken; what a refusal says is not what the gateway goes by.

With the real store of keys. The upstream is scripted; the clock passes when a test says so.
"""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelmux.accounts.budgets import Selector
from modelmux.accounts.edits import save_key
from modelmux.accounts.rates import Rates
from modelmux.dialects.registry import SURFACES, Surface
from properties.test_registry import REQUESTS, by_surface, path_of
from support.asgi import request
from support.fakes import error_reply, message_reply, text_events
from support.gateway import PATH, ask
from support.limited import Forever, LimitedGateway, Make

GENERATING = [one for one in SURFACES if one.operation == "generate"]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    return lambda reply=message_reply: LimitedGateway(tmp_path, monkeypatch, reply)


async def test_a44_a_run_of_ten_minutes_never_passes_the_limit_in_any_minute(make: Make) -> None:
    world = make()
    await world.begin(Rates(rpm=7))
    refused_while_below = 0
    for number in range(400):
        world.clock.advance((0.0, 0.2, 1.1, 4.9, 0.0, 2.3)[number % 6])
        now = world.clock.now
        before = sum(at > now - 60.5 for at in world.passed)
        response = await world.ask()
        refused_while_below += response.status == 429 and before < 7
    assert refused_while_below == 0
    assert len(world.passed) > 60
    for first in world.passed:
        assert sum(first <= at < first + 60 for at in world.passed) <= 7
    await world.end()


async def test_a44_a_refusal_tells_when_there_is_room_and_is_right(make: Make) -> None:
    world = make()
    await world.begin(Rates(rpm=2))
    await world.ask()
    world.clock.advance(20.25)
    await world.ask()
    world.clock.advance(10.0)
    refused = await world.ask()
    assert refused.status == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert error["message"] == (
        "The API key 'laptop-a' may use 2 requests a minute; 2 count in the last minute. "
        "Try again in 31 s, or ask boss@example.com for more."
    )
    assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("31", "30250")
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"] == "51s"
    world.clock.advance(30.24)
    assert (await world.ask()).status == 429
    world.clock.advance(0.01)
    assert (await world.ask()).status == 200
    assert len(world.passed) == 3
    await world.end()


@by_surface(GENERATING)
async def test_every_dialect_refuses_in_its_own_words(surface: Surface, make: Make) -> None:
    world = make()
    await world.begin(Rates(rpm=1, tpm=100_000))
    body = dict(REQUESTS[surface.dialect.name])
    answers = [await request(world.app, "POST", path_of(surface), body, world.headers["a"]) for _ in range(2)]
    assert [one.status for one in answers] == [200, 429]
    is_anthropic = surface.dialect.name in ("anthropic_messages", "vertex_raw")
    assert answers[1].json()["error"]["type"] == "rate_limit_error"
    for answer, left in zip(answers, ("0", "0"), strict=True):
        if is_anthropic:
            assert answer.headers["anthropic-ratelimit-requests-limit"] == "1"
            assert answer.headers["anthropic-ratelimit-requests-remaining"] == left
            assert answer.headers["anthropic-ratelimit-requests-reset"] == "2026-12-01T12:01:01Z"
            assert answer.headers["anthropic-ratelimit-tokens-limit"] == "100000"
        else:
            assert answer.headers["x-ratelimit-limit-requests"] == "1"
            assert answer.headers["x-ratelimit-remaining-requests"] == left
            assert answer.headers["x-ratelimit-reset-requests"] == "1m1s"
            assert 0 < int(answer.headers["x-ratelimit-remaining-tokens"]) <= 100_000
    assert len(world.passed) == 1
    await world.end()


async def test_a_key_without_limits_has_no_headers_of_them(make: Make) -> None:
    world = make()
    await world.begin(Rates(rpm=1))
    answer = await world.ask("b")
    assert answer.status == 200
    assert not [name for name in answer.headers if "ratelimit" in name]
    await world.end()


async def test_all_limits_of_the_chain_count_and_a_refused_request_takes_none(
    make: Make,
) -> None:
    world = make()
    await world.begin(Rates(rpm=3), team=Rates(rpm=4), person=Rates(rpm=100))
    assert [(await world.ask("a")).status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert world.counted("team_a\0rpm\0") == 3, "what the key's limit refused is not counted for its team"
    assert [(await world.ask("b")).status for _ in range(2)] == [200, 429]
    assert "The team 'data' may use 4 requests a minute" in (await world.ask("b")).json()["error"]["message"]
    await world.end()


@pytest.mark.parametrize(
    ("selector", "statuses"),
    [
        (Selector(), [200, 429]), (Selector(model="claude-sonnet-*"), [200, 429]),
        (Selector(model="claude-opus-*"), [200, 200]), (Selector(each="key"), [200, 200]),
        (Selector(each="person"), [200, 429]), (Selector(tag="app=chat"), [200, 429]),
        (Selector(each="end_user"), [200, 200]),
    ],
)  # fmt: skip
async def test_a_limit_selects_as_budgets_do(selector: Selector, statuses: list[int], make: Make) -> None:
    """One request of each of two keys, of two end users."""
    world = make()
    await world.begin(limits=Rates(rpm=1), applies_to=selector)
    tagged = {"x-modelmux-tags": "app=chat"}
    answers = [await world.ask(key, user=f"user-{key}", headers=tagged) for key in ("a", "b")]
    assert [one.status for one in answers] == statuses
    if statuses[1] == 429:
        assert answers[1].json()["error"]["message"].startswith("The limit 'shared' allows ")
    if selector.each == "end_user":
        assert (await world.ask("b", user="user-a")).status == 429
    await world.end()


async def test_tokens_are_expected_and_then_corrected(make: Make) -> None:
    usage = {"input_tokens": 40, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 900}
    world = make(lambda: message_reply(usage=usage | {"output_tokens": 30}))
    await world.begin(Rates(tpm=1_000, itpm=500, otpm=600))
    first = await world.ask()
    assert (first.status, first.headers["x-ratelimit-limit-tokens"]) == (200, "1000")
    assert world.counted("key_a\0tpm\0") == 80, "what was read from the cache does not count"
    assert (world.counted("key_a\0itpm\0"), world.counted("key_a\0otpm\0")) == (50, 30)
    refused = await world.ask("a", text="word " * 300)
    message = refused.json()["error"]["message"]
    assert refused.status == 429
    assert "500 tokens of input a minute, without what is read from the cache; 50 count" in message
    await world.end()


async def test_a_reply_is_expected_to_be_as_long_as_usual(make: Make) -> None:
    world = make()
    await world.begin(Rates(otpm=2_000))
    reached = asyncio.Queue[None]()
    for _ in range(3):
        assert (await world.ask(max_tokens=64_000)).status == 200
    world.reply = lambda: Forever(text_events("x")[0], reached=reached)
    task = asyncio.create_task(world.ask(max_tokens=64_000, stream=True))
    await asyncio.wait_for(reached.get(), 100)
    assert world.counted("key_a\0otpm\0") == 3 * 3 + 3, "of three replies the usual one has three tokens"
    task.cancel()
    await asyncio.wait([task])
    await world.end()


async def test_replies_without_output_do_not_end_the_counting(make: Make) -> None:
    world = make(lambda: message_reply(usage={"input_tokens": 5, "output_tokens": 0}))
    await world.begin(Rates(otpm=100))
    for _ in range(3):
        await world.ask()
    world.reply = lambda: message_reply(usage={"input_tokens": 5, "output_tokens": 70})
    assert [(await world.ask()).status for _ in range(3)] == [200, 200, 429]
    assert world.counted("key_a\0otpm\0") == 140, "what was not expected counts, too"
    await world.end()


async def test_a_request_that_failed_gives_its_tokens_back(make: Make) -> None:
    world = make(lambda: error_reply(400, {"error": {"type": "invalid_request_error", "message": "no"}}))
    await world.begin(Rates(tpm=5_000))
    assert (await world.ask()).status == 400
    assert world.counted("key_a\0tpm\0") == 0
    await world.end()


async def test_a_request_above_the_whole_limit_may_be_alone(make: Make) -> None:
    world = make(lambda: message_reply(usage={"input_tokens": 300, "output_tokens": 3}))
    await world.begin(Rates(itpm=100))
    assert (await world.ask(text="word " * 500)).status == 200
    refused = await world.ask(text="word " * 500)
    assert refused.status == 429
    world.clock.advance(float(refused.headers["retry-after-ms"]) / 1000)
    assert (await world.ask(text="word " * 500)).status == 200
    await world.end()


async def test_a46_slots_are_free_after_a_thousand_aborts(make: Make) -> None:
    """Clients leave before the first byte, and in the middle of a stream."""
    numbers, reached = itertools.count(), asyncio.Queue[None]()

    def reply() -> Forever:
        return Forever(*text_events("Hel")[: 4 * (next(numbers) % 2)], reached=reached)

    world = make(reply)
    await world.begin(Rates(concurrent=50))
    for _ in range(20):
        leave = asyncio.Event()
        tasks = [
            asyncio.create_task(
                request(world.app, "POST", PATH, ask(stream=number % 3 > 0), world.headers["a"], disconnect=leave)
            )
            for number in range(50)
        ]
        for _ in range(50):
            await asyncio.wait_for(reached.get(), 100)
        assert world.running("key_a\0concurrent\0") == 50
        refused = await world.ask()
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["error"]["message"] == (
            "The API key 'laptop-a' may use 50 requests at once; 50 are running. "
            "Try again when one of them has ended, or ask boss@example.com for more."
        )
        leave.set()
        await asyncio.wait(tasks)
        assert world.running("key_a\0concurrent\0") == 0
    world.reply = message_reply
    assert (await world.ask()).status == 200
    await world.end()


async def test_a_key_at_its_limit_delays_no_other(make: Make) -> None:
    world = make()
    await world.begin(Rates(rpm=1))
    await world.ask("a")
    storm = [asyncio.create_task(world.ask("a")) for _ in range(200)]
    other = await world.ask("b")
    assert other.status == 200
    assert {(await one).status for one in storm} == {429}
    assert len(world.passed) == 2
    await world.end()


async def test_a_limit_that_changes_applies_to_what_counts_already(make: Make) -> None:
    world = make()
    await world.begin(Rates(rpm=5))
    for _ in range(3):
        await world.ask()
    record = world.app.directory.current.keys["key_a"]  # type: ignore[union-attr]
    for limit, status in ((3, 429), (4, 200)):
        changed = replace(record, limits=Rates(rpm=limit))
        await world.change(lambda d, changed=changed: save_key(d, changed))  # type: ignore[misc]
        assert (await world.ask()).status == status
    await world.end()

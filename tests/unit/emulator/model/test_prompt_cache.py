"""Cache reads and writes as the service bills them: prefixes, minimum, lookback, lifetimes."""

from __future__ import annotations

from typing import Any

from modelmux.emulator import Emulator, EmulatorSettings, create_emulator
from support.clock import Clock
from support.emulator_calls import MODEL, ask, assistant, body_of, text, tool, user

EPHEMERAL = {"type": "ephemeral"}
LONG = "The rules of the house are these. " * 200  # about 1700 tokens, above the minimum of 1024


def emulator(clock: Clock | None = None) -> Emulator:
    return create_emulator(EmulatorSettings(tokens_per_second=0), clock=clock or Clock(1_000_000.0))


async def usage(app: Emulator, body: dict[str, Any], model: str = MODEL, **where: Any) -> tuple[int, int, int]:
    """(read, written, uncached) of one request."""
    answer = await ask(app, body, model=model, **where)
    assert answer.status == 200, answer.body
    counts = answer.json["usage"]
    return counts["cache_read_input_tokens"], counts["cache_creation_input_tokens"], counts["input_tokens"]


def marked(words: str = LONG, **control: Any) -> list[dict[str, Any]]:
    return [text(words, cache_control={**EPHEMERAL, **control})]


async def test_a_repeated_prefix_is_read_the_second_time() -> None:
    app = emulator()
    first = await usage(app, body_of("Hi", system=marked()))
    second = await usage(app, body_of("Something else entirely", system=marked()))
    assert first[0] == 0
    assert first[1] > 1024
    assert second[0] == first[1]
    assert second[1] == 0
    assert second[2] < 20


async def test_the_sum_is_the_same_with_and_without_caching() -> None:
    app = emulator()
    plain = await usage(app, body_of("Hi", system=LONG))
    written = await usage(app, body_of("Hi", system=marked()))
    read = await usage(app, body_of("Hi", system=marked()))
    assert sum(plain) == sum(written) == sum(read)


async def test_a_growing_conversation_reads_what_the_last_turn_wrote() -> None:
    app = emulator()
    turns = [user(text(LONG, cache_control=EPHEMERAL))]
    _, wrote, _ = await usage(app, body_of(messages=turns))
    turns = [user(text(LONG)), assistant("ok"), user(text("More. " * 200, cache_control=EPHEMERAL))]
    read, more, _ = await usage(app, body_of(messages=turns))
    assert read == wrote
    assert more > 200


async def test_a_changed_prefix_is_not_read() -> None:
    app = emulator()
    await usage(app, body_of("Hi", system=marked(), tools=[tool("a")]))
    assert (await usage(app, body_of("Hi", system=marked(), tools=[tool("b")])))[0] == 0
    assert (await usage(app, body_of("Hi", system=marked(LONG + "!"), tools=[tool("a")])))[0] == 0


async def test_a_prefix_below_the_minimum_is_silently_not_cached() -> None:
    app = emulator()
    for _ in range(2):
        assert (await usage(app, body_of("Hi", system=marked("Short."))))[:2] == (0, 0)
    assert (await usage(app, body_of("Hi", system=marked()), model="claude-opus-4-6"))[:2] == (0, 0)


async def test_entries_live_five_minutes_and_longer_when_read() -> None:
    clock = Clock(1_000_000.0)
    app = emulator(clock)
    await usage(app, body_of("Hi", system=marked()))
    clock.now += 290
    assert (await usage(app, body_of("Hi", system=marked())))[0] > 0
    clock.now += 290
    assert (await usage(app, body_of("Hi", system=marked())))[0] > 0
    clock.now += 310
    assert (await usage(app, body_of("Hi", system=marked())))[0] == 0


async def test_the_long_lifetime_is_counted_separately_and_lasts_an_hour() -> None:
    clock = Clock(1_000_000.0)
    app = emulator(clock)
    answer = await ask(app, body_of("Hi", system=marked(ttl="1h")))
    creation = answer.json["usage"]["cache_creation"]
    assert creation["ephemeral_1h_input_tokens"] > 1024
    assert creation["ephemeral_5m_input_tokens"] == 0
    clock.now += 3500
    assert (await usage(app, body_of("Hi", system=marked(ttl="1h"))))[0] > 0


async def test_the_lookback_ends_after_twenty_blocks() -> None:
    for between, hit in ((15, True), (25, False)):
        app = emulator()
        await usage(app, body_of([text(LONG, cache_control=EPHEMERAL)]))
        more = [text(f"block {n}") for n in range(between)]
        read, _, _ = await usage(app, body_of([text(LONG), *more, text("end", cache_control=EPHEMERAL)]))
        assert (read > 0) is hit, between


async def test_automatic_caching_marks_the_last_block() -> None:
    app = emulator()
    _, wrote, _ = await usage(app, body_of(LONG, cache_control=EPHEMERAL))
    messages = [user(LONG), assistant("ok"), user("more")]
    read, _, _ = await usage(app, body_of(messages=messages, cache_control=EPHEMERAL))
    assert read == wrote > 0


async def test_models_and_locations_have_caches_of_their_own() -> None:
    app = emulator()
    await usage(app, body_of("Hi", system=marked()))
    assert (await usage(app, body_of("Hi", system=marked()), model="claude-opus-4-1@20250805"))[0] == 0
    assert (await usage(app, body_of("Hi", system=marked()), location="eu"))[0] == 0
    assert (await usage(app, body_of("Hi", system=marked())))[0] > 0


async def test_another_thinking_mode_keeps_system_but_not_messages() -> None:
    app = emulator()
    body = body_of([text(LONG, cache_control=EPHEMERAL)], system=marked(), max_tokens=3000)
    await usage(app, body)
    both = await usage(app, body)
    other = await usage(app, {**body, "thinking": {"type": "enabled", "budget_tokens": 1024}})
    assert 0 < other[0] < both[0]


async def test_streams_report_the_cache_at_the_start() -> None:
    app = emulator()
    await usage(app, body_of("Hi", system=marked()))
    answer = await ask(app, body_of("Hi", system=marked(), stream=True))
    start = answer.events[0][1]["message"]["usage"]
    end = answer.events[-2][1]["usage"]
    assert start["cache_read_input_tokens"] == end["cache_read_input_tokens"] > 0


async def test_reset_forgets_the_caches() -> None:
    app = emulator()
    await usage(app, body_of("Hi", system=marked()))
    app.reset()
    assert (await usage(app, body_of("Hi", system=marked())))[0] == 0

"""Risk: after a fallback a conversation changes its model with every turn, or never returns to the first one; a model
gets the thinking of another one, or the second half of its reply."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.app import Gateway
from support.blocks import USER, assistant, reply_of, text, thinking_block, tool, tool_call, tool_result, user
from support.clock import Clock, use_runtime
from support.models import HAIKU, OPUS, SMART, SONNET, ModelUpstream, call, not_found, overloaded, refusal, serve

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    use_runtime(monkeypatch, now=lambda: 1_800_000_000.0, clock=clock, sleep=clock.sleep, jitter=lambda: 0.5)
    return clock


# thinking


def turn(blocks: list[Any], id: str = "toolu_1") -> list[Any]:
    return [assistant(tool_calls=[tool_call(id)], thinking_blocks=blocks), tool_result(id)]


async def test_thinking_of_another_model_is_dropped_with_a_notice() -> None:
    upstream = ModelUpstream(sonnet=[overloaded()])
    fields: Any = {"messages": [USER, *turn([thinking_block()])], "tools": [tool()], "reasoning_effort": "low"}
    response = await call(serve(upstream), **fields)
    assert response.headers["x-modelmux-model"] == HAIKU
    assert response.headers["x-modelmux-notices"] == "dropped=messages"
    kinds = [block["type"] for block in upstream.body()["messages"][1]["content"]]
    assert kinds == ["tool_use"]
    assert thinking_block() in upstream.body(0)["messages"][1]["content"]


async def test_each_model_gets_its_own_thinking_in_a_conversation_of_both() -> None:
    """Sonnet thinks and calls a tool, then Haiku; then it is Haiku's turn again, and after that Sonnet's."""
    mine, its = thinking_block("Sonnet's", "c29ubmV0"), thinking_block("Haiku's", "aGFpa3U=")
    call_1 = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
    call_2 = call_1 | {"id": "toolu_2"}
    upstream = ModelUpstream(sonnet=[reply_of(mine, call_1), overloaded()], haiku=[reply_of(its, call_2)])
    app = serve(upstream)
    fields: Any = {"tools": [tool()], "reasoning_effort": "low"}

    def sent() -> list[Any]:
        turns = [message["content"] for message in upstream.body()["messages"] if message["role"] == "assistant"]
        return [block for content in turns for block in content if block["type"] == "thinking"]

    messages = [USER]
    assert (await call(app, messages=messages, **fields)).headers["x-modelmux-model"] == SONNET
    messages += turn([mine], "toolu_1")
    assert (await call(app, messages=messages, **fields)).headers["x-modelmux-model"] == HAIKU
    assert sent() == []
    messages += turn([its], "toolu_2")
    assert (await call(app, messages=messages, **fields)).headers["x-modelmux-model"] == HAIKU
    assert sent() == [its]
    upstream.scripts["haiku"] = [overloaded()]
    assert (await call(app, messages=messages, **fields)).headers["x-modelmux-model"] == SONNET
    assert sent() == [mine]


# conversations


def conversation(turns: int, first: str = "Hello there") -> list[Any]:
    return [user(first), *[message for n in range(turns) for message in (assistant(f"Answer {n}"), user("And?"))]]


async def answered_by(app: Gateway, turns: int, first: str = "Hello there", **fields: Any) -> str:
    return (await call(app, messages=conversation(turns, first), **fields)).headers["x-modelmux-model"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_stays_with_the_model_that_answered_for_an_hour(clock: Clock, stream: bool) -> None:
    upstream = ModelUpstream(sonnet=[overloaded()])
    app = serve(upstream)
    assert await answered_by(app, 1, stream=stream) == HAIKU
    assert upstream.called() == [f"{SONNET}@eu", f"{HAIKU}@global"]
    for turns in (2, 3, 4):
        clock.now += 3599
        assert await answered_by(app, turns, stream=stream) == HAIKU
    assert upstream.called() == [f"{HAIKU}@global"] * 3
    assert await answered_by(app, 1, "Something else", stream=stream) == SONNET, "others are not affected"
    clock.now += 3600
    assert await answered_by(app, 5, stream=stream) == SONNET
    assert await answered_by(app, 6, stream=stream) == SONNET


async def test_a_conversation_returns_when_the_other_model_fails(clock: Clock) -> None:
    upstream = ModelUpstream(sonnet=[overloaded()])
    app = serve(upstream)
    assert await answered_by(app, 1) == HAIKU
    upstream.scripts["haiku"] = [overloaded()]
    assert await answered_by(app, 2) == SONNET
    assert await answered_by(app, 3) == SONNET
    assert upstream.called()[2:] == [f"{HAIKU}@global", f"{SONNET}@eu", f"{SONNET}@eu"]


async def test_a_conversation_that_outgrows_the_other_model_returns(clock: Clock) -> None:
    upstream = ModelUpstream(sonnet=[overloaded()])
    app = serve(upstream)
    assert await answered_by(app, 1) == HAIKU
    upstream.scripts["haiku"] = [refusal("prompt is too long: 1 > 0")]
    assert await answered_by(app, 2) == SONNET


async def test_a_new_conversation_that_begins_alike_begins_with_the_first_model(clock: Clock) -> None:
    """Many conversations begin with the same message: one that fell back must not take all others along."""
    upstream = ModelUpstream(sonnet=[overloaded()])
    app = serve(upstream)
    assert await answered_by(app, 0) == HAIKU
    assert await answered_by(app, 1) == HAIKU
    assert await answered_by(app, 0) == SONNET


async def test_callers_and_names_do_not_share_what_a_conversation_stays_with(clock: Clock) -> None:
    models: list[dict[str, Any]] = [SMART, {"name": "other", "model": OPUS, "fallbacks": [HAIKU]}]
    upstream = ModelUpstream(sonnet=[overloaded()])
    app = serve(upstream, *models, server={"api_keys": ["key-of-one", "key-of-two"]})
    one, two = ({"authorization": f"Bearer key-of-{name}"} for name in ("one", "two"))
    messages = conversation(1)
    assert (await call(app, one, messages=messages)).headers["x-modelmux-model"] == HAIKU
    assert (await call(app, one, messages=messages)).headers["x-modelmux-model"] == HAIKU
    assert (await call(app, two, messages=messages)).headers["x-modelmux-model"] == SONNET
    assert (await call(app, one, messages=messages, model="other")).headers["x-modelmux-model"] == OPUS


async def test_either_model_of_the_same_order_may_return_its_own_thinking() -> None:
    """Only a model that takes over a conversation from another one does not get the thinking."""
    deployments = [{}, {"model": "claude-opus-4-6"}]
    upstream = ModelUpstream()
    app = serve(upstream, {"name": "smart", "model": SONNET, "deployments": deployments})
    used = set()
    for number in range(20):
        messages = [user(f"Question {number}"), assistant("So?", thinking_blocks=[thinking_block()]), USER]
        response = await call(app, messages=messages, reasoning_effort="low")
        used.add(response.headers["x-modelmux-model"])
        assert thinking_block() in upstream.body()["messages"][1]["content"]
    assert used == {SONNET, "claude-opus-4-6"}


# paused replies


SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_paused_reply_is_continued_by_the_model_that_paused(stream: bool) -> None:
    paused = reply_of(text("Let me see. "), SEARCH, FOUND, stop_reason="pause_turn", stream=stream)
    upstream = ModelUpstream(sonnet=[overloaded()], haiku=[paused, overloaded()])
    response = await call(serve(upstream), stream=stream, web_search_options={})
    assert response.status == 200
    assert upstream.called() == [f"{SONNET}@eu", *[f"{HAIKU}@global"] * 3]
    if not stream:
        assert response.json()["choices"][0]["message"]["content"] == f"Let me see. {HAIKU}"


async def test_a_paused_reply_that_its_model_does_not_continue_fails() -> None:
    paused = reply_of(text("Let me see. "), SEARCH, FOUND, stop_reason="pause_turn")
    upstream = ModelUpstream(sonnet=[overloaded()], haiku=[paused, not_found()])
    response = await call(serve(upstream), web_search_options={})
    assert (response.status, response.json()["error"]["code"]) == (404, "model_not_found")
    assert upstream.called() == [f"{SONNET}@eu", *[f"{HAIKU}@global"] * 2]

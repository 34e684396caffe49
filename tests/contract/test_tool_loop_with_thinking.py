"""A plain OpenAI client, which can send no thinking back, in a ten-turn tool loop with reasoning on, for every model
of the catalog, against the emulator, which enforces the real rules about signatures and prefixes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.catalog import builtin
from modelmux.emulator import EmulatorSettings, RunningEmulator
from support.asgi import request
from support.clock import current_runtime
from support.gateway import PATH

MODELS = [card.id for card in builtin().cards]
STEP = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CITIES = ["Paris", "London", "Rome", "Berlin", "Madrid", "Vienna", "Lisbon", "Oslo", "Prague", "Warsaw"]


@pytest.fixture
async def world() -> AsyncIterator[tuple[Gateway, RunningEmulator]]:
    async with RunningEmulator(EmulatorSettings(tokens_per_second=0)) as emulator:
        vertex: dict[str, Any] = {"project": "p", "location": "global", "base_url": emulator.base_url}
        vertex["models"] = [{"name": model, "model": model} for model in MODELS]  # the retired ones too
        app = Gateway(
            Config.from_dict({"vertex": vertex, "auth": {"access_token": "t"}}),
            environment={},
            runtime=current_runtime(),
        )
        yield app, emulator
        await app.aclose()


async def turn(app: Gateway, model: str, messages: list[Any], *, stream: bool, **fields: Any) -> dict[str, Any]:
    """One request; returns what a plain client keeps of the answer: role, content and tool calls."""
    body = {"model": model, "messages": messages, "tools": [STEP], "max_tokens": 4000, "stream": stream, **fields}
    response = await request(app, "POST", PATH, body)
    assert response.status == 200, response.body
    if not stream:
        message = response.json()["choices"][0]["message"]
        return {key: message[key] for key in ("role", "content", "tool_calls") if key in message}
    *chunks, done = response.events()
    assert done == "[DONE]", chunks[-1]
    content, calls = "", list[Any]()
    for delta in (choice["delta"] for chunk in chunks for choice in chunk["choices"]):
        content += delta.get("content") or ""
        for part in delta.get("tool_calls", ()):
            if "id" in part:
                calls.append({"id": part["id"], "type": "function", "function": {**part["function"]}})
            else:
                calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    return {"role": "assistant", "content": content or None} | ({"tool_calls": calls} if calls else {})


def sent(emulator: RunningEmulator) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(msgspec.json.encode(emulator.app.requests()[-1]["body"]))
    return body


@pytest.mark.parametrize("model", MODELS)
async def test_ten_turns(world: tuple[Gateway, RunningEmulator], model: str) -> None:
    app, emulator = world
    card = builtin().card(model)
    messages: list[Any] = [{"role": "system", "content": "You are a meteorologist."}]
    thoughts = 0
    for number, city in enumerate(CITIES):
        stream = number % 2 == 0
        messages.append({"role": "user", "content": f"What is the weather in {city}?"})
        answer = await turn(app, model, messages, stream=stream, reasoning_effort="medium")
        messages.append(answer)
        assert answer.get("tool_calls"), answer
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": f"{city}: 20 degrees"}
            for call in answer["tool_calls"]
        ]
        final = await turn(app, model, messages, stream=stream, reasoning_effort="medium")
        assert "20 degrees" in (final["content"] or "")
        messages.append(final)
        blocks = [b for m in sent(emulator)["messages"] for b in m["content"] if b["type"] == "thinking"]
        thoughts = len(blocks)
    # The thinking that led to each tool call went back, although the client never sent it.
    # (The 5.5 generation thinks twice: what it says between tool calls comes as thinking, too.)
    assert thoughts >= len(CITIES) if card.thinking else thoughts == 0
    refused = [r for r in emulator.app.requests() if r["status"] != 200]
    assert not refused


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-4-5@20250929"])
async def test_another_gateway_in_the_middle_of_a_loop(world: tuple[Gateway, RunningEmulator], model: str) -> None:
    """A restart, or another replica: nothing is remembered, and the request is legal without."""
    app, emulator = world
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = await turn(app, model, messages, stream=False, reasoning_effort="low")
    messages += [answer, {"role": "tool", "tool_call_id": answer["tool_calls"][0]["id"], "content": "20 degrees"}]
    vertex = {"project": "p", "location": "global", "base_url": emulator.base_url}
    other = Gateway(
        Config.from_dict({"vertex": vertex, "auth": {"access_token": "t"}}), environment={}, runtime=current_runtime()
    )
    final = await turn(other, model, messages, stream=False, reasoning_effort="low")
    await other.aclose()
    assert "20 degrees" in (final["content"] or "")
    assert not [b for m in sent(emulator)["messages"] for b in m["content"] if b["type"] == "thinking"]


async def test_the_thinking_of_another_caller_is_not_used(world: tuple[Gateway, RunningEmulator]) -> None:
    _, emulator = world
    vertex = {"project": "p", "location": "global", "base_url": emulator.base_url}
    tables = {"vertex": vertex, "auth": {"access_token": "t"}, "server": {"api_keys": ["alice-key", "mallory-key"]}}
    app = Gateway(Config.from_dict(tables), environment={}, runtime=current_runtime())
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    body = {"model": "claude-opus-5-5", "messages": messages, "tools": [STEP], "reasoning_effort": "low"}
    first = (await request(app, "POST", PATH, body, {"authorization": "Bearer alice-key"})).json()["choices"][0][
        "message"
    ]
    messages += [first | {"thinking_blocks": None}]
    messages += [{"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "20 degrees"}]
    for key, expected in (("mallory-key", False), ("alice-key", True)):
        assert (await request(app, "POST", PATH, body, {"authorization": f"Bearer {key}"})).status == 200
        blocks = [b for m in sent(emulator)["messages"] for b in m["content"] if b["type"] == "thinking"]
        assert bool(blocks) is expected
    await app.aclose()


async def test_a_changed_history_is_answered_all_the_same(world: tuple[Gateway, RunningEmulator]) -> None:
    """A client that edits its system prompt: blocks bound to the old one are dropped upstream, not refused."""
    app, emulator = world
    messages: list[Any] = [{"role": "system", "content": "one"}, {"role": "user", "content": "weather in Paris?"}]
    answer = await turn(app, "claude-opus-5-5", messages, stream=False, reasoning_effort="low")
    messages += [answer, {"role": "tool", "tool_call_id": answer["tool_calls"][0]["id"], "content": "20 degrees"}]
    messages[0] = {"role": "system", "content": "two"}
    final = await turn(app, "claude-opus-5-5", messages, stream=False, reasoning_effort="low")
    assert "20 degrees" in (final["content"] or "")
    assert sent(emulator)["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}


async def test_a_refused_signature_is_cured_by_one_retry_without_thinking(
    world: tuple[Gateway, RunningEmulator],
) -> None:
    app, emulator = world
    forged = {"type": "thinking", "thinking": "I was never here", "signature": "Zm9yZ2Vk"}
    messages = [
        {"role": "user", "content": "weather in Paris?"},
        {
            "role": "assistant",
            "content": None,
            "thinking_blocks": [forged],
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "20 degrees"},
    ]
    final = await turn(app, "claude-sonnet-4-6", messages, stream=False, reasoning_effort="low")
    assert "20 degrees" in (final["content"] or "")
    assert [r["status"] for r in emulator.app.requests()] == [400, 200]

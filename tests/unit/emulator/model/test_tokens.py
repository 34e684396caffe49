"""Token counting."""

from __future__ import annotations

from typing import Any

import pytest

from support.emulator_calls import ask, emulator, tool, user

APP = emulator()
WEATHER = tool(
    "get_weather", {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}
)


async def test_counting_tokens_counts_everything() -> None:
    async def count(**fields: Any) -> int:
        body = {"model": "claude-opus-5", "messages": [user("Hi")], **fields}
        answer = await ask(APP, body, model="count-tokens")
        assert answer.status == 200, answer.body
        return int(answer.json["input_tokens"])

    plain = await count()
    assert plain < await count(system="Be brief.") < await count(system="Be brief.", tools=[WEATHER])
    assert await count(messages=[user("中文" * 50)]) > await count(messages=[user("ab" * 50)])


@pytest.mark.parametrize("model", ["claude-sonnet-4-5@20250929", "nope", "claude-opus-5@default"])
async def test_counting_accepts_names_without_a_version_only(model: str) -> None:
    answer = await ask(APP, {"model": model, "messages": [user("Hi")]}, model="count-tokens")
    assert answer.status == 404
    assert answer.message == f"model: {model}"


async def test_counting_needs_no_max_tokens_and_rejects_stream() -> None:
    body = {"model": "claude-opus-5", "messages": [user("Hi")], "stream": True}
    assert (await ask(APP, body, model="count-tokens", verb="rawPredict")).status == 400
    assert (await ask(APP, {"messages": [user("Hi")]}, model="count-tokens")).status == 404

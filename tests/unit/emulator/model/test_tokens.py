"""Token counting."""

from __future__ import annotations

from typing import Any

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

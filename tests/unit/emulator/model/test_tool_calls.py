"""Which tools are called, how often, and with which arguments."""

from __future__ import annotations

from typing import Any

import pytest

from support.emulator_calls import ask, assistant, body_of, emulator, tool, tool_result, user

APP = emulator()
WEATHER = tool(
    "get_weather", {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}
)
TIME = {"name": "get_time", "description": "Current time", "input_schema": {"type": "object", "properties": {}}}
JOKE = tool("tell_joke", {"topic": {"type": "string"}})
SUM = tool("add", {"a": {"type": "integer"}, "b": {"type": "integer"}})
SUM["input_schema"]["required"] = ["a", "b"]


async def calls(words: str, *tools: dict[str, Any], **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    answer = await ask(APP, body_of(words, tools=list(tools), **fields))
    assert answer.status == 200, answer.body
    assert (answer.json["stop_reason"] == "tool_use") is bool(answer.calls)
    return answer.calls


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("What is the weather in Paris?", [("get_weather", {"city": "Paris"})]),
        ("Weather in Paris, France please", [("get_weather", {"city": "Paris, France"})]),
        ("Weather in Paris and London", [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "London"})]),
        (
            "Weather for Paris, Rome and New York",
            [
                ("get_weather", {"city": "Paris"}),
                ("get_weather", {"city": "Rome"}),
                ("get_weather", {"city": "New York"}),
            ],
        ),
        ("what's the weather in tokyo", [("get_weather", {"city": "tokyo"})]),
        ("Weather in Oslo in Fahrenheit?", [("get_weather", {"city": "Oslo", "unit": "fahrenheit"})]),
        ("Use get_weather for Bern", [("get_weather", {"city": "Bern"})]),
        ("What time is it?", [("get_time", {})]),
        ("The weather in Paris and the time, please", [("get_weather", {"city": "Paris"}), ("get_time", {})]),
        ("Tell me a joke about cats", [("tell_joke", {"topic": "Tell me a joke about cats"})]),
        ("Tell a joke about 'cats'", [("tell_joke", {"topic": "cats"})]),
        ("Hello there", []),
        ("What is the weather in Paris? Answer without tools.", []),
    ],
)
async def test_tools_are_called_when_the_text_is_about_them(words: str, expected: list[Any]) -> None:
    assert await calls(words, WEATHER, TIME, JOKE) == expected


async def test_numbers_in_the_text_become_arguments() -> None:
    assert await calls("Please add 17 and 25", SUM) == [("add", {"a": 17, "b": 25})]


async def test_tool_choice_is_obeyed() -> None:
    assert await calls("Hello", WEATHER, TIME, tool_choice={"type": "any"}) == [("get_weather", {"city": "Paris"})]
    assert await calls("Hello", WEATHER, TIME, tool_choice={"type": "tool", "name": "get_time"}) == [("get_time", {})]
    assert await calls("Weather in Paris?", WEATHER, tool_choice={"type": "none"}) == []


async def test_parallel_calls_can_be_disabled() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert await calls("Weather in Paris and London", WEATHER, tool_choice=choice) == [
        ("get_weather", {"city": "Paris"})
    ]


async def test_sequential_calls_end_in_an_answer() -> None:
    messages = [user("Weather in Paris and then the time")]
    names = []
    for _ in range(3):
        reply = (await ask(APP, body_of(messages=messages, tools=[WEATHER, TIME]))).json
        uses = [block for block in reply["content"] if block["type"] == "tool_use"]
        names.append([block["name"] for block in uses])
        messages = [*messages, assistant(*reply["content"]), user(*(tool_result(b["id"], "ok") for b in uses))]
        if not uses:
            break
    assert names == [["get_weather"], ["get_time"], []]


async def test_the_tools_of_anthropic_are_called_with_their_own_arguments() -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    editor = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}
    assert await calls("Use bash please", bash, editor) == [("bash", {"command": "ls -la"})]
    memory = {"type": "memory_20250818", "name": "memory"}
    assert await calls("Look at your memory", bash, memory) == [("memory", {"command": "view", "path": "/memories"})]
    opened = await calls("Use the str_replace_based_edit_tool", bash, editor)
    assert opened == [("str_replace_based_edit_tool", {"command": "view", "path": "README.md"})]

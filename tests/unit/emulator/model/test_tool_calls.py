"""Which tools are called, how often, and with which arguments."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.emulator_calls import ask, assistant, body_of, emulator, text, tool, tool_result, tool_use, user

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


AGENT = tool("Agent", {"prompt": {"type": "string"}})
AGENT["input_schema"]["required"] = ["prompt"]
AGENT["description"] = "Start an agent that can list a file, or search files and folders, and reports what it found."
BASH = tool("Bash", {"command": {"type": "string"}})
BASH["input_schema"]["required"] = ["command"]
MID_SYSTEM = {"role": "system", "content": "Use Bash, and the Agent tool. " * 200}


@pytest.mark.parametrize(
    "words",
    [
        "list the files",
        "search the files and the folders",
        "ask an agent to list the files",
        "what do agents do?",
    ],
)
async def test_a_tool_that_delegates_is_called_only_by_its_exact_name(words: str) -> None:
    assert await calls(words, AGENT, BASH) == []


async def test_a_delegated_conversation_does_not_delegate_again() -> None:
    """A client that hands the prompt to another conversation with the same tools would never end."""
    words = "Use the Agent tool to list the files"
    ((name, arguments),) = await calls(words, AGENT, BASH)
    assert (name, arguments) == ("Agent", {"prompt": f"Delegated: {words}"})
    assert await calls(arguments["prompt"], AGENT, BASH) == []
    reminded = [text("<system-reminder>Agent</system-reminder>"), text(arguments["prompt"])]
    assert await calls(reminded, AGENT, BASH) == []
    later = [user(arguments["prompt"]), assistant(text("Ok.")), user("Use the Agent tool and the Bash tool")]
    assert [name for name, _ in await calls("", AGENT, BASH, messages=later)] == ["Bash"]


async def test_a_delegated_prompt_fits_its_schema() -> None:
    short = {"name": "Agent", "input_schema": {"type": "object", "properties": {}, "required": ["prompt"]}}
    for prompt, expected in (
        ({"type": "string", "maxLength": 14}, "Delegated: Use"),
        ({"type": "string", "enum": ["a", "b"]}, "a"),
        ({"type": "integer"}, 1),
        ({"type": "string"}, "Delegated: Use Agent"),
        ({}, "Delegated: Use Agent"),
    ):
        schema = {**short["input_schema"], "properties": {"prompt": prompt}}
        assert await calls("Use Agent", {**short, "input_schema": schema}) == [("Agent", {"prompt": expected})]


async def test_what_codex_says_of_the_environment_is_not_the_users_text() -> None:
    context = '<environment_context>\n  <cwd>/home/u/bash</cwd>\n  <entry access="read"/>\n</environment_context>'
    assert await calls("", BASH, messages=[user(text(context)), user("hello")]) == []
    messages = [user(text(context)), user('Use the bash tool for "pwd"')]
    assert await calls("", BASH, messages=messages) == [("Bash", {"command": "pwd"})]


async def test_the_end_of_a_background_task_does_not_start_it_again() -> None:
    notification = text('<task-notification><summary>Agent "files" completed</summary></task-notification>')
    messages = [
        user("Use the Agent tool to list the files"),
        assistant(tool_use("a", "Agent", prompt="x")),
        user(tool_result("a", "started")),
        assistant(text("It runs.")),
        user(notification),
    ]
    assert await calls("", AGENT, BASH, messages=messages) == []
    messages += [assistant(text("Ok.")), user("Use the Agent tool again")]
    assert [name for name, _ in await calls("", AGENT, BASH, messages=messages)] == ["Agent"]


async def test_words_of_a_description_are_no_keywords() -> None:
    described = {**BASH, "name": "Run", "description": "Works on a file, or on files."}
    assert await calls("delete the files", described) == []


@pytest.mark.parametrize(
    "words", ["say exactly: use Bash", "Say exactly: Agent", "reply with: the weather in Paris", "Reply with only Bash"]
)
async def test_an_exact_text_wins_over_the_names_of_tools(words: str) -> None:
    for more in ([], [MID_SYSTEM]):
        body = body_of(messages=[user(words), *more], tools=[AGENT, BASH, WEATHER])
        answer = await ask(APP, body, model="claude-opus-5-5")
        assert answer.status == 200, answer.body
        assert (answer.calls, answer.text) == ([], re.split(r"with only |: ", words, maxsplit=1)[1])


async def test_an_exact_text_wins_over_a_search() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    answer = await ask(APP, body_of("say exactly: search the web", tools=[search]))
    assert answer.text == "search the web"


async def test_a_forced_tool_is_called_in_spite_of_an_exact_text() -> None:
    choice = {"type": "any"}
    assert await calls("say exactly: X", BASH, tool_choice=choice) == [("Bash", {"command": "ls -la"})]


async def test_only_the_text_of_the_user_has_keywords() -> None:
    body = body_of(messages=[user("How do you do, all of you?"), MID_SYSTEM], tools=[AGENT, BASH])
    answer = await ask(APP, body, model="claude-opus-5-5")
    assert (answer.status, answer.calls) == (200, [])


async def test_a_command_is_harmless_unless_it_is_quoted() -> None:
    assert await calls("use the Bash tool to run ls", BASH) == [("Bash", {"command": "ls -la"})]
    assert await calls("use the Bash tool to run `pwd`", BASH) == [("Bash", {"command": "pwd"})]

"""The model searches for a deferred tool before it calls it for the first time."""

from __future__ import annotations

from typing import Any

import pytest

from support.emulator_calls import Json, ask, assistant, body_of, emulator, text, tool, tool_result, user

APP = emulator()
BETA = "tool-search-tool-2025-10-19"
OPUS = "claude-opus-5-5"  # preserved thinking: the next turn checks that the reply comes back unchanged
REGEX = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
BM25 = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
DEFERRED = [tool("get_weather", defer_loading=True), tool("get_time", defer_loading=True)]
QUESTION = user("weather in Paris?")


def kinds(content: list[Json]) -> list[str]:
    return [block["type"] for block in content if block["type"] not in ("thinking", "text")]


async def content_of(search_tool: Json | None, **fields: Any) -> list[Json]:
    tools = [*([search_tool] if search_tool else []), *DEFERRED]
    answer = await ask(APP, body_of(**{"messages": [QUESTION], "tools": tools, **fields}), model=OPUS, betas=BETA)
    assert answer.status == 200, answer.body
    content: list[Json] = answer.json["content"]
    return content


@pytest.mark.parametrize(
    ("search_tool", "query"),
    [(REGEX, {"pattern": "get_weather"}), (BM25, {"query": "get_weather", "limit": 5})],
    ids=["regex", "bm25"],
)
async def test_a_search_finds_the_tool_that_is_called_next(search_tool: Json, query: Json) -> None:
    content = await content_of(search_tool)
    search, result, call = [block for block in content if block["type"] not in ("thinking", "text")]
    assert (search["type"], search["name"], search["input"]) == ("server_tool_use", search_tool["name"], query)
    assert result == {
        "type": "tool_search_tool_result",
        "tool_use_id": search["id"],
        "content": {
            "type": "tool_search_tool_search_result",
            "tool_references": [{"type": "tool_reference", "tool_name": "get_weather"}],
        },
    }
    assert (call["type"], call["name"]) == ("tool_use", "get_weather")


async def test_a_tool_is_searched_for_once() -> None:
    content = await content_of(REGEX)
    results = user(tool_result(content[-1]["id"]))
    again = [QUESTION, assistant(*content), results, assistant(text("Sunny.")), user("and the weather in Rome?")]
    assert kinds(await content_of(REGEX, messages=again)) == ["tool_use"]


async def test_a_tool_that_the_client_has_found_is_not_searched_for() -> None:
    reference = {"type": "tool_reference", "tool_name": "get_weather"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "ToolSearch", "input": {}}
    messages = [user("Hi"), assistant(use), user(tool_result(content=[reference])), assistant(text("Ok.")), QUESTION]
    assert kinds(await content_of(REGEX, messages=messages)) == ["tool_use"]


async def test_without_a_search_tool_a_deferred_tool_is_not_known() -> None:
    assert kinds(await content_of(None)) == []


async def test_a_client_adds_deferred_tools_between_turns_without_changing_the_prefix() -> None:
    """Claude Code does: after its own ToolSearch, the tools it found are in ``tools``, and referenced in the result."""
    own_search = tool("ToolSearch", {"query": {"type": "string"}})
    content = await content_of(None, tools=[own_search], messages=[user("Use ToolSearch for the weather")])
    assert kinds(content) == ["tool_use"]
    assert content[0]["type"] == "thinking"
    reference = {"type": "tool_reference", "tool_name": "get_weather"}
    messages = [
        user("Use ToolSearch for the weather"),
        assistant(*content),
        user(tool_result(content[-1]["id"], [reference]), text("Tool loaded.")),
    ]
    answer = await content_of(None, tools=[own_search, *DEFERRED], messages=messages)
    messages += [assistant(*answer), user("get_weather in Paris")]
    called = await content_of(None, tools=[own_search, *DEFERRED], messages=messages)
    assert [block["name"] for block in called if block["type"] == "tool_use"] == ["get_weather"]


async def test_deferred_tools_cost_no_tokens() -> None:
    plain = await ask(APP, body_of(tools=[tool()]), model=OPUS, betas=BETA)
    deferred = await ask(APP, body_of(tools=[tool(), tool("b", defer_loading=True)]), model=OPUS, betas=BETA)
    assert plain.json["usage"]["input_tokens"] == deferred.json["usage"]["input_tokens"]


async def test_tools_that_are_not_deferred_are_called_directly() -> None:
    assert kinds(await content_of(REGEX, tools=[REGEX, tool("get_weather")])) == ["tool_use"]

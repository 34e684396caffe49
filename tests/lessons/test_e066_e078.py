"""What other gateways got wrong, one test a case, E66 to E78: schemas, sampling, structured output, endings."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from modelmux.wire.http import Call
from support.fakes import FakeReply
from support.lessons import (
    BARE,
    BUDGET,
    NEW,
    SONNET,
    WEATHER,
    Json,
    answer,
    ask,
    text,
    thought,
    tool,
    tool_use,
)


def by_schema(schema: Json) -> Json:
    return {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}


@pytest.mark.parametrize(
    ("parameters", "schema"),
    [
        ({"properties": {"a": {}}}, {"properties": {"a": {}}, "type": "object"}),
        ({"required": []}, {"required": [], "type": "object"}),
        ({"type": None, "properties": {}}, {"type": "object", "properties": {}}),
        ({"type": ["object", "null"]}, {"type": "object"}),
    ],
)
async def test_e66_a_tools_schema_is_said_to_be_an_object(parameters: Json, schema: Json) -> None:
    """A schema whose type is left out, or is more than "object", which Claude refuses."""
    got = await ask(tools=[tool(parameters=parameters)])
    assert got.sent["tools"][0]["input_schema"] == schema


async def test_e67_strict_stands_beside_the_schema() -> None:
    """``strict`` goes beside name and schema, never inside; where the model has no strict tools, a notice says so."""
    got = await ask(tools=[tool(strict=True)])
    closed = {**WEATHER, "additionalProperties": False}
    assert got.sent["tools"] == [{"name": "get_weather", "input_schema": closed, "strict": True}]
    assert got.notices == []
    got = await ask(model=BARE, tools=[tool(strict=True)])
    assert got.sent["tools"] == [{"name": "get_weather", "input_schema": WEATHER}]
    assert got.notices == ["ignored=tools.0.function.strict"]
    got = await ask(tools=[tool(strict=False)])
    assert got.sent["tools"] == [{"name": "get_weather", "input_schema": WEATHER}]


async def test_e68_an_open_object_stays_open() -> None:
    """``additionalProperties: {}`` allows anything: it is taken, and still allows anything, at the root and below."""
    schema = {
        "type": "object",
        "properties": {"env": {"type": "object", "additionalProperties": {}}},
        "additionalProperties": {},
    }
    got = await ask(tools=[tool(parameters=schema)])
    assert got.sent["tools"][0]["input_schema"] == schema
    got = await ask(tools=[tool(parameters=schema, strict=True)])
    assert got.sent["tools"][0] == {"name": "get_weather", "input_schema": schema}
    assert got.notices == ["ignored=tools.0.function.strict"]


@pytest.mark.parametrize(
    ("stop", "sent", "notices"),
    [
        ("\n", None, ["dropped=stop"]),
        ("", None, ["dropped=stop"]),
        ([], None, []),
        (["", "\n\t"], None, ["dropped=stop"]),
        (["END", "\n", "", "END", " x"], ["END", " x"], ["dropped=stop"]),
        ("END", ["END"], []),
        ([str(n) for n in range(9)], [str(n) for n in range(9)], []),
    ],
)
async def test_e69_blank_stop_sequences_are_left_out(stop: Any, sent: list[str] | None, notices: list[str]) -> None:
    """Claude refuses blank stop sequences: they are left out, with a notice; none left means no field, not ``[]``."""
    got = await ask(stop=stop)
    assert got.sent.get("stop_sequences", None) == sent
    assert ("stop_sequences" in got.sent) is bool(sent)
    assert got.notices == notices


@pytest.mark.parametrize("model", [SONNET, BUDGET, "claude-opus-4-6"])
async def test_e71_temperature_wins_over_top_p(model: str) -> None:
    """Both are refused together: temperature stays, top_p goes and is named; alone it stays."""
    got = await ask(model=model, temperature=0.2, top_p=0.9)
    assert got.sent["temperature"] == 0.2
    assert "top_p" not in got.sent
    assert got.notices == ["dropped=top_p"]
    got = await ask(model=model, top_p=0.9)
    assert (got.sent["top_p"], got.notices) == (0.9, [])


@pytest.mark.parametrize(
    ("names", "id"),
    [
        (
            ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5@20250929",
             "claude-sonnet-4-5@default", "vertex_ai/claude-sonnet-4-5", "Claude-Sonnet-4-5", "mine"],
            "claude-sonnet-4-5@20250929",
        ),
        (["claude-opus-5-5", "claude-opus-5-5@default", "anthropic/claude-opus-5-5", "mine"], "claude-opus-5-5"),
    ],
    ids=["dated", "undated"],
)  # fmt: skip
async def test_e72_a_models_rules_hold_under_all_its_names(names: list[str], id: str) -> None:
    """Alias, dated, undated, ``@default``, with a routing prefix: the same request upstream, to the same model."""
    settings = {"vertex": {"models": [{"name": "mine", "model": id}]}}
    asked = {"temperature": 0.5, "top_p": 0.9, "reasoning_effort": "low", "response_format": by_schema(WEATHER)}
    calls = [(await ask(model=name, settings=settings, **asked)).upstream.calls[0] for name in names]
    assert {made.target.rpartition("/")[2] for made in calls} == {f"{id}:rawPredict"}
    assert len({made.body for made in calls}) == 1


async def test_e73_structured_output_by_a_call_never_forces_a_thinking_model() -> None:
    """Native structured output comes first and thinks. Without it the answer comes by a forced call, and then thinking
    gives way with a notice where the two cannot go together."""
    options: Json = {"response_format": by_schema(WEATHER), "reasoning_effort": "medium", "max_tokens": 8000}
    got = await ask(model=BUDGET, **options)
    assert got.sent["output_config"]["format"]["type"] == "json_schema"
    assert got.sent["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert "tools" not in got.sent
    got = await ask(model=BARE, **options)
    assert got.sent["tool_choice"]["type"] == "tool"
    assert "thinking" not in got.sent
    assert got.notices == ["changed=response_format.json_schema.schema", "dropped=reasoning"]


@pytest.mark.parametrize("stream", [False, True])
async def test_e74_structured_output_by_a_call_is_content(stream: bool) -> None:
    """The call that brings the answer is not the client's to run: the content is the JSON, finish ``stop``."""

    def calls_it(made: Call) -> FakeReply:
        name = json.loads(made.body)["tool_choice"]["name"]
        return answer(tool_use(name=name, value={"city": "Köln"}), stop_reason="tool_use", stream=stream)

    got = await ask(calls_it, model=BARE, stream=stream, response_format=by_schema(WEATHER))
    assert json.loads(got.message["content"]) == {"city": "Köln"}
    assert got.finish == "stop"
    assert b"tool_calls" not in got.response.body


@pytest.mark.parametrize(
    ("budget", "limit", "sent", "notices"),
    [
        (512, 4000, 1024, ["clamped=reasoning"]),
        (3000, 4000, 3000, []),
        (4000, 4000, 2000, ["clamped=reasoning"]),
        (32000, 1500, 1024, ["clamped=reasoning"]),
        (2000, 1024, None, ["dropped=reasoning"]),
        (2000, 300, None, ["dropped=reasoning"]),
    ],
)
async def test_e75_a_budget_that_does_not_fit(budget: int, limit: int, sent: int | None, notices: list[str]) -> None:
    """A budget below the least, or not below the token limit: brought into range, or no thinking where there is no
    range. The client's limit, which is its money, stays what it is."""
    got = await ask(model=BUDGET, thinking={"type": "enabled", "budget_tokens": budget}, max_tokens=limit)
    assert got.sent["max_tokens"] == limit
    assert got.sent.get("thinking") == ({"type": "enabled", "budget_tokens": sent} if sent else None)
    assert got.notices == notices


@pytest.mark.parametrize(
    ("model", "effort", "limit", "cap", "sent", "notices"),
    [
        (BUDGET, "high", 4000, 4000, 2000, ["clamped=reasoning"]),
        (BUDGET, "high", 1024, 1024, None, ["dropped=reasoning"]),
        (BUDGET, "max", None, 64_000, 32_000, []),
        (BARE, "max", None, 32_000, 16_000, ["clamped=reasoning"]),
    ],
)
async def test_e75_an_efforts_budget_fits_the_limit(
    model: str, effort: str, limit: int | None, cap: int, sent: int | None, notices: list[str]
) -> None:
    """The same where the budget comes from an effort. Without a limit of the client's the model's own holds, which
    cannot be raised."""
    got = await ask(model=model, reasoning_effort=effort, max_tokens=limit)
    assert got.sent["max_tokens"] == cap
    assert got.sent.get("thinking") == ({"type": "enabled", "budget_tokens": sent} if sent else None)
    assert got.notices == notices


REASONS = [
    ("end_turn", "stop", "tool_calls"),
    ("stop_sequence", "stop", "tool_calls"),
    ("tool_use", "stop", "tool_calls"),
    (None, "stop", "tool_calls"),
    ("max_tokens", "length", "length"),
    ("model_context_window_exceeded", "length", "length"),
    ("compaction", "length", "length"),
    ("pause_turn", "length", "length"),
    ("refusal", "content_filter", "content_filter"),
    ("bedtime", "stop", "stop"),
]


@pytest.mark.parametrize("way", ["whole", "stream", "folded"])
@pytest.mark.parametrize(("reason", "alone", "with_calls"), REASONS)
async def test_e76_every_stop_reason_is_told_the_same_way(
    reason: str | None, alone: str, with_calls: str, way: str
) -> None:
    """Each stop reason, known or invented, with and without tool calls: one finish reason, whether the answer came
    whole, was streamed on, or was streamed and put together."""
    options: Json = {"stream": way == "stream", "max_tokens": 20_000 if way == "folded" else 2000, "tools": [tool()]}
    for blocks, expected in (([text("So.")], alone), ([text("So."), tool_use()], with_calls)):
        got = await ask(answer(*blocks, stop_reason=reason, stream=way != "whole"), **options)
        assert (got.status, got.finish) == (200, expected)
        assert got.message["content"] == "So."
        assert ("tool_calls" in got.message) is (len(blocks) == 2)


SEARCH: Json = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "sky"}}
FOUND: Json = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}


@pytest.mark.parametrize("stream", [False, True])
async def test_e77_a_pause_is_not_the_end(stream: bool) -> None:
    """A pause for the server's tools: the upstream is asked to go on, the client sees one answer with the usage of
    both calls."""
    usage = {"input_tokens": 10, "output_tokens": 4}
    replies = [
        answer(text("I look. "), SEARCH, FOUND, stop_reason="pause_turn", usage=usage, stream=stream),
        answer(text("Blue."), usage=usage, stream=stream),
    ]
    counts = {"stream_options": {"include_usage": True}} if stream else {}
    got = await ask(*replies, stream=stream, web_search_options={}, **counts)
    assert (got.finish, got.message["content"]) == ("stop", "I look. Blue.")
    assert got.usage["total_tokens"] == 28
    assert [turn["role"] for turn in got.turns] == ["user", "assistant"]
    assert got.turns[1]["content"] == [text("I look. "), SEARCH, FOUND]
    if stream:
        assert len({chunk["id"] for chunk in got.chunks}) == 1
        assert sum("role" in given for given in got.deltas) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_e77_pauses_are_not_followed_for_ever(stream: bool) -> None:
    """A reply that pauses again and again is continued five times, then it ends as cut. One that pauses although no
    search was asked for ends as cut at once."""

    numbers = itertools.count()

    def pause(_: Call) -> FakeReply:
        id = f"srvtoolu_{next(numbers)}"
        blocks = [text("On. "), {**SEARCH, "id": id}, {**FOUND, "tool_use_id": id}]
        return answer(*blocks, stop_reason="pause_turn", stream=stream)

    got = await ask(*[pause] * 9, stream=stream, web_search_options={})
    assert (got.finish, got.message["content"], len(got.upstream.calls)) == ("length", "On. " * 6, 6)
    got = await ask(pause, stream=stream)
    assert (got.finish, got.message["content"], len(got.upstream.calls)) == ("length", "On. ", 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("reason", "finish"), [("bedtime", "stop"), ("refusal", "content_filter")])
async def test_e78_a_call_in_an_odd_ending_is_shown_but_not_to_be_run(reason: str, finish: str, stream: bool) -> None:
    """A tool call is there, yet the reply was refused or ended in a way nobody knows: the call is not lost, and the
    client is not told to run it."""
    reply = answer(thought(), tool_use(), stop_reason=reason, stream=stream)
    got = await ask(reply, model=NEW, stream=stream, tools=[tool()])
    assert got.finish == finish
    (kept,) = got.message["tool_calls"]
    assert (kept["id"], json.loads(kept["function"]["arguments"])) == ("toolu_1", {"city": "Paris"})

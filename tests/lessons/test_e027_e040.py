"""What other gateways got wrong, one test a case, E27 to E40: parameters, thinking, tools and their arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.wire.http import Call
from support.fakes import FakeReply
from support.lessons import (
    NEW,
    USER,
    Json,
    answer,
    ask,
    call,
    result,
    text,
    thought,
    tool,
    tool_use,
)


def assistant(content: Any = None, **fields: Any) -> Json:
    return {"role": "assistant", "content": content, **fields}


@pytest.mark.parametrize("stream", [False, True])
async def test_e27_redacted_thinking_goes_round_unchanged(stream: bool) -> None:
    """Encrypted thinking comes to the client and back to the model with its data untouched."""
    hidden = {"type": "redacted_thinking", "data": "RXhhbXBsZQ+/=="}
    got = await ask(answer(hidden, text("So."), stream=stream), stream=stream, reasoning_effort="low")
    assert got.message["thinking_blocks"] == [hidden]
    assert got.message["content"] == "So."
    again = await ask(messages=[USER, got.message, USER], reasoning_effort="low")
    assert again.turns[1]["content"] == [hidden, text("So.")]


@pytest.mark.parametrize("stream", [False, True])
async def test_e28_thinking_nobody_asked_for_is_not_the_answer(stream: bool) -> None:
    """A model that thinks by default: the answer parses, its reasoning stands apart from the content."""
    got = await ask(answer(thought("Hm."), text("42"), stream=stream), model=NEW, stream=stream)
    assert (got.status, got.message["content"], got.message["reasoning_content"]) == (200, "42", "Hm.")


SAMPLING_REFUSED = [
    "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-1", "claude-fable-5", "claude-opus-5",
    "claude-sonnet-5", "claude-opus-4-8", "claude-opus-4-7",
]  # fmt: skip


@pytest.mark.parametrize("model", SAMPLING_REFUSED)
async def test_e29_sampling_where_the_model_takes_none(model: str) -> None:
    """Models from 4.7 on refuse sampling parameters: left out and said so, or 400 in strict mode."""
    asked = {"temperature": 0.5, "top_p": 0.9, "top_k": 5}
    got = await ask(model=model, **asked)
    assert not {"temperature", "top_p", "top_k"} & got.sent.keys()
    assert got.notices == ["dropped=temperature", "dropped=top_p", "dropped=top_k"]
    strict = await ask(model=model, headers={"x-modelmux-strict": "1"}, **asked)
    assert (strict.status, strict.error["param"], strict.error["code"]) == (400, "temperature", "strict_mode")
    assert strict.upstream.calls == []


@pytest.mark.parametrize(("asked", "sent"), [(1.7, 1.0), (2, 1.0), (1.0, 1.0), (0, 0.0), (0.3, 0.3)])
async def test_e30_openais_temperature_fits_claudes_range(asked: float, sent: float) -> None:
    """OpenAI's temperature goes to 2, Claude's to 1: clamped and said so, neither refused nor halved."""
    got = await ask(temperature=asked)
    assert got.sent["temperature"] == sent
    assert got.notices == (["clamped=temperature"] if asked > 1 else [])
    assert (await ask(temperature=2.1)).error["param"] == "temperature"


NO_PREFILL = [card.id for card in builtin().cards if not card.prefill]


@pytest.mark.parametrize("model", NO_PREFILL)
async def test_e31_a_trailing_answer_where_it_cannot_be_continued(model: str) -> None:
    """The conversation ends with the assistant: 400 with a hint, or a user turn that asks to go on."""
    messages = [USER, assistant("Once upon")]
    got = await ask(model=model, messages=messages)
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "messages", [])
    assert "End with a user message" in got.error["message"]
    got = await ask(model=model, messages=messages, settings={"vertex": {"prefill": "continue"}})
    assert [(t["role"], t["content"][0]["text"]) for t in got.turns[1:]] == [
        ("assistant", "Once upon"),
        ("user", "Continue exactly where your last message ends."),
    ]
    assert got.notices == ["added=messages"]


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1"])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
async def test_e32_a_forced_call_where_the_model_cannot_be_forced(model: str, choice: Any) -> None:
    """These models refuse to be forced: a clear 400 before any call, or, if the operator says so, a free choice."""
    got = await ask(model=model, tools=[tool()], tool_choice=choice)
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "tool_choice", [])
    settings = {"vertex": {"forced_tool_choice": "downgrade"}}
    got = await ask(model=model, tools=[tool()], tool_choice=choice, settings=settings)
    assert got.sent["tool_choice"] == {"type": "auto"}
    assert got.notices == ["changed=tool_choice"]


NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", {"type": "auto", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        (NAMED, {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}),
    ],
)
async def test_e33_one_call_at_a_time_only_where_that_can_be_said(choice: Any, sent: Json) -> None:
    """``parallel_tool_calls: false`` needs a tool choice to stand on, and must not stand on "none"."""
    got = await ask(tools=[tool()], tool_choice=choice, parallel_tool_calls=False)
    assert got.sent["tool_choice"] == sent
    assert "tool_choice" not in (await ask(parallel_tool_calls=False)).sent
    assert "tool_choice" not in (await ask(tools=[tool()], parallel_tool_calls=True)).sent


@pytest.mark.parametrize(("mode", "sent"), [("auto", {"type": "auto"}), ("required", {"type": "any"})])
async def test_e34_allowed_tools_are_these_and_no_others(mode: str, sent: Json) -> None:
    """A choice among some of the tools: the others cannot be called; a name that is not defined is 400."""
    tools = [tool("a"), tool("b"), tool("c")]

    def choice(*names: str) -> Json:
        allowed = [{"type": "function", "function": {"name": name}} for name in names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}

    got = await ask(tools=tools, tool_choice=choice("c", "a"))
    assert [t["name"] for t in got.sent["tools"]] == ["a", "c"]
    assert got.sent["tool_choice"] == sent
    got = await ask(tools=tools, tool_choice=choice("a", "d"))
    assert (got.status, got.error["param"]) == (400, "tool_choice.allowed_tools.tools.1")


@pytest.mark.parametrize(
    ("function", "schema"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"parameters": None}, {"type": "object", "properties": {}}),
        ({"parameters": {}}, {"type": "object", "properties": {}}),
        ({"parameters": {"type": "object"}}, {"type": "object"}),
    ],
    ids=["absent", "null", "empty", "type only"],
)
async def test_e35_a_tool_without_parameters_has_a_schema(function: Json, schema: Json) -> None:
    """No parameters in any of four forms: the tool stays, with a schema of an object."""
    got = await ask(tools=[{"type": "function", "function": {"name": "now", **function}}])
    assert got.sent["tools"] == [{"name": "now", "input_schema": schema}]


@pytest.mark.parametrize("choice", [None, "auto", "none"])
async def test_e36_no_tools_are_not_an_empty_list(choice: str | None) -> None:
    """``tools: []`` is the same as none: neither the list nor a choice goes up."""
    got = await ask(tools=[], tool_choice=choice)
    assert got.status == 200
    assert not {"tools", "tool_choice"} & got.sent.keys()


async def test_e37_a_tools_schema_is_the_clients_to_the_letter() -> None:
    """Definitions, references, alternatives and closed objects inside a tool's schema: all there, in the same order."""
    schema = {
        "type": "object",
        "$defs": {"Unit": {"enum": ["C", "F"]}},
        "definitions": {"Old": {"type": "string"}},
        "properties": {
            "unit": {"$ref": "#/$defs/Unit"},
            "at": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "old": {"$ref": "#/definitions/Old"},
        },
        "additionalProperties": False,
        "required": ["unit"],
        "description": "Where.",
    }
    got = await ask(tools=[tool(parameters=schema)])
    assert json.dumps(got.sent["tools"][0]["input_schema"]) == json.dumps(schema)
    assert got.notices == []


NAMES = ["ns/foo.bar", "x" * 200, "a.b", "a/b", "a_b", "größe"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", NAMES, ids=["slash", "long", "dot", "other slash", "valid", "umlaut"])
async def test_e38_names_upstream_refuses_come_back_as_they_were(name: str, stream: bool) -> None:
    """Names with odd characters, too long, or the same once cleaned: each legal and apart upstream, the client's own
    in the answer, the same in the history and in the choice."""

    def calls_it(made: Call) -> FakeReply:
        upstream_name = json.loads(made.body)["tools"][NAMES.index(name)]["name"]
        return answer(tool_use(name=upstream_name), stop_reason="tool_use", stream=stream)

    tools = [tool(n) for n in NAMES]
    got = await ask(calls_it, stream=stream, tools=tools)
    sent = [t["name"] for t in got.sent["tools"]]
    assert len(set(sent)) == len(NAMES)
    assert sent[4] == "a_b"
    assert got.message["tool_calls"][0]["function"]["name"] == name
    choice = {"type": "function", "function": {"name": name}}
    again = await ask(messages=[USER, got.message, result()], tools=tools, tool_choice=choice)
    upstream_name = sent[NAMES.index(name)]
    assert again.turns[1]["content"][0]["name"] == upstream_name
    assert again.sent["tool_choice"]["name"] == upstream_name


async def test_e39_a_history_with_calls_needs_tools() -> None:
    """The history used tools, the request defines none: one stand-in is sent, uncallable, and always the same one, so
    that the next turn finds the prompt in the cache."""
    messages = [USER, assistant(tool_calls=[call()]), result()]
    more = [assistant("20 degrees."), USER, assistant(tool_calls=[call("toolu_2", "other_tool")]), result("toolu_2")]
    first, later = await ask(messages=messages), await ask(messages=messages + more)
    assert first.sent["tools"] == later.sent["tools"]
    assert len(first.sent["tools"]) == 1
    assert first.sent["tool_choice"] == later.sent["tool_choice"] == {"type": "none"}
    assert first.turns[1]["content"] == [tool_use()]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("", {}),
        ("  ", {}),
        (None, {}),
        ("null", {}),
        ("{}", {}),
        ("[]", {"arguments": []}),
        ("3", {"arguments": 3}),
        ('"Paris"', {"arguments": "Paris"}),
        ("not json", {"arguments": "not json"}),
        ('{"city": "Par', {"arguments": '{"city": "Par'}),
        ('{"city": NaN}', {"arguments": '{"city": NaN}'}),
        ("[" * 5000, {"arguments": "[" * 5000}),
    ],
    ids=repr,
)
async def test_e40_arguments_that_are_no_object_are_kept(arguments: str | None, sent: Json) -> None:
    """A history with empty, cut or senseless arguments: an object upstream, never a 500, never a lost call."""
    got = await ask(messages=[USER, assistant(tool_calls=[call(arguments=arguments)]), result()], tools=[tool()])
    assert got.status == 200
    assert got.turns[1]["content"] == [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": sent}]
    expected = ["changed=messages.1.tool_calls.0.function.arguments"] if "arguments" in sent else []
    assert got.notices == expected


async def test_e40_half_a_character_in_arguments_is_no_crash() -> None:
    """Arguments with half of a surrogate pair, which no UTF-8 can say."""
    cut = call(arguments='{"city": "\\ud83d"}')
    got = await ask(messages=[USER, assistant(tool_calls=[cut]), result()], tools=[tool()])
    assert got.status == 200
    assert got.turns[1]["content"][0]["input"] == {"arguments": '{"city": "\\ud83d"}'}

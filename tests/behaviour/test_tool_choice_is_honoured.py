"""Risk: a tool choice is ignored, or sent to a model that rejects it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.asgi import request
from support.blocks import USER, Json, assistant, tool, tool_call, tool_result, tool_use
from support.chat import chat
from support.fakes import FakeUpstream, error_reply, message_reply
from support.gateway import ask, gateway


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1"])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
async def test_e32_forced_call_where_the_model_rejects_it(model: str, choice: Any) -> None:
    """These models cannot be forced to call: the choice is free, with a notice; or, if the operator chose so, there is
    a clear 400 before any call."""
    got = await chat(model=model, tools=[tool()], tool_choice=choice)
    assert got.sent["tool_choice"] == {"type": "auto"}
    assert got.notices == ["changed=tool_choice"]
    settings = {"vertex": {"forced_tool_choice": "error"}}
    got = await chat(model=model, tools=[tool()], tool_choice=choice, settings=settings)
    assert (got.status, got.error["param"], got.upstream.calls) == (400, "tool_choice", [])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", ask(tools=[tool()], tool_choice="required")),
        (
            "/v1/responses",
            {"input": "Hi", "tool_choice": "required",
             "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}]},
        ),
    ],
)  # fmt: skip
async def test_strict_mode_refuses_a_choice_that_would_be_changed(path: str, body: Json) -> None:
    upstream = FakeUpstream([message_reply(), message_reply()])
    app = gateway(upstream)
    body = {**body, "model": "claude-opus-5-5"}
    free = await request(app, "POST", path, body)
    assert (free.status, json.loads(upstream.calls[0].body)["tool_choice"]) == (200, {"type": "auto"})
    assert "changed=tool_choice" in free.headers["x-modelmux-notices"]
    refused = await request(app, "POST", path, body, {"x-modelmux-strict": "true"})
    error = refused.json()["error"]
    assert (refused.status, error["code"], error["param"]) == (400, "strict_mode", "tool_choice")
    assert "choose another model" in error["message"]
    assert len(upstream.calls) == 1


async def test_a_client_of_anthropics_api_gets_claudes_own_answer() -> None:
    """Native requests keep their choice, whatever the operator chose for others."""
    words = "Thinking may not be enabled when tool_choice forces tool use."
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": words}}
    upstream = FakeUpstream([error_reply(400, said)])
    choice = {"type": "tool", "name": "get_weather"}
    body = ask(model="claude-opus-5-5", tools=[{"name": "get_weather", "input_schema": {"type": "object"}}])
    got = await request(gateway(upstream), "POST", "/v1/messages", {**body, "tool_choice": choice})
    assert json.loads(upstream.calls[0].body)["tool_choice"] == choice
    assert (got.status, got.json()["error"]["message"]) == (400, words)


NAMED_TOOL = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", {"type": "auto", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        (NAMED_TOOL, {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}),
    ],
)
async def test_e33_parallel_calls_are_disabled_through_the_choice(choice: Any, sent: Json) -> None:
    """``parallel_tool_calls: false`` is part of a tool choice, and must not be part of "none"."""
    got = await chat(tools=[tool()], tool_choice=choice, parallel_tool_calls=False)
    assert got.sent["tool_choice"] == sent
    assert "tool_choice" not in (await chat(parallel_tool_calls=False)).sent
    assert "tool_choice" not in (await chat(tools=[tool()], parallel_tool_calls=True)).sent


@pytest.mark.parametrize(("mode", "sent"), [("auto", {"type": "auto"}), ("required", {"type": "any"})])
async def test_e34_only_allowed_tools_are_sent(mode: str, sent: Json) -> None:
    """A choice among some of the tools: the others cannot be called; a name that is not defined is a 400."""
    tools = [tool("a"), tool("b"), tool("c")]

    def choice(*names: str) -> Json:
        allowed = [{"type": "function", "function": {"name": name}} for name in names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}

    got = await chat(tools=tools, tool_choice=choice("c", "a"))
    assert [t["name"] for t in got.sent["tools"]] == ["a", "c"]
    assert got.sent["tool_choice"] == sent
    got = await chat(tools=tools, tool_choice=choice("a", "d"))
    assert (got.status, got.error["param"]) == (400, "tool_choice.allowed_tools.tools.1")


async def test_e39_a_history_with_calls_gets_a_placeholder_tool() -> None:
    """The history used tools, the request defines none: one placeholder is sent, which cannot be called, and always the
    same one, so that the next turn hits the prompt cache."""
    messages = [USER, assistant(tool_calls=[tool_call()]), tool_result()]
    more = [
        assistant("20 degrees."),
        USER,
        assistant(tool_calls=[tool_call("toolu_2", "other_tool")]),
        tool_result("toolu_2"),
    ]
    first, later = await chat(messages=messages), await chat(messages=messages + more)
    assert first.sent["tools"] == later.sent["tools"]
    assert len(first.sent["tools"]) == 1
    assert first.sent["tool_choice"] == later.sent["tool_choice"] == {"type": "none"}
    assert first.turns[1]["content"] == [tool_use()]

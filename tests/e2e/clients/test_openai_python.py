"""What the openai SDK offers beyond plain chats: parsed models, its streaming helper, images, reasoning, custom tools.

Chat, streams, tool loops and errors of the same SDK are in ``tests/e2e/test_openai_sdk.py``.
"""

from __future__ import annotations

import enum
import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from support.pictures import data_url, png

SONNET, OPUS, HAIKU = "claude-sonnet-4-6", "claude-opus-5-5", "claude-haiku-4-5"
MODELS = [SONNET, OPUS, HAIKU]
QUESTION: ChatCompletionMessageParam = {"role": "user", "content": "What is the weather in Paris and London?"}


class Unit(enum.StrEnum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Reading(BaseModel):
    city: str
    degrees: float
    unit: Unit


class Report(BaseModel):
    """Nested, a list, an optional field and an enumeration."""

    title: str
    remark: str | None
    readings: list[Reading]
    best: Reading
    reliable: bool


class Node(BaseModel):
    """Points to itself."""

    label: str
    children: list[Node]


class get_weather(BaseModel):  # named as the tool is
    """The current weather of a city"""

    city: str


@pytest.mark.parametrize("model", MODELS)
def test_a_reply_is_parsed_into_a_nested_model(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "Report about Oslo"}], response_format=Report
    )
    report = answer.choices[0].message.parsed
    assert isinstance(report, Report)
    assert report.best.unit in Unit
    assert isinstance(report.readings, list)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.tool_calls is None


@pytest.mark.parametrize("model", [SONNET, HAIKU])
def test_a_reply_is_parsed_into_a_recursive_model(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "A tree, please"}], response_format=Node
    )
    tree = answer.choices[0].message.parsed
    assert isinstance(tree, Node)
    assert tree.label


def test_a_recursive_model_that_cannot_be_had_is_refused_with_its_name(client: openai.OpenAI) -> None:
    """The newest models cannot be forced to call a tool, which is the only way to such a schema."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.parse(model=OPUS, messages=[{"role": "user", "content": "x"}], response_format=Node)
    assert caught.value.param == "response_format.json_schema.schema"


@pytest.mark.parametrize("model", MODELS)
def test_the_streaming_helper_parses_as_it_goes(client: openai.OpenAI, model: str) -> None:
    with client.chat.completions.stream(
        model=model, messages=[{"role": "user", "content": "Report about Oslo"}], response_format=Report
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    kinds = [event.type for event in events]
    assert kinds[0] == "chunk"
    assert kinds.count("content.done") == 1
    deltas = [event for event in events if event.type == "content.delta"]
    done = next(event for event in events if event.type == "content.done")
    assert "".join(event.delta for event in deltas) == done.content
    assert len(deltas) > 1
    assert isinstance(done.parsed, Report)
    assert final.choices[0].message.parsed == done.parsed


def test_the_streaming_helper_tells_two_tool_calls_apart(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=SONNET,
        messages=[QUESTION],
        tools=[openai.pydantic_function_tool(get_weather)],
        stream_options={"include_usage": True},
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [(event.index, event.name) for event in done] == [(0, "get_weather"), (1, "get_weather")]
    assert [event.parsed_arguments for event in done] == [get_weather(city="Paris"), get_weather(city="London")]
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.usage is not None
    assert final.usage.completion_tokens > 0


def test_json_object_is_an_object(client: openai.OpenAI) -> None:
    """An instruction asks for it; the answer comes out of its fence."""
    fenced = '```json\n{"city": "Oslo"}\n```'
    answer = client.chat.completions.create(
        model=SONNET,
        messages=[{"role": "user", "content": f"[[emulator: answer='{fenced}']]"}],
        response_format={"type": "json_object"},
    )
    assert json.loads(answer.choices[0].message.content or "") == {"city": "Oslo"}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_image_reaches_the_model(client: openai.OpenAI, model: str, stream: bool) -> None:
    picture = png()
    messages: list[Any] = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look at this"},
                {"type": "image_url", "image_url": {"url": data_url(picture), "detail": "low"}},
            ],
        }
    ]
    if stream:
        chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    else:
        text = client.chat.completions.create(model=model, messages=messages).choices[0].message.content or ""
    assert f"I received an image (image/png, {len(picture)} bytes)." in text


@pytest.mark.parametrize("model", MODELS)
def test_reasoning_comes_beside_the_answer(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model,
        reasoning_effort="high",
        max_completion_tokens=20_000,
        messages=[{"role": "user", "content": "say exactly: thought through"}],
    )
    message = answer.choices[0].message
    assert message.content == "thought through"
    assert "The user says" in (message.model_extra or {})["reasoning_content"]
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens


@pytest.mark.parametrize("model", MODELS)
def test_reasoning_streams_before_the_answer(client: openai.OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model,
        reasoning_effort="low",
        max_completion_tokens=20_000,
        stream=True,
        messages=[{"role": "user", "content": "say exactly: thought through"}],
    )
    deltas = [c.choices[0].delta for c in stream if c.choices]
    reasons = [n for n, d in enumerate(deltas) if (d.model_extra or {}).get("reasoning_content")]
    texts = [n for n, d in enumerate(deltas) if d.content]
    assert reasons
    assert reasons[-1] < texts[0]
    assert "".join(d.content or "" for d in deltas) == "thought through"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_loop_goes_on_with_reasoning(client: openai.OpenAI, model: str, stream: bool) -> None:
    """The SDK sends no thinking back; where the model needs it, the gateway has to put it there."""
    tools: Any = [openai.pydantic_function_tool(get_weather)]
    messages: list[Any] = [QUESTION]
    asked: dict[str, Any] = {"model": model, "tools": tools, "reasoning_effort": "medium", "max_tokens": 20_000}
    if stream:
        with client.chat.completions.stream(messages=messages, **asked) as running:
            message: Any = running.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(messages=messages, **asked).choices[0].message
    calls = message.tool_calls
    assert len(calls) == 2
    # Only what OpenAI's own types know goes back.
    plain = [{"id": c.id, "type": "function", "function": c.function.model_dump(include=FUNCTION)} for c in calls]
    messages.append({"role": "assistant", "content": message.content, "tool_calls": plain})
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"result {n}"} for n, call in enumerate(calls)]
    final = client.chat.completions.create(messages=messages, **asked)
    assert final.choices[0].finish_reason == "stop"
    assert "result 0" in (final.choices[0].message.content or "")
    assert "result 1" in (final.choices[0].message.content or "")


FUNCTION = {"name", "arguments"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_custom_tool_gets_free_text(client: openai.OpenAI, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": 'Use run_script for "print 1"'}]
    tools: Any = [{"type": "custom", "custom": {"name": "run_script", "description": "Runs a script"}}]
    if stream:
        calls: list[Any] = []
        for chunk in client.chat.completions.create(model=SONNET, messages=messages, tools=tools, stream=True):
            calls += (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []
        assert calls[0].type == "custom"
        first, text = calls[0].id, "".join((c.model_extra or {})["custom"].get("input", "") for c in calls)
    else:
        answer = client.chat.completions.create(model=SONNET, messages=messages, tools=tools)
        assert answer.choices[0].finish_reason == "tool_calls"
        (call,) = answer.choices[0].message.tool_calls or []
        assert call.type == "custom"
        first, text = call.id, call.custom.input
    assert text
    assert not text.startswith("{")
    call_back = {"id": first, "type": "custom", "custom": {"name": "run_script", "input": text}}
    messages.append({"role": "assistant", "tool_calls": [call_back]})
    messages.append({"role": "tool", "tool_call_id": first, "content": "it printed 1"})
    final = client.chat.completions.create(model=SONNET, messages=messages, tools=tools)
    assert "it printed 1" in (final.choices[0].message.content or "")


def test_a_forced_tool_is_called_or_left_to_the_model_with_a_notice(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [openai.pydantic_function_tool(get_weather)],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    }
    answer = client.chat.completions.create(model=SONNET, **asked)
    assert [call.function.name for call in answer.choices[0].message.tool_calls] == ["get_weather"]
    raw = client.chat.completions.with_raw_response.create(model=OPUS, **asked)
    assert raw.headers["x-modelmux-notices"] == "changed=tool_choice"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=OPUS, **asked, extra_headers={"x-modelmux-strict": "true"})
    assert caught.value.param == "tool_choice"


def test_sampling_that_the_newest_models_refuse_is_left_out(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=OPUS, messages=[{"role": "user", "content": "say exactly: fine"}], temperature=0.2, top_p=0.5
    )
    assert raw.parse().choices[0].message.content == "fine"
    assert "temperature" in raw.headers["x-modelmux-notices"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_was_cut_is_told_from_a_parsed_one(client: openai.OpenAI, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": SONNET,
        "messages": [{"role": "user", "content": "Report about Oslo"}],
        "response_format": Report,
        "max_tokens": 5,
    }
    with pytest.raises(openai.LengthFinishReasonError):
        if stream:
            with client.chat.completions.stream(**asked) as running:
                running.until_done()
        else:
            client.chat.completions.parse(**asked)

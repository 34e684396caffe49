"""The unmodified openai SDK through the gateway against the emulator."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from support.processes import Process

MODEL = "claude-sonnet-4-6"
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
QUESTION: ChatCompletionMessageParam = {"role": "user", "content": "What is the weather in Paris and London?"}


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "repeat after me: grüße, 東京 🎉"}]
    )
    assert answer.choices[0].message.content == "grüße, 東京 🎉"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer._request_id is not None


def test_a_long_unary_answer_is_streamed_behind_the_scenes(client: openai.OpenAI, emulator: Process) -> None:
    """Without max_tokens the reply may be long; the client sees no difference."""
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "say exactly: fine"}])
    assert answer.choices[0].message.content == "fine"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_stream_with_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        max_tokens=200,
        messages=[{"role": "user", "content": "repeat after me: one two three four five six"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "one two three four five six"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_tool_loop_with_two_parallel_calls(client: openai.OpenAI, stream: bool) -> None:
    messages: list[Any] = [QUESTION]
    if stream:
        with client.chat.completions.stream(
            model=MODEL, max_tokens=500, tools=[WEATHER], messages=messages
        ) as running:  # the SDK's own accumulator
            message: Any = running.get_final_completion().choices[0].message
    else:
        answer = client.chat.completions.create(model=MODEL, max_tokens=500, tools=[WEATHER], messages=messages)
        assert answer.choices[0].finish_reason == "tool_calls"
        message = answer.choices[0].message
    cities = {call.id: json.loads(call.function.arguments)["city"] for call in message.tool_calls}
    assert sorted(cities.values()) == ["London", "Paris"]
    messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
    results = {"Paris": "18 degrees", "London": "rain at 14 degrees"}
    messages += [{"role": "tool", "tool_call_id": id, "content": results[city]} for id, city in cities.items()]
    final = client.chat.completions.create(model=MODEL, max_tokens=500, tools=[WEATHER], messages=messages)
    text = final.choices[0].message.content or ""
    assert "18 degrees" in text
    assert "rain at 14 degrees" in text


def test_models(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert MODEL in listed
    assert client.models.retrieve(MODEL).id == MODEL


ERRORS = [
    ("[[emulator: status=400]]", openai.BadRequestError, 400),
    ("[[emulator: status=404]]", openai.NotFoundError, 404),
    ("[[emulator: status=429 shape=google]]", openai.RateLimitError, 429),
    ("[[emulator: status=403 shape=google]]", openai.InternalServerError, 502),
    ("[[emulator: status=500]]", openai.InternalServerError, 503),
    ("[[emulator: status=529]]", openai.InternalServerError, 503),
    ("[[emulator: status=502 shape=html]]", openai.InternalServerError, 503),
]


@pytest.fixture(scope="module")
def impatient(serve: Any, emulator: Process) -> Any:
    """A client of a gateway that does not retry."""
    process = serve(emulator.url, more="[retries]\nmax = 0\n")
    with openai.OpenAI(base_url=f"{process.url}/v1", api_key="sk-x", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("directive", "kind", "status"), ERRORS, ids=[e[0] for e in ERRORS])
def test_errors_become_the_sdks_own(
    impatient: openai.OpenAI, directive: str, kind: type[openai.APIStatusError], status: int, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        impatient.chat.completions.create(
            model=MODEL, max_tokens=50, messages=[{"role": "user", "content": directive}], stream=stream
        )
    assert caught.value.status_code == status
    assert caught.value.request_id


def test_a_wrong_request_is_a_bad_request_naming_the_field(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}], temperature=3)
    assert caught.value.param == "temperature"


def test_an_unknown_model_is_a_404(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="claude-sonet-4-6", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"
    assert "Did you mean 'claude-sonnet-4-6'?" in caught.value.message


def test_a_missing_key_is_an_authentication_error(serve: Any, emulator: Process) -> None:
    process = serve(emulator.url, server='api_keys = ["sk-modelmux-right"]')
    for key, fine in (("sk-modelmux-right", True), ("sk-modelmux-wrong", False)):
        with openai.OpenAI(base_url=f"{process.url}/v1", api_key=key, max_retries=0) as client:
            if fine:
                assert list(client.models.list())
            else:
                with pytest.raises(openai.AuthenticationError):
                    client.models.list()


BROKEN = [
    "[[emulator: error_after_event=6]]",
    "[[emulator: truncate_after_event=6]]",
    "[[emulator: reset_after_event=6]]",
]


@pytest.mark.parametrize("directive", BROKEN)
def test_a_stream_that_breaks_raises(client: openai.OpenAI, directive: str) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        max_tokens=200,
        stream=True,
        messages=[{"role": "user", "content": f"{directive} repeat after me: a b c d e f g h i j k l m n o p"}],
    )
    seen: list[str] = []
    with pytest.raises(openai.APIError):
        seen.extend(choice.delta.content or "" for chunk in stream for choice in chunk.choices)
    assert "".join(seen)


@pytest.mark.parametrize("directive", ["status=529 times=2", "status=429 shape=google times=1", "reset times=1"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_gateway_retries_what_clears(client: openai.OpenAI, directive: str, stream: bool) -> None:
    content = f"[[emulator: {directive}]] say exactly: cured {directive} {stream}"
    answer = client.chat.completions.create(
        model=MODEL, max_tokens=200, stream=stream, messages=[{"role": "user", "content": content}]
    )
    if stream:
        text = "".join(c.choices[0].delta.content or "" for c in answer if c.choices)  # type: ignore[union-attr]
    else:
        text = answer.choices[0].message.content  # type: ignore[union-attr, assignment]
    assert text == f"cured {directive} {stream}"


async def test_the_async_client_runs_fifty_streams_at_once(gateway: Process) -> None:
    import asyncio

    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-x", max_retries=0) as client:

        async def one(number: int) -> str:
            stream = await client.chat.completions.create(
                model=MODEL,
                max_tokens=100,
                stream=True,
                messages=[{"role": "user", "content": f"repeat after me: stream number {number}"}],
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

        texts = await asyncio.gather(*(one(n) for n in range(50)))
    assert texts == [f"stream number {n}" for n in range(50)]

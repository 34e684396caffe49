"""The unmodified openai SDK in every stream mode, against the emulator."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from support.processes import Process

MODEL = "claude-sonnet-4-6"
MODES = ["standard", "buffered", "single"]
TEXT = "One fine day. Two of them! 三つ。And a rest"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def slow_emulator(emulate: Callable[..., Process]) -> Process:
    return emulate("--tokens-per-second", "40")


@pytest.fixture(scope="module")
def gateways(serve: Callable[..., Process], slow_emulator: Process) -> Callable[[str], Process]:
    """One gateway a mode, started when it is needed."""
    started: dict[str, Process] = {}

    def of(mode: str) -> Process:
        if mode not in started:
            more = f'[streaming]\nmode = "{mode}"\nbuffer_timeout = 60\n'
            rows = '[[streaming.clients]]\nheader = "x-old"\nmode = "json"\n[retries]\nmax = 0\n'
            started[mode] = serve(slow_emulator.url, more=more + rows)
        return started[mode]

    return of


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def client(gateways: Callable[[str], Process], mode: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateways(mode).url}/v1", api_key="sk-x", max_retries=0) as client:
        yield client


def say(text: str) -> Any:
    return [{"role": "user", "content": f"repeat after me: {text}"}]


@pytest.mark.parametrize("most", [200, 20_000], ids=["short", "long"])
def test_chat_with_usage(client: openai.OpenAI, mode: str, most: int) -> None:
    chunks = list(
        client.chat.completions.create(
            model=MODEL, max_tokens=most, messages=say(TEXT), stream=True, stream_options={"include_usage": True}
        )
    )
    pieces = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert "".join(pieces) == TEXT
    if mode == "buffered":
        assert all(piece.rstrip().endswith((".", "!", "。")) for piece in pieces[:-1])
        assert (pieces[0], pieces[-1]) == ("One fine day. ", "And a rest")
    else:
        assert (len(pieces) == 1) == (mode == "single")
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1


def test_the_response_says_which_mode(client: openai.OpenAI, mode: str) -> None:
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, max_tokens=50, messages=say("hi"), stream=True
    ) as response:
        assert response.headers.get("x-modelmux-stream-mode") == (None if mode == "standard" else mode)
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_tools_through_the_sdks_own_accumulator(client: openai.OpenAI) -> None:
    question: Any = [{"role": "user", "content": "What is the weather in Paris and London?"}]
    with client.chat.completions.stream(model=MODEL, max_tokens=500, tools=[WEATHER], messages=question) as running:
        choice = running.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    cities = [json.loads(call.function.arguments)["city"] for call in choice.message.tool_calls or ()]
    assert sorted(cities) == ["London", "Paris"]


def test_an_error_before_content_is_the_sdks_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages=say("[[emulator: status=400]]"), stream=True)


def test_a_break_in_the_middle_raises(client: openai.OpenAI, mode: str) -> None:
    with pytest.raises(openai.APIError) as caught:
        seen = [
            chunk.choices[0].delta.content or ""
            for chunk in client.chat.completions.create(
                model=MODEL,
                max_tokens=20_000,
                messages=say(f"[[emulator: truncate_after_event=6]] {TEXT}"),
                stream=True,
            )
        ]
        raise AssertionError(seen)
    assert isinstance(caught.value, openai.InternalServerError) == (mode == "single")


def test_a_profile_gives_json(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, max_tokens=50, messages=say("hi"), stream=True, extra_headers={"x-old": "1"}
    )
    assert raw.headers["content-type"] == "application/json"
    assert raw.headers["x-modelmux-stream-mode"] == "json"
    assert json.loads(raw.http_response.read())["choices"][0]["message"]["content"] == "hi"


def test_a_client_that_leaves_in_the_middle_of_a_held_sentence(gateways: Callable[[str], Process]) -> None:
    process = gateways("buffered")
    before = disconnects(process)
    with openai.OpenAI(base_url=f"{process.url}/v1", api_key="sk-x", max_retries=0) as client:
        stream = client.chat.completions.create(
            model=MODEL, max_tokens=500, messages=say("First. " + "then some more words " * 20), stream=True
        )
        for chunk in stream:
            if chunk.choices[0].delta.content:
                assert chunk.choices[0].delta.content == "First. "
                break
        time.sleep(0.1)  # by now some words are held
        stream.close()
        left = time.monotonic()
        while disconnects(process) == before and time.monotonic() - left < 20:
            time.sleep(0.01)
    assert disconnects(process) == before + 1


def disconnects(process: Process) -> float:
    """How many clients have left a gateway, by its own count."""
    with urllib.request.urlopen(f"{process.url}/metrics", timeout=100) as response:
        lines = response.read().decode().splitlines()
    counts = [line for line in lines if line.startswith("modelmux_requests_total") and "client_gone" in line]
    return sum(float(line.rpartition(" ")[2]) for line in counts)

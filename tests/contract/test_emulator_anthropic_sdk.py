"""The official ``anthropic`` SDK's Vertex clients work with the emulator, unary and streaming."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import pytest
from anthropic import AnthropicVertex, AsyncAnthropicVertex

from support.emulator_server import ThreadedEmulator, running, threaded

OLD = "claude-sonnet-4-5@20250929"
NEW = "claude-opus-5-5"
WEATHER: Any = {
    "name": "get_weather",
    "description": "Current weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        "required": ["city"],
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedEmulator]:
    with threaded() as emulator:
        yield emulator


@pytest.fixture
def client(server: ThreadedEmulator) -> Iterator[AnthropicVertex]:
    with AnthropicVertex(
        base_url=f"{server.base_url}/v1",
        project_id="project-1",
        region="global",
        access_token="token",
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        yield client


@pytest.fixture
async def async_client() -> AsyncIterator[AsyncAnthropicVertex]:
    async with (
        running() as emulator,
        AsyncAnthropicVertex(
            base_url=f"{emulator.base_url}/v1",
            project_id="project-1",
            region="us-east5",
            access_token="token",
            max_retries=0,
        ) as client,
    ):
        yield client


def hello(text: str = "Hi there!", **more: Any) -> dict[str, Any]:
    return {"max_tokens": 1024, "messages": [{"role": "user", "content": text}], **more}


def test_create_gives_a_message(client: AnthropicVertex) -> None:
    message = client.messages.create(model=OLD, **hello())
    assert message.content[0].type == "text"
    assert message.content[0].text == "Hello! How can I help you today?"
    assert message.model == "claude-sonnet-4-5-20250929"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message.id.startswith("msg_vrtx_01")
    assert message._request_id is not None
    assert message._request_id.startswith("req_vrtx_")


@pytest.mark.parametrize(
    "model", ["claude-haiku-5-5", "claude-fable-5", "claude-opus-4-6", "claude-haiku-4-5@20251001"]
)
def test_streaming_and_unary_give_the_same_content(client: AnthropicVertex, model: str) -> None:
    ask = hello("What is the weather in Paris and London?", tools=[WEATHER])
    unary = client.messages.create(model=model, **ask)
    with client.messages.stream(model=model, **ask) as stream:
        streamed = stream.get_final_message()
    strip = {"id", "signature"}
    assert [b.model_dump(exclude=strip | {"parsed_output"}) for b in streamed.content] == [
        b.model_dump(exclude=strip) for b in unary.content
    ]
    assert streamed.usage.output_tokens == unary.usage.output_tokens
    assert streamed.stop_reason == unary.stop_reason == "tool_use"


async def test_the_async_client_streams_text(async_client: AsyncAnthropicVertex) -> None:
    async with async_client.messages.stream(model=OLD, **hello("say exactly: naïve 🐘 text")) as stream:
        pieces = [piece async for piece in stream.text_stream]
    assert "".join(pieces) == "naïve 🐘 text"
    assert len(pieces) > 1


async def test_raw_events_come_in_order(async_client: AsyncAnthropicVertex) -> None:
    stream = await async_client.messages.create(model=OLD, stream=True, **hello("count to 30"))
    kinds = [event.type async for event in stream]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize("model", [OLD, NEW])
def test_a_tool_loop_runs_to_its_end(client: AnthropicVertex, model: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris and London, in celsius?"}]
    ask: dict[str, Any] = {"model": model, "max_tokens": 2000, "tools": [WEATHER]}
    first = client.messages.create(messages=messages, **ask)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [
        {"city": "Paris", "unit": "celsius"},
        {"city": "London", "unit": "celsius"},
    ]
    assert all(call.id.startswith("toolu_vrtx_01") for call in calls)
    assert len({call.id for call in calls}) == 2
    results = [{"type": "tool_result", "tool_use_id": c.id, "content": f"{c.input['city']}: 18 degrees"} for c in calls]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = client.messages.create(messages=messages, **ask)
    answer = next(block.text for block in second.content if block.type == "text")
    assert second.stop_reason == "end_turn"
    assert "Paris: 18 degrees" in answer
    assert "London: 18 degrees" in answer


def test_manual_thinking_shows_its_text_and_signature(client: AnthropicVertex) -> None:
    message = client.messages.create(
        model=OLD, **hello("Why?", max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 1024})
    )
    thinking = message.content[0]
    assert thinking.type == "thinking"
    assert thinking.thinking
    assert thinking.signature.startswith("E")
    details = message.usage.output_tokens_details
    assert details is not None
    assert 0 < details.thinking_tokens < message.usage.output_tokens


def test_adaptive_thinking_hides_its_text_by_default(client: AnthropicVertex) -> None:
    hidden = client.messages.create(model=NEW, **hello("Why?")).content[0]
    shown = client.messages.create(
        model=NEW, **hello("Why?", thinking={"type": "adaptive", "display": "summarized"})
    ).content[0]
    assert hidden.type == shown.type == "thinking"
    assert hidden.thinking == ""
    assert shown.thinking
    assert hidden.signature == shown.signature


def test_hidden_thinking_streams_a_signature_and_no_text(client: AnthropicVertex) -> None:
    with client.messages.stream(model=NEW, **hello("Why?")) as stream:
        deltas = [e.delta.type for e in stream if e.type == "content_block_delta" and e.index == 0]
    assert deltas == ["signature_delta"]


def test_structured_output_parses(client: AnthropicVertex) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"},
                       "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }  # fmt: skip
    message = client.messages.create(
        model=OLD, **hello("A profile", output_config={"format": {"type": "json_schema", "schema": schema}})
    )
    assert message.content[0].type == "text"
    value = json.loads(message.content[0].text)
    assert list(value) == ["name", "age", "tags"]
    assert isinstance(value["age"], int)


def test_tokens_are_counted(client: AnthropicVertex) -> None:
    short = client.messages.count_tokens(model="claude-sonnet-4-5", messages=[{"role": "user", "content": "Hi"}])
    long = client.messages.count_tokens(model="claude-sonnet-4-5", messages=[{"role": "user", "content": "Hi " * 400}])
    assert 0 < short.input_tokens < long.input_tokens
    created = client.messages.create(model=OLD, max_tokens=50, messages=[{"role": "user", "content": "Hi " * 400}])
    assert created.usage.input_tokens == long.input_tokens


def test_a_beta_reaches_the_emulator_as_a_header(client: AnthropicVertex, server: ThreadedEmulator) -> None:
    message = client.beta.messages.create(
        model=NEW,
        betas=["thinking-binding-controls-2026-08-01"],
        **hello(thinking={"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}),
    )
    assert message.content
    got = server.app.requests()[-1]
    assert got["headers"]["anthropic-beta"] == "thinking-binding-controls-2026-08-01"


def test_web_search_answers_with_citations(client: AnthropicVertex) -> None:
    tools: Any = [{"type": "web_search_20250305", "name": "web_search"}]
    with client.messages.stream(model=OLD, **hello("Search the web for elephants", tools=tools)) as stream:
        message = stream.get_final_message()
    kinds = [block.type for block in message.content]
    assert kinds[1:3] == ["server_tool_use", "web_search_tool_result"]
    cited = [b for b in message.content if b.type == "text" and b.citations]
    assert cited[0].citations is not None
    assert cited[0].citations[0].type == "web_search_result_location"
    assert message.usage.server_tool_use is not None
    assert message.usage.server_tool_use.web_search_requests == 1


@pytest.mark.parametrize(
    ("directive", "error"),
    [
        ("status=400", anthropic.BadRequestError),
        ("status=401 shape=google", anthropic.AuthenticationError),
        ("status=403 shape=google_array", anthropic.PermissionDeniedError),
        ("status=404 shape=google", anthropic.NotFoundError),
        ("status=413", anthropic.RequestTooLargeError),
        ("status=429 shape=google_array", anthropic.RateLimitError),
        ("status=500", anthropic.InternalServerError),
        ("status=503 shape=html", anthropic.ServiceUnavailableError),
        ("status=529", anthropic.OverloadedError),
        ("reset", anthropic.APIConnectionError),
        ("close", anthropic.APIConnectionError),
    ],
)
def test_errors_are_typed_by_the_sdk(client: AnthropicVertex, directive: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        client.messages.create(model=OLD, **hello(f"Hi [[emulator: {directive}]]"))
    with pytest.raises(error), client.messages.stream(model=OLD, **hello(f"Hi [[emulator: {directive}]]")) as stream:
        stream.get_final_message()


def test_an_overload_inside_a_stream_raises(client: AnthropicVertex) -> None:
    with (
        client.messages.stream(model=OLD, **hello("count to 9 [[emulator: error_after_event=4]]")) as stream,
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
    ):
        stream.get_final_message()


def test_a_transient_failure_is_retried(server: ThreadedEmulator) -> None:
    with AnthropicVertex(
        base_url=f"{server.base_url}/v1", project_id="p", region="global", access_token="t", max_retries=3
    ) as client:
        message = client.messages.create(
            model=OLD, **hello("Hi [[emulator: status=529 times=2 retry_after=0.01 key=sdk-retry]]")
        )
    assert message.stop_reason == "end_turn"
    mine = [r for r in server.app.requests() if "key=sdk-retry" in json.dumps(json.loads(bytes(r["body"])))]
    assert [r["status"] for r in mine] == [529, 529, 200]


def test_the_default_version_of_the_sdk_refuses_sampling(client: AnthropicVertex) -> None:
    """SDK 2.x sends API version 2026-10-21 by default, which accepts no sampling parameters."""
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs are not permitted"):
        client.messages.create(model=OLD, extra_body={"temperature": 1.0}, **hello())
    classic = client.messages.create(
        model=OLD, extra_body={"temperature": 0.5, "anthropic_version": "vertex-2023-10-16"}, **hello()
    )
    assert classic.stop_reason == "end_turn"


def test_a_wrong_model_is_googles_404(client: AnthropicVertex) -> None:
    with pytest.raises(anthropic.NotFoundError, match="Publisher Model `projects/project-1/locations/global"):
        client.messages.create(model="claude-opus-9", **hello())


def test_truncation_is_silent_for_the_sdk(client: AnthropicVertex) -> None:
    """The SDK does not notice an end without message_stop (anthropic-vertex.md 8): its user has to check."""
    with client.messages.stream(model=OLD, **hello("count to 50 [[emulator: truncate_after_event=6]]")) as stream:
        kinds = [event.type for event in stream]
    assert "message_stop" not in kinds
    assert "content_block_delta" in kinds


def test_a_paused_turn_can_be_handed_back(client: AnthropicVertex) -> None:
    tools: Any = [{"type": "web_search_20250305", "name": "web_search"}]
    question = "Search the web for elephants"
    paused = client.messages.create(model=NEW, **hello(f"{question} [[emulator: stop_reason=pause_turn]]", tools=tools))
    assert paused.stop_reason == "pause_turn"
    assert paused.content[-1].type == "server_tool_use"
    again = client.messages.create(
        model=NEW,
        max_tokens=1000,
        tools=tools,
        messages=[
            {"role": "user", "content": f"{question} [[emulator: stop_reason=pause_turn]]"},
            {"role": "assistant", "content": paused.content},  # type: ignore[typeddict-item]
        ],
    )
    assert again.stop_reason == "end_turn"
    assert again.content[0].type == "web_search_tool_result"
    assert again.content[0].tool_use_id == paused.content[-1].id


def test_a_refusal_is_a_200_with_details(client: AnthropicVertex) -> None:
    message = client.messages.create(
        model=NEW, **hello('Hi [[emulator: stop_reason=refusal category=cyber explanation="No."]]')
    )
    assert message.stop_reason == "refusal"
    assert message.content == []
    assert message.stop_details is not None
    assert (message.stop_details.category, message.stop_details.explanation) == ("cyber", "No.")

"""Risk: upstream names a place of its own request, and nobody can tell which tool, message or image of the client's it
was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelmux.claude.property_keys import to_legal_key
from support.asgi import request
from support.fakes import FakeUpstream, error_reply, event, stream_reply
from support.gateway import MODEL, PATH, gateway

REPORT = Path(__file__).parents[3] / "shared/reports/l-which-tool-was-it.json"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Er"
    "kJggg=="
)


def refusal(message: str) -> FakeUpstream:
    return FakeUpstream([error_reply(400, {"type": "error", "error": {"type": "invalid_request_error",
                                                                      "message": message}})])  # fmt: skip


async def told(path: str, body: dict[str, Any], message: str) -> tuple[str, str | None]:
    response = await request(gateway(refusal(message)), "POST", path, {"model": MODEL, **body})
    assert response.status == 400
    error = response.json()["error"]
    return error["message"], error["param"]


async def test_the_report_of_a_tool_that_was_only_a_number() -> None:
    if not REPORT.exists():
        pytest.skip("there is no report")
    case = json.loads(REPORT.read_text("utf-8"))
    reply = error_reply(case["upstream_reply"]["status"], case["upstream_reply"]["json"])
    response = await request(gateway(FakeUpstream([reply])), "POST", PATH, case["request"])
    error = response.json()["error"]
    assert "tool 'list_apps'" in error["message"]
    assert "draft 2020-12" in error["message"]
    assert error["param"] == "tools.1.function.parameters"


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


CHAT: dict[str, Any] = {
    "max_completion_tokens": 50,
    "tools": [function("first"), function("zweites wärt"), {"type": "custom", "custom": {"name": "free"}}],
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "one"},
        {"role": "user", "content": [
            {"type": "text", "text": "two"}, {"type": "image_url", "image_url": {"url": PIXEL}}]},
        {"role": "assistant", "tool_calls": [
            {"id": "call:1", "type": "function", "function": {"name": "first", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call:1", "content": "done"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]},
    ],
}  # fmt: skip
PLACES = [
    ("tools.0.custom.input_schema: bad", "tool 'first' (tools.0.function.parameters): bad",
     "tools.0.function.parameters"),
    ("tools.1.custom.name: bad", "tool 'zweites wärt' (tools.1.function.name): bad", "tools.1.function.name"),
    ("tools.1.input_schema.properties.a.type: bad",
     "tool 'zweites wärt' (tools.1.function.parameters.properties.a.type): bad",
     "tools.1.function.parameters.properties.a.type"),
    ("tools.2.custom: bad", "tool 'free' (tools.2.custom): bad", "tools.2.custom"),
    ("tools.9.custom: bad", "tools.9.custom: bad", None),
    ("messages.0.content.0.text: bad", "messages.1: bad", "messages.1"),
    ("messages.0.content.1.text: bad", "messages.2.content.0: bad", "messages.2.content.0"),
    ("messages.0.content.2.image.source.base64: Could not process image",
     "the image in messages.2.content.1: Could not process image", "messages.2.content.1"),
    ("messages.2.content.1.image.source.base64.data: too large", "the image in messages.5.content.0: too large",
     "messages.5.content.0"),
    ("system.0.text: bad", "messages.0: bad", "messages.0"),
    ("system.3.text: bad", "system.3.text: bad", None),
    ("messages.1.content.0.tool_use.input: bad", "tool call 'call:1' (messages.3.tool_calls.0): bad",
     "messages.3.tool_calls.0"),
    ("messages.2.content.0.tool_result: bad", "the result of tool call 'call:1' (messages.4): bad", "messages.4"),
    ("messages.1: bad", "messages.3.tool_calls.0: bad", "messages.3.tool_calls.0"),
    ("messages.7: bad", "messages.7: bad", None),
    ("messages.0.content.9: bad", "messages.0.content.9: bad", None),
    ("max_tokens: 9 > 8", "max_completion_tokens: 9 > 8", "max_completion_tokens"),
    ("Nothing about a place.", "Nothing about a place.", None),
    ("tools.0.custom.name and tools.1.custom.name are the same",
     "tool 'first' (tools.0.function.name) and tool 'zweites wärt' (tools.1.function.name) are the same",
     "tools.0.function.name"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "expected", "param"), PLACES)
async def test_a_place_is_the_clients_own(message: str, expected: str, param: str | None) -> None:
    assert await told(PATH, CHAT, message) == (expected, param)


async def test_places_of_a_responses_request() -> None:
    body = {
        "tools": [{"type": "web_search"}, {"type": "function", "name": "list_apps",
                                           "parameters": {"type": "object", "properties": {}}}],
        "input": [{"role": "user", "content": "hi"}, {"role": "user", "content": "ho"}],
    }  # fmt: skip
    message, param = await told("/v1/responses", body, "tools.0.custom.input_schema: bad")
    assert message.startswith("tool 'list_apps' (tools.1")
    assert (param or "").startswith("tools.1")
    assert (await told("/v1/responses", body, "messages.0.content.1.text: bad")) == ("input.1: bad", "input.1")


async def test_a_format_that_became_a_tool_is_named_as_the_format() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}}}}
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}], "response_format": schema}
    message, param = await told(PATH, body, "output_config.format.schema: bad")
    assert (message, param) == ("response_format.json_schema.schema: bad", "response_format.json_schema.schema")


async def test_a_hint_of_the_gateway_is_set_apart_from_the_upstreams_sentence() -> None:
    message, _ = await told(PATH, CHAT, "prompt is too long: 9 tokens > 8 maximum")
    first, _, hint = message.partition("\n\n")
    assert first == "prompt is too long: 9 tokens > 8 maximum"
    assert hint == "Hint of the gateway: Send fewer or shorter messages."


@pytest.mark.parametrize("path", ["/v1/messages"])
async def test_native_clients_get_the_words_as_they_came(path: str) -> None:
    upstream = refusal("tools.0.custom.input_schema: bad")
    body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    response = await request(gateway(upstream), "POST", path, body)
    assert response.json()["error"]["message"] == "tools.0.custom.input_schema: bad"


def words(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text} for text in texts]


MOVED: dict[str, Any] = {
    "messages": [
        {"role": "developer", "content": words(" ", "Be short.", "Be kind.")},
        {"role": "user", "content": [*words("", "go on", " "), {"type": "image_url", "image_url": {"url": PIXEL}}]},
        {"role": "assistant", "content": "well"},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "tool_calls": [
            {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in "ab"]},
        {"role": "tool", "tool_call_id": "b", "content": [
            *words("", "seen"), {"type": "image_url", "image_url": {"url": PIXEL}}]},
        {"role": "system", "content": words("go on", "now")},
        {"role": "user", "content": words("go on"), "cache_control": {"type": "ephemeral"}},
        {"role": "tool", "tool_call_id": "a", "content": "done"},
    ],
}  # fmt: skip
MOVED_PLACES = [
    ("system.0: x", "messages.0.content.1: x"), ("system.1.text: x", "messages.0.content.2: x"),
    ("messages.0.content.0.text: x", "messages.1.content.1: x"), ("messages.0: x", "messages.1: x"),
    ("messages.0.content.1.image.source.base64: x", "the image in messages.1.content.3: x"),
    ("messages.2.content.0.text: x", "messages.3: x"),
    ("messages.4.content.0.tool_result.content.1.image.source: x", "the image in messages.5.content.2: x"),
    ("messages.4.content.0.tool_result.content.0.text: x", "messages.5.content.1: x"),
    ("messages.4.content.0.tool_result.content.7: x", "the result of tool call 'b' (messages.5): x"),
    ("messages.4.content.0.content: x", "the result of tool call 'b' (messages.5): x"),
    ("messages.4.content.1.tool_result: x", "the result of tool call 'a' (messages.8): x"),
    ("messages.4.content.2.text: x", "messages.6.content.0: x"),
    ("messages.4.content.3.text: x", "messages.6.content.1: x"),
    ("messages.4.content.4.text: x", "messages.7.content.0: x"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "expected"), MOVED_PLACES)
async def test_parts_are_found_whatever_was_dropped_merged_or_moved(message: str, expected: str) -> None:
    assert (await told(PATH, MOVED, message))[0] == expected


async def test_parts_of_a_responses_request() -> None:
    url = {"type": "input_image", "image_url": PIXEL}
    body = {
        "instructions": "Be short.",
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
            {"role": "user", "content": [{"type": "input_text", "text": " "}, url]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [url]},
        ],
    }
    places = {
        "system.0.text: x": "instructions: x",
        "system.1.text: x": "input.0.content.0: x",
        "messages.0.content.0.image.source: x": "the image in input.1.content.1: x",
        "messages.2.content.0.tool_result.content.0.image: x": "the image in input.3.output.0: x",
    }
    assert {message: (await told("/v1/responses", body, message))[0] for message in places} == places


ODD = {"type": "object", "properties": {"Account Number": {"type": "string"}}}
RENAMED_KEY = to_legal_key("Account Number")
ABOUT_KEY = f"tools.0.custom.input_schema.properties.{RENAMED_KEY}.type: '{RENAMED_KEY}' is bad"


async def test_a_renamed_key_is_the_clients_own() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": ODD}}]
    path = "tools.0.function.parameters.properties.Account Number.type"
    expected = (f"tool 'f' ({path}): 'Account Number' is bad", path)
    assert await told(PATH, {**CHAT, "tools": tools}, ABOUT_KEY) == expected


@pytest.mark.parametrize("stream", [False, True])
async def test_a_renamed_key_is_the_clients_own_on_native_paths(stream: bool) -> None:
    body = {
        "model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": stream,
        "tools": [{"name": "f", "input_schema": ODD}],
    }  # fmt: skip
    response = await request(gateway(refusal(ABOUT_KEY)), "POST", "/v1/messages", body)
    assert response.status == 400
    assert response.json()["error"] == {"type": "invalid_request_error", "message": ABOUT_KEY.replace(
        RENAMED_KEY, "Account Number")}  # fmt: skip


@pytest.mark.parametrize("path", [PATH, "/v1/responses"])
async def test_an_error_inside_a_stream_has_the_clients_places(path: str) -> None:
    refused = {"type": "invalid_request_error", "message": "messages.0.content.1.text: bad"}
    upstream = FakeUpstream([stream_reply(
        event("message_start", message={"id": "m", "type": "message", "content": [], "usage": {}}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"}),
        event("error", error=refused),
    )])  # fmt: skip
    history = [{"role": "user", "content": "hi"}, {"role": "user", "content": "ho"}]
    body = {"model": MODEL, "stream": True, "messages" if path == PATH else "input": history}
    response = await request(gateway(upstream), "POST", path, body)
    assert b"Hello" in response.body
    assert (b"messages.1: bad" if path == PATH else b"input.1: bad") in response.body


async def test_an_error_of_a_count_has_the_clients_places() -> None:
    body = {"input": [{"role": "user", "content": "hi"}, {"role": "user", "content": "ho"}]}
    counted = await told("/v1/responses/input_tokens", body, "messages.0.content.1.text: bad")
    assert counted == ("input.1: bad", "input.1")

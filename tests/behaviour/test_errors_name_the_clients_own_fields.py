"""Risk: upstream names a place of its own request, and nobody can tell which tool, message or image of the client's it
was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.asgi import request
from support.fakes import FakeUpstream, error_reply
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
    ("messages.0.content.1.text: bad", "messages.2: bad", "messages.2"),
    ("messages.0.content.2.image.source.base64: Could not process image",
     "the image in messages.2: Could not process image", "messages.2"),
    ("messages.2.content.1.image.source.base64.data: too large", "the image in messages.5: too large", "messages.5"),
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

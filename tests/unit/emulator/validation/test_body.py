"""The shape of a request body: every error has the real path and message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.emulator_calls import (
    MODEL,
    ask,
    assistant,
    body_of,
    emulator,
    error_message,
    send,
    text,
    tool,
    tool_use,
    user,
)

APP = emulator()
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG, **source}}


BODIES: list[tuple[dict[str, Any], str]] = [
    (body_of(model=MODEL), "model: Extra inputs are not permitted"),
    (body_of(anthropic_version=None), "anthropic_version: Field required"),
    (body_of(anthropic_version="2023-06-01"), "anthropic_version: Input should be 'vertex-2023-10-16' or '2026-10-21'"),
    (body_of(max_tokens=None), "max_tokens: Field required"),
    (body_of(max_tokens="5"), "max_tokens: Input should be a valid integer"),
    (body_of(max_tokens=True), "max_tokens: Input should be a valid integer"),
    (body_of(max_tokens=-1), "max_tokens: Input should be greater than or equal to 0"),
    (body_of(messages=None), "messages: Field required"),
    (body_of(messages="Hi"), "messages: Input should be a valid list"),
    (body_of(messages=[]), "messages: at least one message is required"),
    (body_of(messages=[{"role": "user"}]), "messages.0.content: Field required"),
    (
        body_of(messages=[{"role": "user", "content": "x", "name": "a"}]),
        "messages.0.name: Extra inputs are not permitted",
    ),
    (body_of(5), "messages.0.content: Input should be a valid string"),
    (body_of([{"text": "x"}]), "messages.0.content.0: Unable to extract tag using discriminator 'type'"),
    (body_of([{"type": "text"}]), "messages.0.content.0.text.text: Field required"),
    (
        body_of([text("x"), {"type": "text", "text": 1}]),
        "messages.0.content.1.text.text: Input should be a valid string",
    ),
    (body_of([text("x", id="1")]), "messages.0.content.0.text.id: Extra inputs are not permitted"),
    (
        body_of([image(media_type="image/bmp")]),
        (
            "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', "
            "'image/gif' or "
            "'image/webp'"
        ),
    ),
    (
        body_of([{"type": "image", "source": {"type": "url", "url": "https://x"}}]),
        (
            "messages.0.content.0.image.source: Input tag 'url' found using 'type' does not match any of the "
            "expected tags: 'base64'"
        ),
    ),
    (
        body_of([{"type": "document", "source": {"type": "file", "file_id": "f"}}]),
        (
            "messages.0.content.0.document.source: Input tag 'file' found using 'type' does not match any of the "
            "expected tags: 'base64', 'content', 'text'"
        ),
    ),
    (
        body_of(messages=[user("a"), assistant(tool_use("bad id"))], tools=[tool()]),
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    (body_of(system=5), "system: Input should be a valid string"),
    (
        body_of(system=[{"type": "image"}]),
        "system.0: Input tag 'image' found using 'type' does not match any of the expected tags: 'text'",
    ),
    (body_of(temperature=1.5), "temperature: Input should be less than or equal to 1.0"),
    (body_of(top_p="x"), "top_p: Input should be a valid number"),
    (body_of(top_k=-1), "top_k: Input should be greater than or equal to 0"),
    (body_of(stop_sequences="x"), "stop_sequences: Input should be a valid list"),
    (body_of(stop_sequences=["ok", " \n"]), "stop_sequences: each stop sequence must contain non-whitespace"),
    (body_of(stream="yes"), "stream: Input should be a valid boolean"),
    (body_of(metadata={"user_id": "u", "plan": "x"}), "metadata.plan: Extra inputs are not permitted"),
    (body_of(thinking={"type": "enabled"}), "thinking.enabled.budget_tokens: Field required"),
    (
        body_of(thinking={"type": "enabled", "budget_tokens": 500}),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    (
        body_of(thinking={"type": "disabled", "display": "omitted"}),
        "thinking.disabled.display: Extra inputs are not permitted",
    ),
    (
        body_of(thinking={"type": "adaptive", "display": "updates"}),
        "thinking.adaptive.display: Input should be 'summarized' or 'omitted'",
    ),
    (
        body_of(thinking={"type": "adaptive", "block_binding": {}}),
        "thinking.adaptive.block_binding: Extra inputs are not permitted",
    ),
    (
        body_of(thinking={"type": "auto"}),
        (
            "thinking: Input tag 'auto' found using 'type' does not match any of the "
            "expected tags: 'adaptive', 'between_tools', 'disabled', 'enabled'"
        ),
    ),
    (body_of(output_config={"format": {"type": "json_object"}}), "output_config.format.schema: Field required"),
    (
        body_of(output_config={"format": {"type": "text", "schema": {}}}),
        "output_config.format.type: Input should be 'json_schema'",
    ),
    (
        body_of(tools=[{"name": "a.b", "input_schema": {"type": "object"}}]),
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    (body_of(tools=[tool("x" * 129)]), "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
    (body_of(tools=[{"name": "a"}]), "tools.0.custom.input_schema: Field required"),
    (body_of(tools=[{"name": "a", "input_schema": {}}]), "tools.0.custom.input_schema.type: Field required"),
    (
        body_of(tools=[{"name": "a", "input_schema": {"type": "string"}}]),
        "tools.0.custom.input_schema.type: Input should be 'object'",
    ),
    (
        body_of(tools=[{"type": "function", "function": {"name": "a"}}]),
        (
            "tools.0: Input tag 'function' found using 'type' "
            "does not match any of the expected tags: 'bash_20250124', 'custom', 'memory_20250818', "
            "'text_editor_20250124', "
            "'text_editor_20250429', 'text_editor_20250728', 'web_search_20250305'"
        ),
    ),
    (
        body_of(tools=[tool()], tool_choice="auto"),
        "tool_choice: Input should be a valid dictionary or object to extract fields from",
    ),
    (body_of(tools=[tool()], tool_choice={"type": "tool"}), "tool_choice.tool.name: Field required"),
    (
        body_of(tools=[tool()], tool_choice={"type": "none", "disable_parallel_tool_use": True}),
        "tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted",
    ),
    (
        body_of([text("x", cache_control={"type": "persistent"})]),
        (
            "messages.0.content.0.text.cache_control: Input tag "
            "'persistent' found using 'type' does not match any of the expected tags: 'ephemeral'"
        ),
    ),
    (
        body_of([text("x", cache_control={"type": "ephemeral", "ttl": "2h"})]),
        "messages.0.content.0.text.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
    ),
    (
        body_of([text("x", cache_control={"type": "ephemeral", "scope": "global"})]),
        "messages.0.content.0.text.cache_control.ephemeral.scope: Extra inputs are not permitted",
    ),
    *[
        (body_of(**{field: {}}), f"{field}: Extra inputs are not permitted")
        for field in (
            "service_tier",
            "speed",
            "inference_geo",
            "container",
            "mcp_servers",
            "fallbacks",
            "thread",
            "billing_policy",
            "betas",
            "diagnostics",
            "tags",
            "user_profile_id",
            "workspace_id",
            "fallback_credit_token",
            "safeguards",
            "anthropic_betas",
            "output_format",
            "context_management",
            "compaction",
            "functions",
            "n",
        )
    ],
]


@pytest.mark.parametrize(("body", "words"), BODIES, ids=[words[:60] for _, words in BODIES])
async def test_an_invalid_shape_is_reported_by_its_path(body: dict[str, Any], words: str) -> None:
    assert await error_message(APP, body) == words


@pytest.mark.parametrize(
    "body",
    [
        body_of(temperature=None, stop_sequences=None),
        {**body_of(), "temperature": None, "tools": None, "tool_choice": None, "thinking": None, "stream": None},
        body_of(tools=[]),
        body_of(max_tokens=5.0),
        body_of(metadata={"user_id": None}),
        body_of(system=""),
        body_of([text("x", citations=None, cache_control=None)]),
        body_of([image()]),
        body_of(tools=[{**tool(), "type": "custom"}, {**tool("b"), "type": None}]),
        body_of([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}]),
        body_of([{"type": "search_result", "source": "s", "title": "t", "content": [text("x")]}]),
        body_of(tools=[{"type": "bash_20250124", "name": "bash"}]),
        body_of(
            tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": None, "allowed_domains": None}]
        ),
        body_of(messages=[user("a"), user("b"), assistant("c"), assistant("d"), user("e")]),
        body_of(output_config={}),
        body_of(output_config={"format": None}),
    ],
    ids=str,
)
async def test_a_valid_shape_is_accepted(body: dict[str, Any]) -> None:
    answer = await ask(APP, body)
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_not_an_object_is_a_400(raw: bytes) -> None:
    path = f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}:rawPredict"
    answer = await send(APP, "POST", path, raw, {"authorization": "Bearer t"})
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_body_over_the_limit_is_googles_400(stream: bool) -> None:
    body = body_of("x" * 1000, stream=stream)
    answer = await ask(emulator(max_body_bytes=1000), body)
    assert answer.status == 400
    document = answer.json[0] if stream else answer.json
    assert document["error"] == {
        "code": 400,
        "message": f"The request size ({len(json.dumps(body))} bytes) exceeds 0.001MB limit.",
        "status": "FAILED_PRECONDITION",
    }

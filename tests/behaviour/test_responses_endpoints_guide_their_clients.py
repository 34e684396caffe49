"""Risk: a client that retries what can never succeed, waits for a protocol that is not served, or is told nothing."""

from __future__ import annotations

from typing import Any

import pytest

from support.asgi import request
from support.clock import use_runtime
from support.fakes import FakeReply, FakeUpstream, error_reply, message_reply, quota_exceeded
from support.gateway import MODEL, gateway

CODEX = {"originator": "codex_exec"}
JSON = [(b"content-type", b"application/json")]


def counted(tokens: int) -> FakeReply:
    return FakeReply(200, JSON, [b'{"input_tokens": %d}' % tokens])


@pytest.mark.parametrize(
    ("headers", "status", "code"), [({}, 413, "request_too_large"), (CODEX, 400, "context_length_exceeded")]
)
async def test_a_body_over_the_limit_makes_codex_compact_instead_of_retrying(
    headers: dict[str, str], status: int, code: str
) -> None:
    app = gateway(FakeUpstream([]), server={"max_body_bytes": 1024})
    response = await request(app, "POST", "/v1/responses", {"model": MODEL, "input": "a" * 2000}, headers)
    assert (response.status, response.json()["error"]["code"]) == (status, code)


async def test_an_upstreams_413_stays_a_413() -> None:
    refused = error_reply(413, {"type": "error", "error": {"type": "request_too_large", "message": "big"}})
    app = gateway(FakeUpstream([refused]))
    response = await request(app, "POST", "/v1/responses", {"model": MODEL, "input": "Hi"}, CODEX)
    assert (response.status, response.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(("headers", "upstream", "expected"), [({}, None, "5"), (CODEX, None, "2"), (CODEX, "7", "7")])
async def test_codex_is_always_told_when_to_try_a_429_again(
    headers: dict[str, str], upstream: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``retry-after`` it gives up at once, and does not show the message."""
    use_runtime(monkeypatch, jitter=lambda: 0.0)  # what we make up has a random part
    app = gateway(FakeUpstream([quota_exceeded(upstream)]), retries={"max": 0})
    response = await request(app, "POST", "/v1/responses", {"model": MODEL, "input": "Hi"}, headers)
    assert (response.status, response.headers.get("retry-after")) == (429, expected)


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
@pytest.mark.parametrize("headers", [{}, {"upgrade": "websocket", "connection": "Upgrade"}])
async def test_the_websocket_mode_is_refused_at_once(path: str, headers: dict[str, str]) -> None:
    response = await request(gateway(FakeUpstream([])), "GET", path, b"", headers)
    assert (response.status, response.headers["upgrade"]) == (426, "websocket")
    assert response.json()["error"]["message"].endswith(f"Use POST {path}.")


@pytest.mark.parametrize("path", ["/v1/conversations", "/conversations", "/v1/conversations/conv_1/items"])
async def test_conversations_are_not_here_and_the_message_says_what_is(path: str) -> None:
    response = await request(gateway(FakeUpstream([])), "POST", path, {})
    assert response.status == 404
    assert "previous_response_id" in response.json()["error"]["message"]


async def test_a_chat_request_is_sent_to_its_endpoint() -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    response = await request(gateway(FakeUpstream([])), "POST", "/v1/responses", body)
    assert (response.status, response.json()["error"]["param"]) == (400, "messages")
    assert "/v1/chat/completions" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "param"),
    [("stream=true", "stream"), ("starting_after=3", "stream"), ("stream=false", None), ("include[]=x", None)],
)
async def test_a_stored_response_is_read_in_one_piece(query: str, param: str | None) -> None:
    app = gateway(FakeUpstream([message_reply()]))
    created = (await request(app, "POST", "/v1/responses", {"model": MODEL, "input": "Hi"})).json()
    response = await request(app, "GET", f"/v1/responses/{created['id']}", query=query)
    if param is None:
        assert response.json() == created
    else:
        assert (response.status, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("name", "shown"), [("include", True), ("include[]", True), ("include[0]", True), ("x", False)]
)
async def test_sealed_thinking_is_shown_to_those_who_ask(name: str, shown: bool) -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    app = gateway(FakeUpstream([message_reply(content=[thinking, {"type": "text", "text": "Hi"}])]))
    created = (await request(app, "POST", "/v1/responses", {"model": MODEL, "input": "Hi"})).json()
    query = f"{name}=reasoning.encrypted_content"
    response = await request(app, "GET", f"/v1/responses/{created['id']}", query=query)
    assert ("encrypted_content" in response.json()["output"][0]) is shown


async def test_a_finished_response_cannot_be_cancelled() -> None:
    app = gateway(FakeUpstream([message_reply()]))
    created = (await request(app, "POST", "/v1/responses", {"model": MODEL, "input": "Hi"})).json()
    response = await request(app, "POST", f"/v1/responses/{created['id']}/cancel")
    assert response.status == 400
    assert "background" in response.json()["error"]["message"]


# Counts of tokens


async def test_a_count_is_that_of_the_translated_request() -> None:
    upstream = FakeUpstream([counted(42)])
    body: dict[str, Any] = {
        "model": MODEL, "input": "Hi", "instructions": "Be kind.", "max_output_tokens": 7, "temperature": 0.5,
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
    }  # fmt: skip
    response = await request(gateway(upstream), "POST", "/v1/responses/input_tokens", body)
    assert response.json() == {"object": "response.input_tokens", "input_tokens": 42}
    sent = upstream.body()
    assert set(sent) == {"anthropic_version", "model", "messages", "system", "tools"}
    assert sent["messages"][0]["content"][0]["text"] == "Hi"
    assert "x-modelmux-estimate" not in response.headers


async def test_a_count_that_cannot_be_had_is_estimated_and_marked() -> None:
    upstream = FakeUpstream([error_reply(429, {"type": "error", "error": {"type": "rate_limit_error", "message": ""}})])
    body = {"model": MODEL, "input": "Hi " * 1000}
    response = await request(gateway(upstream), "POST", "/v1/responses/input_tokens", body)
    assert response.headers["x-modelmux-estimate"] == "true"
    assert response.json()["input_tokens"] > 500


async def test_a_count_tells_what_is_changed_about_the_request() -> None:
    body = {"model": MODEL, "input": "Hi", "tools": [{"type": "web_search"}]}
    response = await request(gateway(FakeUpstream([counted(9)])), "POST", "/v1/responses/input_tokens", body)
    assert "dropped=tools" in response.headers["x-modelmux-notices"]
    strict = {"x-modelmux-strict": "1"}
    refused = await request(gateway(FakeUpstream([])), "POST", "/v1/responses/input_tokens", body, strict)
    assert (refused.status, refused.json()["error"]["code"]) == (400, "strict_mode")


async def test_a_stored_conversation_can_be_counted_without_a_new_input() -> None:
    app = gateway(FakeUpstream([message_reply(), counted(30)]))
    created = (await request(app, "POST", "/v1/responses", {"model": MODEL, "input": "Hi"})).json()
    body = {"model": MODEL, "previous_response_id": created["id"]}
    assert (await request(app, "POST", "/v1/responses/input_tokens", body)).json()["input_tokens"] == 30


@pytest.mark.parametrize(
    ("model", "sent", "repeated"),
    [(MODEL, {"temperature": 0.5}, (0.5, 1.0)), (MODEL, {"temperature": 1.7}, (1.0, 1.0)),
     ("claude-opus-5-5", {"temperature": 0.5, "top_p": 0.5}, (1.0, 1.0)), (MODEL, {}, (1.0, 1.0))],
)  # fmt: skip
async def test_the_response_repeats_the_sampling_that_the_model_got(
    model: str, sent: dict[str, float], repeated: tuple[float, float]
) -> None:
    body = {"model": model, "input": "Hi", "reasoning": {"effort": "none"}, **sent}
    response = (await request(gateway(FakeUpstream([message_reply()])), "POST", "/v1/responses", body)).json()
    assert (response["temperature"], response["top_p"]) == repeated

"""Every recorded exchange, replayed through the gateway: unary and streamed, in one piece and split at random.

What is right is read from the recording by the few naive lines below, which share nothing with the translation.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.asgi import Response, request
from support.fakes import JSON_HEADERS, SSE_HEADERS, FakeReply, FakeUpstream
from support.gateway import PATH, ask, gateway
from support.recorded_messages import arguments, recorded_message, replay
from support.recordings import recordings

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "pause_turn": "length",
    "refusal": "content_filter",
}
DETAILS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


def expected(recording: dict[str, Any]) -> dict[str, Any]:
    """Text, calls, finish reason and usage of a recording."""
    message = recorded_message(recording)
    blocks = message.get("content") or []
    calls = [(b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"]
    usage = message.get("usage") or {}
    finish = FINISH.get(message["stop_reason"], "stop")
    return {
        "text": "".join(b["text"] for b in blocks if b["type"] == "text"),
        "thinking": "".join(b["thinking"] for b in blocks if b["type"] == "thinking"),
        "calls": calls,
        "finish": "tool_calls" if calls and finish == "stop" else finish,
        "prompt": sum(usage.get(name) or 0 for name in DETAILS[:3]),
        "cached": usage.get("cache_read_input_tokens") or 0,
        "completion": usage.get("output_tokens") or 0,
    }


async def answer(recording: dict[str, Any], seed: int, **fields: Any) -> Response:
    upstream = FakeUpstream([replay(recording, seed)])
    response = await request(gateway(upstream), "POST", PATH, ask(**fields))
    assert response.status == 200, response.body
    assert upstream.replies[0].closed
    return response


def check_usage(usage: dict[str, Any], want: dict[str, Any]) -> None:
    assert usage["prompt_tokens"] == want["prompt"]
    assert usage["completion_tokens"] == want["completion"]
    assert usage["total_tokens"] == want["prompt"] + want["completion"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == want["cached"]


@pytest.mark.parametrize("recording", recordings("message", "stream"))
async def test_unary(recording: dict[str, Any]) -> None:
    want = expected(recording)
    reply = (await answer(recording, seed=1)).json()
    choice = reply["choices"][0]
    message = choice["message"]
    assert (message["content"] or "") == want["text"]
    assert message.get("reasoning_content", "") == want["thinking"]
    calls = message.get("tool_calls") or []
    assert [(c["id"], c["function"]["name"], arguments(c["function"]["arguments"])) for c in calls] == want["calls"]
    assert choice["finish_reason"] == want["finish"]
    check_usage(reply["usage"], want)


@pytest.mark.parametrize("recording", recordings("message", "stream"))
@pytest.mark.parametrize("seed", [2, 3])
async def test_streamed(recording: dict[str, Any], seed: int) -> None:
    want = expected(recording)
    response = await answer(recording, seed, stream=True, stream_options={"include_usage": True})
    *chunks, done = response.events()
    assert done == "[DONE]"
    assert len({(c["id"], c["created"], c["model"]) for c in chunks}) == 1
    *content, finish, usage = chunks
    deltas = [c["choices"][0]["delta"] for c in content]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(d.get("content") or "" for d in deltas) == want["text"]
    assert "".join(d.get("reasoning_content") or "" for d in deltas) == want["thinking"]
    calls: list[list[str]] = []
    for part in (p for d in deltas for p in d.get("tool_calls", ())):
        if "id" in part:
            assert part["index"] == len(calls)
            calls.append([part["id"], part["function"]["name"], ""])
        calls[part["index"]][2] += part["function"]["arguments"]
    assert [(id, name, arguments(text)) for id, name, text in calls] == want["calls"]
    assert finish["choices"] == [
        {"index": 0, "delta": {}, "logprobs": None, "finish_reason": want["finish"]},
    ]
    assert usage["choices"] == []
    check_usage(usage["usage"], want)
    assert all(c["usage"] is None for c in chunks[:-1])


#: Status and code a client gets for each recorded error.
ERRORS = {
    "err-anthropic-v1-messages-beta-true-post-1913e018-347d9c": (502, "upstream_auth_error"),
    "err-cassettes-test-error-handling-078acd": (404, "model_not_found"),
    "err-chat-error-handling-with-gemini-gemini-2-5-flash-raises-appropri-94325d": (400, None),
    "err-chat-real-error-scenarios-gemini-gemini-2-5-flash-handles-contex-963a26": (429, "rate_limit_exceeded"),
    "err-claude-3-5-haiku-20241022-object-basic-6f130b": (400, None),
    "err-claudeexecutor-retry-test-go-3cb453": (503, "overloaded"),
    "err-test-model-name-suggestion-anthropic-640f18": (404, "model_not_found"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("recording", recordings("error"))
async def test_error(recording: dict[str, Any], stream: bool) -> None:
    body = recording.get("sse") or json.dumps(recording["body"])
    headers = SSE_HEADERS if recording.get("sse") else JSON_HEADERS
    # Without retries the second is for a token that is renewed, and refused again.
    refusals = [FakeReply(recording["status"], headers, [body.encode()]) for _ in range(2)]
    app = gateway(FakeUpstream(refusals), retries={"max": 0})
    response = await request(app, "POST", PATH, ask(stream=stream))
    error = response.json()["error"]
    status, code = ERRORS[recording["id"]]
    assert (response.status, error["code"]) == (status, code)
    message = recording["body"]["error"]["message"] if not recording.get("sse") else "Overloaded"
    assert error["message"].startswith(message[:60])

"""``modelmux replay``: what is sent again, what is shown of the response, and what is compared. Risk: a request is sent
that is another one, or half of one.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.cli.replay.compare import differences, figures, table
from modelmux.cli.replay.request import CannotReplay, replayed
from modelmux.cli.replay.response_text import response_text
from modelmux.store.captures.record import Capture, Contents, StoredBody
from modelmux.store.traces.record import Tokens
from support.traces import trace

VERTEX = "/projects/-/locations/global/publishers/anthropic/models/claude-sonnet-4-6:streamRawPredict"


def capture(body: bytes, path: str = "/v1/messages", **stored: Any) -> Capture:
    contents = Contents(
        path=path, headers={"anthropic-beta": "one,two"}, response=StoredBody(1, 0),
        request=StoredBody(0, len(body), **stored),
    )  # fmt: skip
    return Capture(trace(1).request, contents, {0: body, 1: b""})


def test_the_same_bytes_are_sent_with_the_headers_that_they_need() -> None:
    body = b'{ "model": "m",  "x": 1.50, "messages": [] }'
    request = replayed(capture(body), None)
    assert (request.path, request.body) == ("/v1/messages", body)
    assert request.headers == [(b"content-type", b"application/json"), (b"anthropic-beta", b"one,two")]
    assert replayed(capture(b"not json"), None).body == b"not json"


def test_another_model_is_all_that_changes() -> None:
    body = b'{ "messages": [{"model": "deep"}], "model": "m",  "x": 1.50 }'
    assert (
        replayed(capture(body), 'a "b"').body
        == b'{ "messages": [{"model": "deep"}], "model": "a \\"b\\"",  "x": 1.50 }'
    )
    assert json.loads(replayed(capture(b"{}"), "n").body) == {"model": "n"}
    other = replayed(capture(body, VERTEX), "claude-haiku-4-5@20251001")
    assert other.path == VERTEX.replace("claude-sonnet-4-6", "claude-haiku-4-5@20251001")
    assert other.body == body
    assert replayed(capture(body, VERTEX), "a/b:c").path == VERTEX.replace("claude-sonnet-4-6", "a%2Fb%3Ac")


@pytest.mark.parametrize(
    ("kept", "model", "problem", "hint"),
    [
        (capture(b"x" * 10, is_cut=True), None, "too large, and only 10 bytes", "Raise capture.max_body_bytes"),
        (capture(b"{}", files=1), None, "an image or document was left out", "Set capture.files = true"),
        (capture(b"{}", files=2), None, "2 images or documents were left out", "Set capture.files = true"),
        (capture(b"no json"), "m", "not a JSON object", "Leave --model out"),
        (capture(b'{"model":"a","model":"b"}'), "m", "names each key once", "Leave --model out"),
        (
            Capture(trace(1).request, Contents(path="/", headers={}, response=StoredBody(0, 0)), {0: b""}), None,
            "never read", "outcome",
        ),
    ],
)  # fmt: skip
def test_half_a_request_is_not_sent(kept: Capture, model: str | None, problem: str, hint: str) -> None:
    with pytest.raises(CannotReplay, match=problem) as caught:
        replayed(kept, model)
    assert hint in caught.value.hint


CHAT = {"choices": [{"message": {"content": "Hi", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}]}
MESSAGE = {"content": [{"type": "text", "text": "Hi"}, {"type": "tool_use", "name": "f", "input": {}}]}
RESPONSE = {
    "output": [
        {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
        {"type": "function_call", "name": "f", "arguments": "{}"},
    ]
}  # fmt: skip
STREAMS: dict[str, list[Any]] = {
    "chat": [
        {"choices": [{"delta": {"role": "assistant", "content": None}}]},
        {"choices": [{"delta": {"content": "H"}}]}, {"choices": [{"delta": {"content": "i"}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "{}"}}]}}]}, {"choices": [], "usage": {}},
    ],
    "messages": [
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f"}},
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "message_stop"},
    ],
    "responses": [
        {"type": "response.output_item.added", "item": {"type": "message"}},
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": "response.output_item.added", "item": {"type": "function_call", "name": "f"}},
        {"type": "response.function_call_arguments.delta", "delta": "{}"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("message", [CHAT, MESSAGE, RESPONSE])
def test_a_message_is_shown_as_text(message: Any) -> None:
    assert response_text(json.dumps(message).encode(), "application/json") == "Hi\n[call of f] {}"


@pytest.mark.parametrize("dialect", STREAMS)
def test_a_stream_is_shown_as_text(dialect: str) -> None:
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in STREAMS[dialect]) + "data: [DONE]\n\n"
    assert response_text(data.encode(), "text/event-stream; charset=utf-8") == "Hi\n[call of f] {}"


@pytest.mark.parametrize(
    "body", [b'{"error": {"message": "no"}}', b"", b"<html>", b"[1]", b'{"choices": [3], "content": 1}']
)
def test_what_is_not_a_reply_is_left_to_its_bytes(body: bytes) -> None:
    assert response_text(body, "application/json") is None
    assert response_text(b"data: " + body + b"\n\n", "text/event-stream") is None


def test_tokens_and_cost_are_compared() -> None:
    before = trace(1, cost="0.0105", tokens=Tokens(5, 10, 0, 3)).request
    after = trace(2, cost="0.0205", tokens=Tokens(15, 0, 20, 1_003), model="claude-opus-5").request
    more = differences(figures(before), figures(after))
    assert more == {"input": 10, "cache_read": -10, "cache_write": 20, "output": 1000, "cost": "0.0100"}
    lines = list(table(before, after))
    assert lines[0].split() == ["original", "replay"]
    assert lines[1].split() == ["model", "claude-sonnet-4-6", "claude-opus-5"]
    assert [line.split()[-1] for line in lines[3:8]] == ["+10", "-10", "+20", "+1,000", "+$0.0100"]
    assert list(table(after, before))[7].split()[-1] == "-$0.0100"
    failed = trace(3, tokens=None, cost=None, attempts=(), outcome="client_error", status=404).request
    assert differences(figures(before), figures(failed)) == dict.fromkeys(more)
    lines = list(table(before, failed))
    assert lines[2].split() == ["outcome", "ok", "200", "client_error", "404"]
    assert lines[3].split() == ["input", "5", "-"]
    assert lines[7].split() == ["cost", "$0.0105", "unknown", "price"]

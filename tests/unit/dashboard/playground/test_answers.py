"""Risk: a part of an answer, its tokens or its error is not seen because an API tells it elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.dashboard.playground.answers import (
    Answer,
    Piece,
    Reader,
    error_message,
    read_chat,
    read_messages,
    read_responses,
)

CHAT = [
    {"choices": [{"delta": {"role": "assistant"}}]},
    {"choices": [{"delta": {"reasoning_content": "Hm."}}]},
    {"choices": [{"delta": {"content": "He"}}]},
    {"choices": [{"delta": {"content": "llo"}, "finish_reason": None}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {
        "prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}},
]  # fmt: skip
RESPONSES = [
    {"type": "response.created", "response": {"status": "in_progress", "usage": None}},
    {"type": "response.reasoning_summary_text.delta", "delta": "Hm."},
    {"type": "response.output_text.delta", "delta": "He"},
    {"type": "response.output_text.delta", "delta": "llo"},
    {"type": "response.output_text.done", "text": "Hello"},
    {"type": "response.completed", "response": {"status": "completed", "error": None, "usage": {
        "input_tokens": 12, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}}},
]  # fmt: skip
MESSAGES = [
    {"type": "message_start", "message": {"usage": {
        "input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "Hm."}},
    {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "x"}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "He"}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "llo"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]  # fmt: skip
STREAMS: dict[str, tuple[Reader, list[Any], list[Any]]] = {
    "chat": (read_chat, CHAT, ["[DONE]"]), "responses": (read_responses, RESPONSES, []),
    "messages": (read_messages, MESSAGES, []),
}  # fmt: skip


def read(reader: Reader, events: list[Any]) -> tuple[Answer, list[Piece]]:
    answer = Answer()
    data = [event.encode() if isinstance(event, str) else json.dumps(event).encode() for event in events]
    pieces = [piece for piece in (reader(one, answer) for one in data) if piece is not None]
    return answer, pieces


@pytest.mark.parametrize("name", STREAMS)
def test_an_answer_is_the_same_in_every_api(name: str) -> None:
    reader, events, end = STREAMS[name]
    answer, pieces = read(reader, events + end)
    assert pieces == [("thinking", "Hm."), ("text", "He"), ("text", "llo")]
    assert answer.tokens == {"input": 12, "output": 3, "cached": 4}
    assert answer.reason in ("stop", "completed", "end_turn")
    assert answer.is_complete
    assert answer.error is None


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_without_its_end_is_not_complete(name: str) -> None:
    reader, events, end = STREAMS[name]
    assert not read(reader, (events + end)[:-1])[0].is_complete


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("chat", {"error": {"message": "Overloaded", "code": "overloaded"}}),
        ("responses", {"type": "error", "message": "Overloaded", "code": "overloaded"}),
        ("responses", {"type": "error", "error": {"message": "Overloaded"}}),
        (
            "responses",
            {"type": "response.failed", "response": {"status": "failed", "error": {"message": "Overloaded"}}},
        ),
        ("messages", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    ],
)
def test_an_error_in_a_stream_is_seen(name: str, event: Any) -> None:
    reader, events, end = STREAMS[name]
    answer, pieces = read(reader, [*events[:4], event, *end])
    assert answer.error == "Overloaded"
    assert not answer.is_complete
    assert pieces[0] == ("thinking", "Hm.")


@pytest.mark.parametrize("reader", [read_chat, read_responses, read_messages])
@pytest.mark.parametrize("data", ["", "null", "[1]", "{", '{"choices": [1], "usage": 3, "type": 7}', '{"response": 1}'])
def test_what_is_not_an_event_is_skipped(reader: Reader, data: str) -> None:
    answer, pieces = read(reader, [data])
    assert (pieces, answer.tokens, answer.error, answer.is_complete) == ([], {}, None, False)


def test_the_message_of_a_refusal_is_that_of_the_client() -> None:
    assert error_message(b'{"error": {"message": "No.", "code": "no_key"}}') == ("No.", "no_key")
    assert error_message(b'{"type": "error", "error": {"type": "x_error", "message": "No."}}') == ("No.", "x_error")
    assert error_message(b"<html>") == ("<html>", None)
    assert error_message(b"") == ("There is no message.", None)

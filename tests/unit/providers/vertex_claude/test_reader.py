"""Risk: an event is lost or read twice because of where the network cut the bytes, or an error looks like an end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.errors import UpstreamBroken, UpstreamRefused
from modelmux.providers.vertex_claude.reader import ClaudeReplyReader, decode_reply
from modelmux.wire.anthropic import StreamEvent
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun


def sse(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def delta(text: str) -> bytes:
    return sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


PING = sse({"type": "ping"})
ERROR = sse({"type": "error", "error": {"type": "overloaded_error", "message": "acme-prod is busy"}})
BROKEN = b"data: {nonsense\n\n"


def kinds(events: list[Any]) -> list[Any]:
    return [event.type if isinstance(event, StreamEvent) else event.characters for event in events]


def test_text_deltas_that_arrive_together_are_one_run() -> None:
    reader = ClaudeReplyReader()
    assert kinds(reader.feed(PING)) == ["ping"]
    assert kinds(reader.feed(delta("ab") * 9 + PING)) == [18, "ping"]
    assert isinstance(reader.feed(delta("x") * 9)[0], TextDeltaRun)
    assert reader.close() == []


@pytest.mark.parametrize("failure", [ERROR, BROKEN])
@pytest.mark.parametrize("behind", [b"", delta("a") * 9, PING])
def test_a_failure_comes_after_the_events_before_it_and_nothing_after_it(failure: bytes, behind: bytes) -> None:
    reader = ClaudeReplyReader("acme-prod")
    assert kinds(reader.feed(PING)) == ["ping"]
    assert kinds(reader.feed(PING + failure + behind)) == ["ping"]
    assert reader.failure is not None
    for read in (lambda: reader.feed(PING), reader.close):
        with pytest.raises(UpstreamRefused if failure is ERROR else UpstreamBroken) as caught:
            read()
        assert "acme" not in caught.value.public_message


def test_a_failure_in_front_of_a_run_of_text_hides_the_run() -> None:
    reader = ClaudeReplyReader()
    reader.feed(PING)
    assert kinds(reader.feed(PING + BROKEN + delta("a") * 9)) == ["ping"]
    assert reader.failure is not None


def test_a_last_event_without_its_blank_line_is_read_at_the_end() -> None:
    reader = ClaudeReplyReader()
    assert reader.feed(PING[:-1]) == []
    assert kinds(reader.close()) == ["ping"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"nonsense", b"\xff", b'{"type":"error"}', b'{"type":"message"}', b"[" * 100_000,
        b'{"type":"message","content":7}',
    ],
)  # fmt: skip
def test_a_reply_that_is_something_else_is_the_upstreams_failure(body: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="not a Messages reply"):
        decode_reply(body)


def test_an_empty_reply_is_a_reply() -> None:
    assert decode_reply(b'{"type":"message","content":[]}').content == []
    assert decode_reply(b'{"type":"message","stop_reason":"end_turn"}').stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b'[{"error":{"code":429,"message":"acme-prod is busy","status":"RESOURCE_EXHAUSTED"}}]', "rate_limit", "busy"),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"acme-prod is busy"}}', "overloaded", "busy"),
    ],
)
def test_an_error_inside_a_success_is_that_error(body: bytes, kind: str, message: str) -> None:
    with pytest.raises(UpstreamRefused, match=message) as caught:
        decode_reply(body, "acme-prod")
    assert caught.value.kind.name == kind
    assert "acme-prod" not in caught.value.message


@pytest.mark.parametrize("shape", ['[{"error":%s}]', '{"error":%s}'])
def test_an_error_of_google_inside_an_event_keeps_its_status(shape: str) -> None:
    reader = ClaudeReplyReader("acme-prod")
    error = json.dumps({"code": 503, "message": "acme-prod is down", "status": "UNAVAILABLE"})
    assert reader.feed(b"event: error\ndata: %b\n\n" % (shape % error).encode()) == []
    assert isinstance(reader.failure, UpstreamRefused)
    assert reader.failure.kind.name == "overloaded"

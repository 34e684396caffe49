"""Laws that every dialect obeys, over a table of them: the fold law, the split law, and that a stream ends well or says
so. What only Chat Completions has (tools, reasoning, its grammar) is in the files of the laws."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.claude.fold import MessageFold, to_events
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.anthropic_messages.dialect import AnthropicMessages
from modelmux.dialects.base import Dialect, ReplyEncoder
from modelmux.dialects.openai_chat.dialect import OpenAIChat
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.stream import ResponsesEncoder
from modelmux.wire import anthropic, sse
from modelmux.wire.anthropic.raw_reply import to_body, to_stream
from support.dialects import TINY_HUB, TINY_NATIVE
from support.strategies import cut, framed, replies, streams
from support.streams import client_bytes

PLAN = ReplyPlan("m")
#: Text and reason of the end; None for a stream that ended with an error.
Reply = tuple[str, str | None] | None


@dataclass(frozen=True)
class Row:
    """A dialect's encoder, and how its clients read what they get."""

    name: str
    encoder: Callable[[], ReplyEncoder]
    read_stream: Callable[[bytes], Reply]
    read_message: Callable[[bytes], Reply]
    #: Whether it is Anthropic's own: errors of the model pass in their bytes, too.
    passes_errors: bool = False


def _encoder_of(dialect: Dialect) -> Callable[[], ReplyEncoder]:
    return lambda: dialect.encoder(PLAN, id="1", created=1, request_id="r")


def _responses_encoder() -> ReplyEncoder:
    return ResponsesEncoder(ResponsesPlan("m"), id="1", created=1)


def _events(raw: bytes) -> list[tuple[str, Any]]:
    """Name and data of each event."""
    decoder = sse.SSEDecoder()
    return [(event.name.decode(), event.data) for event in (*decoder.feed(raw), *decoder.flush())]


def _chat_stream(raw: bytes) -> Reply:
    datas = [data for _, data in _events(raw)]
    assert all(data != b"[DONE]" for data in datas[:-1])
    chunks = [json.loads(data) for data in datas if data != b"[DONE]"]
    if "error" in chunks[-1]:
        assert datas[-1] != b"[DONE]"
        return None
    assert datas[-1] == b"[DONE]"
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    (reason,) = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices), reason


def _chat_message(raw: bytes) -> Reply:
    choice = json.loads(raw)["choices"][0]
    return choice["message"].get("content") or "", choice["finish_reason"]


def _responses_stream(raw: bytes) -> Reply:
    events = [(name.removeprefix("response."), json.loads(data)) for name, data in _events(raw)]
    ends = [(name, data) for name, data in events if name in ("completed", "incomplete", "failed")]
    assert ends == events[-1:]
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    if ends[0][0] == "failed":
        return None
    return "".join(data["delta"] for name, data in events if name == "output_text.delta"), ends[0][0]


def _responses_message(raw: bytes) -> Reply:
    response = json.loads(raw)
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts if part["type"] == "output_text"), response["status"]


def _hub_stream(raw: bytes) -> Reply:
    events = [(name, json.loads(data)) for name, data in _events(raw)]
    ends = [(name, data) for name, data in events if name in ("end", "failed")]
    assert ends == events[-1:]
    if ends[0][0] == "failed":
        return None
    assert [name for name, _ in events].count("begin") == 1
    return "".join(data["text"] for name, data in events if name == "text"), ends[0][1]["stop"]


def _tiny_message(raw: bytes) -> Reply:
    message = json.loads(raw)
    text = message["text"] if "text" in message else "".join(filter(None, message["content"]))
    return text, message.get("stop", message.get("stop_reason"))


def _native_stream(raw: bytes) -> Reply:
    events = [anthropic.decode_event(data) for _, data in _events(raw)]
    ends = [event for event in events if event.type in ("message_stop", "error")]
    assert ends == events[-1:]
    if ends[0].type == "error":
        return None
    fold = MessageFold()
    for event in events:
        fold.feed(event)
    message = fold.result()
    return "".join(block.text or "" for block in message.content or () if block.type == "text"), message.stop_reason


def _messages_message(raw: bytes) -> Reply:
    message = anthropic.decode_message(raw)
    return "".join(block.text or "" for block in message.content or () if block.type == "text"), message.stop_reason


ROWS = [
    Row("openai_chat", _encoder_of(OpenAIChat()), _chat_stream, _chat_message),
    Row("openai_responses", _responses_encoder, _responses_stream, _responses_message),
    Row("tiny_hub", _encoder_of(TINY_HUB), _hub_stream, _tiny_message),
    Row("tiny_native", _encoder_of(TINY_NATIVE), _native_stream, _tiny_message),
    Row("anthropic_messages", _encoder_of(AnthropicMessages()), _native_stream, _messages_message, passes_errors=True),
]
#: Each law holds for all dialects, and in its own file for the largest of them with more examples.
LIGHT = settings(max_examples=50)
rows = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


@rows
@LIGHT
@given(st.data(), replies())
def test_a_stream_says_what_the_message_says(row: Row, data: st.DataObject, reply: dict[str, Any]) -> None:
    """The fold law."""
    events = data.draw(streams(reply))
    fold = MessageFold()
    for event in events:
        fold.feed(anthropic.decode_event(json.dumps(event).encode()))
    raw = data.draw(framed(events))
    message = row.read_message(row.encoder().message(fold.result(), to_body(raw)))
    assert row.read_stream(client_bytes([raw], row.encoder())) == message


@rows
@LIGHT
@given(replies())
def test_a_message_as_a_stream_says_the_same(row: Row, reply: dict[str, Any]) -> None:
    """Where the upstream sends one piece, or the mode is ``single``."""
    body = json.dumps(reply).encode()
    encoder, events = row.encoder(), to_events(anthropic.decode_message(body))
    # A dialect of native requests gets its bytes from the provider, and is never asked for events without bytes.
    head = encoder.feed_chunk(to_stream(body), events) if row.passes_errors else b"".join(map(encoder.feed, events))
    streamed = head + encoder.finish()
    expected = row.read_message(row.encoder().message(anthropic.decode_message(body), body))
    assert row.read_stream(streamed) == expected


@rows
@LIGHT
@given(st.data(), replies())
def test_any_split_gives_the_same_bytes(row: Row, data: st.DataObject, reply: dict[str, Any]) -> None:
    """The split law."""
    raw = data.draw(framed(data.draw(streams(reply))))
    expected = client_bytes([raw], row.encoder())
    assert client_bytes(cut(data.draw, raw), row.encoder()) == expected
    assert row.read_stream(expected) is not None


FAILURES = [
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
    b"event: content_block_delta\ndata: not json\n\n",
    b"event: content_block_delta\r\ndata: not json\r\n\r\n",
]


@rows
@LIGHT
@given(st.data(), replies(), st.sampled_from(FAILURES))
def test_a_failure_inside_is_the_only_end_however_the_bytes_are_split(
    row: Row, data: st.DataObject, reply: dict[str, Any], failure: bytes
) -> None:
    events = data.draw(streams(reply))
    at = data.draw(st.integers(0, len(events) - 1))
    before = data.draw(framed(events[:at]))
    raw = before + failure + data.draw(framed(events[at:]))
    expected = client_bytes([raw], row.encoder())
    assert client_bytes(cut(data.draw, raw), row.encoder()) == expected
    assert client_bytes([before, failure], row.encoder()) == expected, "nothing after it counts"
    assert row.read_stream(expected) is None
    assert b"not json" not in expected
    passes = row.passes_errors and failure is FAILURES[0]
    assert expected.count(failure) == passes, "passed once, at the end, or replaced"
    assert expected.endswith(failure) or not passes


@rows
@LIGHT
@given(st.data(), replies())
def test_a_cut_stream_never_looks_complete(row: Row, data: st.DataObject, reply: dict[str, Any]) -> None:
    raw = data.draw(framed(data.draw(streams(reply))))
    end = data.draw(st.integers(0, len(raw)))
    out = client_bytes([raw[:end]], row.encoder())
    assert client_bytes(cut(data.draw, raw[:end]), row.encoder()) == out
    reply_read = row.read_stream(out)
    if b'"message_stop"' not in raw[:end]:
        assert reply_read is None


@LIGHT
@given(st.data(), replies())
def test_native_bytes_pass_as_they_came(data: st.DataObject, reply: dict[str, Any]) -> None:
    raw = data.draw(framed(data.draw(streams(reply))))
    passed = client_bytes(cut(data.draw, raw), TINY_NATIVE.encoder(PLAN, id="1", created=1, request_id="r"))
    assert raw.removeprefix(b"\xef\xbb\xbf").startswith(passed)
    assert b'"message_stop"' in passed

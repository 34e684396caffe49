"""Folding the translated stream gives what translating the folded message gives, for every shape of reply."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.translate.chat_response import translate_response
from modelmux.translate.chat_stream import ChatStream
from modelmux.translate.context import ReplyShape
from modelmux.translate.fold import MessageFold, fold_chunks, unfold
from modelmux.translate.usage import translate_usage
from modelmux.wire import anthropic, openai_chat
from modelmux.wire.sse import SSEDecoder
from support.recordings import recordings
from support.strategies import replies, streams

SHAPES = [
    ReplyShape("m"),
    ReplyShape("m", include_usage=True),
    ReplyShape("m", tool_names={"ns_tool": "ns/tool"}, custom_tools=frozenset({"run"})),
    ReplyShape("m", json_tool="get_weather"),
    ReplyShape("m", legacy_function=True),
    ReplyShape("m", strip_fences=True),
    ReplyShape("m", show_reasoning=False),
]


def whole(message: anthropic.Message, shape: ReplyShape) -> Any:
    return msgspec.to_builtins(translate_response(message, shape, id="chatcmpl-1", created=1))


def chunks_of(events: list[anthropic.StreamEvent], shape: ReplyShape) -> list[openai_chat.DecodedChunk]:
    """A client's view: encoded, framed, decoded again."""
    stream = ChatStream(shape)
    encoder = openai_chat.ChunkEncoder(id="chatcmpl-1", created=1, model=shape.model, include_usage=shape.include_usage)
    raw = b"".join(encoder.encode(chunk) for event in events for chunk in stream.feed(event))
    stream.finish()
    return [openai_chat.decode_chunk(event.data) for event in SSEDecoder().feed(raw)]


def decode(events: list[dict[str, Any]]) -> list[anthropic.StreamEvent]:
    return [anthropic.decode_event(json.dumps(event).encode()) for event in events]


def folded(events: list[dict[str, Any]]) -> anthropic.Message:
    fold = MessageFold()
    for event in decode(events):
        fold.feed(event)
    return fold.result()


def check(events: list[dict[str, Any]], shape: ReplyShape) -> None:
    message = folded(events)
    completion = fold_chunks(chunks_of(decode(events), shape), translate_usage(message.usage))
    assert msgspec.to_builtins(completion) == whole(message, shape)


@given(st.data(), replies(), st.sampled_from(SHAPES))
def test_generated_replies(data: st.DataObject, reply: dict[str, Any], shape: ReplyShape) -> None:
    check(data.draw(streams(reply)), shape)


@given(st.data(), replies())
def test_the_upstreams_fold_gives_the_message_back(data: st.DataObject, reply: dict[str, Any]) -> None:
    message = folded(data.draw(streams(reply)))
    want = anthropic.decode_message(json.dumps(reply).encode())
    assert _parsed(whole(message, SHAPES[0])) == _parsed(whole(want, SHAPES[0]))


def _parsed(completion: dict[str, Any]) -> dict[str, Any]:
    """Arguments as values: their spacing is the upstream's business."""
    for call in completion["choices"][0]["message"].get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return completion


@given(replies(), st.sampled_from(SHAPES))
def test_unfolding_and_folding_again_changes_nothing(reply: dict[str, Any], shape: ReplyShape) -> None:
    raw = json.dumps(reply).encode()
    message = anthropic.decode_message(raw)
    completion = fold_chunks(chunks_of(unfold(anthropic.decode_message(raw)), shape), translate_usage(message.usage))
    assert msgspec.to_builtins(completion) == whole(message, shape)


@pytest.mark.parametrize("shape", SHAPES[:2])
@pytest.mark.parametrize("recording", recordings("stream"))
def test_recorded_streams(recording: dict[str, Any], shape: ReplyShape) -> None:
    decoder = SSEDecoder()
    framed = [*decoder.feed(recording["sse"].encode()), *decoder.flush()]
    check([json.loads(event.data) for event in framed], shape)

"""Fold law: folding the translated stream equals translating the folded message, for every shape of reply."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.fold import MessageFold, to_events
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.openai_chat.fold import fold_chunks
from modelmux.dialects.openai_chat.response import translate_response
from modelmux.dialects.openai_chat.stream import ChatEncoder
from modelmux.dialects.openai_chat.usage import translate_usage
from modelmux.wire import anthropic, sse
from modelmux.wire.openai import chat_response
from support.recordings import recordings
from support.strategies import disorder, replies, streams
from support.translation import CREATED, ID, chunks_of

SHAPES = [
    ReplyPlan("m"),
    ReplyPlan("m", include_usage=True, tool_names={"ns_tool": "ns/tool"}),
    ReplyPlan("m", legacy_function=True),
    ReplyPlan("m", include_usage=True, custom_tools=frozenset({"shell", "run"}), tool_names={"run": "r.un"}),
    ReplyPlan("m", answer_tool="answer"),
    ReplyPlan("m", strip_code_block=True),
    ReplyPlan("m", show_reasoning=False),
]
#: Where calls and text are told apart; elsewhere disorder would mix them.
WITHOUT_ANSWER_TOOL = [shape for shape in SHAPES if shape.answer_tool is None]


def decode(events: list[dict[str, Any]]) -> list[anthropic.StreamEvent]:
    return [anthropic.decode_event(json.dumps(event).encode()) for event in events]


def folded(events: list[anthropic.StreamEvent]) -> anthropic.Message:
    fold = MessageFold()
    for event in events:
        fold.feed(event)
    return fold.result()


def folded_message(message: anthropic.Message, shape: ReplyPlan) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(translate_response(message, shape, id=ID, created=CREATED))
    return plain


def streamed(events: list[anthropic.StreamEvent], shape: ReplyPlan) -> list[chat_response.DecodedChunk]:
    """The chunks a client reads, decoded from the bytes it gets."""
    encoder = ChatEncoder(shape, id=ID, created=CREATED)
    raw = b"".join(map(encoder.feed, events)).replace(sse.KEEP_ALIVE, b"")  # pings become comments
    encoder.state.check_complete()
    return chunks_of(raw)


def check(events: list[dict[str, Any]], shape: ReplyPlan) -> None:
    """The law; usage is compared only where the stream has it."""
    chunks, message = streamed(decode(events), shape), folded(decode(events))
    want = folded_message(message, shape)
    assert [c.usage is not None for c in chunks] == [False] * (len(chunks) - 1) + [shape.include_usage]
    nothing = translate_usage(None)
    completion = msgspec.to_builtins(fold_chunks(chunks, nothing))
    if not shape.include_usage:
        assert completion.pop("usage") == msgspec.to_builtins(nothing)
        want.pop("usage")
    assert completion == want


@given(st.data(), replies(), st.sampled_from(SHAPES))
def test_generated_replies(data: st.DataObject, reply: dict[str, Any], shape: ReplyPlan) -> None:
    check(data.draw(streams(reply)), shape)


@given(disorder(), st.sampled_from(WITHOUT_ANSWER_TOOL))
def test_events_that_stand_where_they_should_not(events: list[dict[str, Any]], shape: ReplyPlan) -> None:
    check(events, shape)


@given(st.data(), replies())
def test_the_upstreams_fold_gives_the_message_back(data: st.DataObject, reply: dict[str, Any]) -> None:
    message = folded(decode(data.draw(streams(reply))))
    want = anthropic.decode_message(json.dumps(reply).encode())
    shape = ReplyPlan("m")
    assert _parsed(folded_message(message, shape)) == _parsed(folded_message(want, shape))


def _parsed(completion: dict[str, Any]) -> dict[str, Any]:
    """Arguments as values: their spacing is the upstream's business."""
    for call in completion["choices"][0]["message"].get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return completion


def check_events_of_message(raw: bytes, shape: ReplyPlan) -> None:
    chunks = streamed(to_events(anthropic.decode_message(raw)), shape)
    message = anthropic.decode_message(raw)
    completion = fold_chunks(chunks, translate_usage(message.usage))
    assert msgspec.to_builtins(completion) == folded_message(message, shape)


@given(replies(), st.sampled_from(SHAPES))
def test_unfolding_and_folding_again_changes_nothing(reply: dict[str, Any], shape: ReplyPlan) -> None:
    check_events_of_message(json.dumps(reply).encode(), shape)


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("recording", recordings("stream"))
def test_recorded_streams(recording: dict[str, Any], shape: ReplyPlan) -> None:
    lines = recording["sse"].splitlines()
    check([json.loads(line[5:]) for line in lines if line.startswith("data:")], shape)


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("recording", recordings("message"))
def test_recorded_messages(recording: dict[str, Any], shape: ReplyPlan) -> None:
    check_events_of_message(json.dumps(recording["body"]).encode(), shape)

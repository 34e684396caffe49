"""In every mode the client gets the same message: only the pieces differ, and no piece is late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.fold import MessageFold, to_events
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.text_buffer import TextBuffer
from modelmux.dialects.openai_chat.fold import fold_chunks
from modelmux.dialects.openai_chat.response import translate_response
from modelmux.dialects.openai_chat.stream import ChatEncoder
from modelmux.dialects.openai_chat.usage import translate_usage
from modelmux.wire import anthropic
from modelmux.wire.anthropic import Delta, StreamEvent
from modelmux.wire.openai import chat_response
from modelmux.wire.openai.chat_response import Chunk, ChunkDelta
from support.fakes import SSE_HEADERS, FakeReply
from support.recordings import recordings
from support.strategies import TEXT, cut, disorder, framed, replies, streams
from support.streams import relayed
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
MODES = ["standard", "buffered", "single"]
#: Seconds between two events.
PAUSES = st.sampled_from([0.0, 0.0, 0.1, 1.0, 7.0])


def decode(events: Iterable[dict[str, Any]]) -> list[anthropic.StreamEvent]:
    return [anthropic.decode_event(json.dumps(event).encode()) for event in events]


def folded(events: list[dict[str, Any]]) -> anthropic.Message:
    fold = MessageFold()
    for event in decode(events):
        fold.feed(event)
    return fold.result()


def unary_response(events: list[dict[str, Any]], shape: ReplyPlan) -> chat_response.ChatCompletion:
    """The answer to a request that asked for no stream."""
    return translate_response(folded(events), shape, id=ID, created=CREATED)


def standard(events: Iterable[anthropic.StreamEvent], shape: ReplyPlan) -> list[Chunk]:
    """The chunks of these events."""
    encoder = ChatEncoder(shape, id=ID, created=CREATED)
    chunks = [chunk for event in events for chunk in encoder.chunks(event)]
    encoder.state.check_complete()
    return chunks


def buffered(
    events: Iterable[anthropic.StreamEvent], buffer: TextBuffer, pauses: Iterator[float]
) -> list[anthropic.StreamEvent]:
    """What the buffer makes of events, asked again when its time has come; text is never held longer than allowed."""
    out: list[anthropic.StreamEvent] = []
    now = 0.0
    for event in events:
        now += next(pauses)
        if buffer.due is not None and buffer.due <= now:
            out += buffer.flush()
        out += buffer.feed(event, now)
        assert buffer.due is None or buffer.due > now
    return out + buffer.flush()


def streamed(mode: str, data: st.DataObject, events: list[dict[str, Any]], shape: ReplyPlan) -> list[Chunk]:
    """The chunks a client gets in a mode."""
    decoded = decode(events)
    if mode == "single":
        return standard(to_events(folded(events)), shape)
    if mode == "buffered":
        pauses = iter(lambda: data.draw(PAUSES), None)
        size, wait = data.draw(st.sampled_from([0, 1, 7, 64, 65536])), data.draw(st.sampled_from([0.0, 0.5, 5.0]))
        return standard(buffered(decoded, TextBuffer(size, wait, shape.answer_tool), pauses), shape)
    return standard(decoded, shape)


def read(chunks: Iterable[Chunk], shape: ReplyPlan) -> list[chat_response.DecodedChunk]:
    """Chunks as a client reads them from the wire."""
    encoder = chat_response.ChunkEncoder(id=ID, created=CREATED, model=shape.model, include_usage=shape.include_usage)
    return chunks_of(b"".join(map(encoder.encode, chunks)))


def check(mode: str, data: st.DataObject, events: list[dict[str, Any]], shape: ReplyPlan) -> None:
    """The fold law, and the grammar: role first, the finish reason alone, usage last if asked for."""
    chunks, want = streamed(mode, data, events, shape), unary_response(events, shape)
    if not shape.include_usage:
        want.usage = translate_usage(None)
    assert fold_chunks(read(chunks, shape), translate_usage(None)) == want
    assert chunks[0] == Chunk(ChunkDelta(role="assistant", content=""))
    content, (finish, *usage) = (chunks[1:-2], chunks[-2:]) if shape.include_usage else (chunks[1:-1], chunks[-1:])
    assert finish == Chunk(finish_reason=want.choices[0].finish_reason)
    assert [chunk.usage is not None for chunk in usage] == [True] * shape.include_usage
    assert all(chunk.finish_reason is None and chunk.usage is None for chunk in content)
    if mode == "single":  # each block in one piece: a call is its start and its arguments
        blocks = len(folded(events).content or ())
        assert (
            len(content) <= 2 * blocks + 3
        )  # annotations belong to a block; thinking blocks, refusal, rest of a fence


@pytest.mark.parametrize("mode", MODES)
@given(st.data(), replies(), st.sampled_from(SHAPES))
def test_folding_what_the_client_got_gives_the_unary_answer(
    mode: str, data: st.DataObject, reply: dict[str, Any], shape: ReplyPlan
) -> None:
    check(mode, data, data.draw(streams(reply)), shape)


@pytest.mark.parametrize("mode", MODES)
@given(st.data(), disorder(), st.sampled_from([shape for shape in SHAPES if shape.answer_tool is None]))
def test_also_of_events_that_stand_where_they_should_not(
    mode: str, data: st.DataObject, events: list[dict[str, Any]], shape: ReplyPlan
) -> None:
    check(mode, data, events, shape)


@pytest.mark.parametrize("size", [1, 64, 65536])
@pytest.mark.parametrize("recording", recordings("stream"))
def test_also_of_recorded_streams(recording: dict[str, Any], size: int) -> None:
    events = [json.loads(line[5:]) for line in recording["sse"].splitlines() if line.startswith("data:")]
    shape, want = SHAPES[1], unary_response(events, SHAPES[1])
    held = buffered(decode(events), TextBuffer(size, 0.5), cycle([0.0, 0.1, 0.1, 0.7]))
    for chunks in (standard(held, shape), standard(to_events(folded(events)), shape)):
        assert fold_chunks(read(chunks, shape), translate_usage(None)) == want


def merged(chunks: Iterable[Chunk]) -> list[Any]:
    """The chunks with neighbouring text of one kind put together: what buffering may not change."""
    out: list[Any] = []
    for chunk in chunks:
        fields = msgspec.to_builtins(chunk)
        kind = next((k for k in ("content", "reasoning_content") if list(fields["delta"] or ()) == [k]), None)
        if kind is not None and out and isinstance(out[-1], list) and out[-1][0] == kind:
            out[-1][1] += fields["delta"][kind]
        else:
            out.append(fields if kind is None else [kind, fields["delta"][kind]])
    return out


@given(st.data(), replies(), st.sampled_from(SHAPES))
def test_buffering_keeps_the_order_of_everything(data: st.DataObject, reply: dict[str, Any], shape: ReplyPlan) -> None:
    events = data.draw(streams(reply))
    assert merged(streamed("buffered", data, events, shape)) == merged(streamed("standard", data, events, shape))


async def _relayed(pieces: list[bytes], size: int) -> bytes:
    """What a client gets while time stands still."""
    return b"".join(await relayed(FakeReply(200, SSE_HEADERS, pieces), buffer=TextBuffer(size, 60.0)))


@given(st.data(), replies(), st.sampled_from([7, 64, 65536]))
def test_how_the_upstreams_bytes_are_cut_makes_no_difference(
    data: st.DataObject, reply: dict[str, Any], size: int
) -> None:
    raw = data.draw(framed(data.draw(streams(reply))))
    with asyncio.Runner() as runner:
        together = runner.run(_relayed([raw], size))
        assert runner.run(_relayed(cut(data.draw, raw), size)) == together
        assert runner.run(_relayed([raw[i : i + 50] for i in range(0, len(raw), 50)], size)) == together


@given(st.lists(TEXT.filter(bool)), st.integers(0, 40))
def test_no_more_is_held_than_the_bound(texts: list[str], size: int) -> None:
    buffer, held = TextBuffer(size, 5.0), ""
    for text in texts:
        held += text
        for event in buffer.feed(StreamEvent("content_block_delta", 0, delta=Delta("text_delta", text=text)), 0.0):
            assert event.delta is not None
            assert event.delta.text
            assert held.startswith(event.delta.text)
            held = held.removeprefix(event.delta.text)
        assert len(held.encode()) < max(size, 1)
        assert (buffer.due is not None) == bool(held)

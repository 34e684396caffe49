"""Risk: a call of a renamed key reaches the client under a key it does not know, or loses a part of its arguments."""

from __future__ import annotations

import json

import pytest
from msgspec import UNSET, Raw

from modelmux.claude.fold import MessageFold, to_events
from modelmux.claude.reply_keys import ReplyKeys, input_with_client_keys, with_client_keys
from modelmux.wire.anthropic import Block, Delta, Message, StreamEvent

NAMES = {"f": {"a_b__0": "a b", "k__1": "数"}}
SENT = '{"a_b__0": {"a_b__0":1}, "x":"k__1", "k__1":2}'
SHOWN = {"a b": {"a_b__0": 1}, "x": "k__1", "数": 2}


def call(value: str = "{}", name: str = "f", type: str = "tool_use") -> Block:
    return Block(type, id="t", name=name, input=Raw(value.encode()))


def start(index: int, block: Block) -> StreamEvent:
    return StreamEvent("content_block_start", index, content_block=block)


def piece(index: int, text: str | None, type: str = "input_json_delta") -> StreamEvent:
    return StreamEvent("content_block_delta", index, delta=Delta(type, partial_json=text))


def stop(index: int) -> StreamEvent:
    return StreamEvent("content_block_stop", index)


def fed(*events: StreamEvent) -> list[StreamEvent]:
    keys = ReplyKeys(NAMES)
    return [shown for event in events for shown in keys.feed(event)]


def arguments(events: list[StreamEvent], index: int = 0) -> str:
    return "".join(e.delta.partial_json or "" for e in events if e.delta is not None and e.index == index)


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_a_call_in_pieces_of_any_size(size: int) -> None:
    pieces = [piece(0, SENT[at : at + size]) for at in range(0, len(SENT), size)]
    events = fed(start(0, call()), *pieces, stop(0))
    assert json.loads(arguments(events)) == SHOWN
    assert [events[0].type, events[-1].type] == ["content_block_start", "content_block_stop"]


def test_calls_that_are_mixed_are_not_confused() -> None:
    events = fed(
        start(0, call()), start(1, call(name="g")), start(2, call()),
        piece(0, '{"a_b'), piece(1, '{"a_b__0":1}'), piece(2, '{"k__1":1}'), piece(0, '__0":1}'), stop(1), stop(0),
    )  # fmt: skip
    assert [arguments(events, index) for index in range(3)] == ['{"a b":1}', '{"a_b__0":1}', '{"数":1}']


@pytest.mark.parametrize("end", [stop(0), start(0, call()), StreamEvent("message_stop")])
def test_a_key_that_was_cut_off_comes_before_the_end(end: StreamEvent) -> None:
    *_, rest, last = fed(start(0, call()), piece(0, '{"x":1,"a_'), end)
    assert last is end
    assert rest == piece(0, '"a_')


def test_other_events_are_the_same_objects() -> None:
    events = [
        StreamEvent("ping"), StreamEvent("content_block_start", 9), start(1, Block("text", text="")), start(0, call()),
        piece(0, None), piece(0, ""), piece(0, "{", "text_delta"), piece(0, '{"x":1}'), piece(5, "{"),
        StreamEvent("content_block_delta", 0), stop(1), stop(0), StreamEvent("message_stop"),
    ]  # fmt: skip
    assert all(shown is event for shown, event in zip(fed(*events), events, strict=True))


def test_a_whole_message_and_its_stream_are_the_same() -> None:
    message = Message(
        content=[Block("text", text="hm"), call(SENT), call(SENT, "g"), call(SENT, type="server_tool_use")]
    )
    shown = with_client_keys(message, NAMES)
    assert shown.content is not None
    inputs = [json.loads(bytes(block.input)) for block in shown.content[1:]]  # type: ignore[arg-type]
    assert inputs == [SHOWN, json.loads(SENT), json.loads(SENT)]
    fold = MessageFold()
    for event in fed(*to_events(message)):
        fold.feed(event)
    assert fold.result().content == shown.content


def test_a_message_without_such_calls_stays() -> None:
    message = Message(content=[call(SENT)])
    assert with_client_keys(message, {}) is message
    assert with_client_keys(Message(), NAMES).content == []
    assert input_with_client_keys(Block("tool_use", name="f", input=UNSET), NAMES) is None
    assert input_with_client_keys(call(), NAMES) is None
    assert (
        input_with_client_keys(Block("tool_use", name="f", input=Raw(b'{"k__1":"\xff"}')), NAMES)
        == '{"数":"\ufffd"}'.encode()
    )

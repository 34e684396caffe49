"""Risk: an error event that is two events or none, a model name that is changed elsewhere than in the reply's head.
Streams as a whole are played in ``tests/unit/gateway/test_prepare_native.py``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.registry import ANTHROPIC_MESSAGES
from modelmux.errors import UpstreamBroken
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.routing.model import Deployment
from modelmux.wire import anthropic, sse

MESSAGE = anthropic.decode_message(b'{"id":"m"}')
HERE = Deployment("a", "u", "acme-prod", "eu", builtin().cards[0])


def encoder(plan: ReplyPlan = ReplyPlan("asked")) -> Any:  # noqa: B008
    return ANTHROPIC_MESSAGES.encoder(plan, id="1", created=1, request_id="req_1")


@pytest.mark.parametrize("indent", ["\n", "\r\n", "\r"])
def test_an_error_is_one_event_however_its_json_is_written(indent: str) -> None:
    body = indent.join(['{"type":"error",', ' "error":{"type":"api_error","message":"a  b"}}']).encode()
    data = encoder().fail(VertexClaude().error(500, [], body, HERE))
    (event,) = sse.SSEDecoder().feed(data)
    assert (event.name, json.loads(event.data)) == (b"error", json.loads(body))
    (event,) = sse.SSEDecoder().feed(encoder().fail(UpstreamBroken("cut", reply_started=True)))
    assert json.loads(event.data)["request_id"] == "req_1"


def test_a_message_is_its_bytes_or_has_the_requested_model() -> None:
    body = b'{ "id":"m", "model" : "claude-x", "new":1.0 }'
    assert encoder().message(MESSAGE, body) == body
    assert encoder(ReplyPlan("asked", rename_model=True)).message(MESSAGE, body) == body.replace(b"claude-x", b"asked")


def test_a_restarted_encoder_has_seen_nothing() -> None:
    first = encoder()
    first.feed_chunk(b"x", [anthropic.StreamEvent("content_block_start")])
    again = first.restart(ReplyPlan("other"))
    assert (first.content_started, again.content_started, again.plan.model) == (True, False, "other")
    assert again.finish() == b""


def read(rename_model: bool, *chunks: bytes) -> tuple[bytes, Any]:
    """What a client gets of these chunks, and the encoder."""
    ours, reader = encoder(ReplyPlan("asked", rename_model=rename_model)), VertexClaude().reader(HERE)
    return b"".join(ours.feed_chunk(chunk, reader.feed(chunk)) for chunk in chunks), ours


START = (
    b'event: ping\ndata: {"type":"ping"}\n\n'
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-x","id":"m"}}\n\n'
)
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"claude-x"}}\n\n'  # noqa: E501


def test_a_stream_has_the_requested_model_in_its_head_only() -> None:
    assert read(False, START + DELTA)[0] == START + DELTA
    assert read(True, START + DELTA)[0] == START.replace(b"claude-x", b"asked") + DELTA


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'data: {"type":"ping","x":"message_start"}\n\n' + START, None),
        (b'data: {"type":"message_st\\u0061rt","message":{"model":"claude-x"}}\n\n', None),
        (START + START, None),
        (
            b'data: {"type":"message_start",\ndata: "message":{"model":"claude-x"}}\n\n',
            b'data: {"type":"message_start","message":{"model":"asked"}}\n\n',
        ),
    ],
)
def test_the_model_is_replaced_however_the_head_is_framed(data: bytes, expected: bytes | None) -> None:
    result = read(True, data)[0]
    wanted = sse.SSEDecoder().feed(data.replace(b"claude-x", b"asked") if expected is None else expected)
    assert [json.loads(event.data) for event in sse.SSEDecoder().feed(result)] == [
        json.loads(event.data) for event in wanted
    ]


@pytest.mark.parametrize("message", [b'{"model":"a","model":"b"}', b"null"])
def test_a_model_that_cannot_be_replaced_is_a_broken_reply(message: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(True, b'data: {"type":"message_start","message":' + message + b"}\n\n")
    with pytest.raises(UpstreamBroken):
        encoder(ReplyPlan("asked", rename_model=True)).message(MESSAGE, message)


def test_content_begins_with_the_first_block() -> None:
    _, ours = read(False, START)
    assert not ours.content_started
    assert ours.keep_alive(10.0).startswith(b":")
    assert read(False, START, DELTA)[1].content_started
    ours = read(False, START, b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n')[1]
    assert ours.content_started
    assert ours.keep_alive(10.0) == b'event: ping\ndata: {"type": "ping"}\n\n'


HEAD = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"claude-x","new":1.0}}\n\n'
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


@pytest.mark.parametrize("before", [b"", PING, b": comment\n\n"])
def test_only_the_head_shows_the_requested_model(before: bytes) -> None:
    events = [anthropic.decode_event(data) for data in sse.SSEDecoder().feed_data(before + HEAD)]
    renaming, passing = encoder(ReplyPlan("asked", rename_model=True)), encoder()
    assert renaming.feed_chunk(before + HEAD, events) == before + HEAD.replace(b"claude-x", b"asked")
    assert passing.feed_chunk(before + HEAD, events) == before + HEAD
    assert not renaming.content_started


@pytest.mark.parametrize(
    ("data", "is_content"),
    [
        (b'{"type":"message_start","message":{}}', False), (b'{"type":"ping"}', False), (b'{"type":"news"}', False),
        (b'{"type":"content_block_start","index":0,"content_block":{"type":"text"}}', True),
        (b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}', True),
        (b'{"type":"message_delta","delta":{}}', True), (b'{"type":"message_stop"}', True),
    ],
)  # fmt: skip
def test_from_the_first_content_on_an_attempt_is_committed(data: bytes, is_content: bool) -> None:
    subject = encoder()
    subject.feed_chunk(b"data: " + data + b"\n\n", [anthropic.decode_event(data)])
    assert subject.content_started is is_content
    assert subject.keep_alive(10.0) == (PING if is_content else b": ping\n\n")


RENAMED = ReplyPlan("asked", property_names={"f": {"a_b__0": "a b"}})
INPUT, SHOWN = b'{ "a_b__0":1.0, "x":{"a_b__0":"a_b__0"}}', b'{ "a b":1.0, "x":{"a_b__0":"a_b__0"}}'


def event(data: bytes, name: bytes = b"content_block_delta") -> bytes:
    return b"event: " + name + b"\ndata: " + data + b"\n\n"


def piece(text: bytes) -> bytes:
    written = json.dumps(text.decode()).encode()
    return event(
        b'{"type":"content_block_delta", "new":1.0,"index":0,"delta":{"type":"input_json_delta","partial_json":'
        + written
        + b"}}"
    )


def begin(value: bytes = b"{}", name: bytes = b"f") -> bytes:
    block = b'{"type":"tool_use","id":"t","name":"' + name + b'","new":1.0,"input":' + value + b"}"
    return event(b'{"type":"content_block_start","index":0,"content_block":' + block + b"}", b"content_block_start")


STOP = event(b'{"type":"content_block_stop","index":0}', b"content_block_stop")


def shown(*chunks: bytes) -> bytes:
    ours, reader = encoder(RENAMED), VertexClaude().reader(HERE)
    return b"".join(ours.feed_chunk(chunk, reader.feed(chunk)) for chunk in chunks)


def test_a_message_has_the_clients_keys_in_its_own_bytes() -> None:
    call = b'{"type":"tool_use","name":"%s", "input":%s}'
    body = (
        b'{ "id":"m","content":[{"type":"text","text":"a_b__0"},'
        + call % (b"f", INPUT)
        + b","
        + call % (b"g", INPUT)
        + b'],"new":1.0}'
    )
    expected = body.replace(call % (b"f", INPUT), call % (b"f", SHOWN))
    assert encoder(RENAMED).message(anthropic.decode_message(body), body) == expected
    assert encoder(RENAMED).message(anthropic.Message(), b"{}") == b"{}"


def test_events_have_the_clients_keys_in_their_own_bytes() -> None:
    data = START + begin() + DELTA + piece(INPUT[:4]) + piece(INPUT[4:11]) + piece(INPUT[11:]) + STOP
    # A key that is cut over events comes with the last of them.
    expected = START + begin() + DELTA + piece(b"{ ") + piece(b'"a b":') + piece(SHOWN[8:]) + STOP
    assert shown(data) == expected
    assert shown(begin(INPUT)) == begin(SHOWN)
    assert shown(begin(name=b"g"), piece(INPUT)) == begin(name=b"g") + piece(INPUT)
    assert shown(begin(), piece(b'{"x":1}'), STOP) == begin() + piece(b'{"x":1}') + STOP


def test_a_key_that_was_cut_off_comes_before_the_end_of_its_block() -> None:
    rest = b'{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"\\"a_b"}}'
    assert shown(begin(), piece(b'{"a_b'), STOP) == begin() + piece(b"{") + event(rest) + STOP


def test_a_call_that_names_a_key_twice_is_an_error() -> None:
    twice = piece(b'{"a_b__0"').replace(b'"index":0', b'"index":0,"delta":{}')
    with pytest.raises(UpstreamBroken):
        shown(begin(), twice)


def test_events_before_one_that_cannot_be_edited_are_passed_and_read() -> None:
    """A call with a key twice, behind a text and a call that can be edited in the same read."""
    text = event(b'{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"a"}}')
    twice = event(
        b'{"type":"content_block_delta","index":0,"index":0,"delta":{"type":"input_json_delta","partial_json":'
        b'"{\\"a_b__0\\": 1}"}}'
    )
    ours, reader = encoder(RENAMED), VertexClaude().reader(HERE)
    chunk = text + text + begin() + twice + STOP
    assert ours.feed_chunk(chunk, reader.feed(chunk)) == text + text + begin()
    assert isinstance(ours.failure, UpstreamBroken)
    assert [block.name for block in ours.state.thinking_and_tools] == ["f"]

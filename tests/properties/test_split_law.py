"""Any split of the upstream's bytes, in any legal framing, gives the same client stream, and it obeys the grammar."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.recordings import recordings
from support.strategies import cut, framed, replies, streams
from support.streams import client_bytes


@given(st.data(), replies())
def test_any_split_gives_the_same_bytes(data: st.DataObject, reply: dict[str, Any]) -> None:
    raw = data.draw(framed(data.draw(streams(reply))))
    expected = client_bytes([raw])
    assert client_bytes(cut(data.draw, raw)) == expected
    assert client_bytes([raw[i : i + 1] for i in range(len(raw))]) == expected
    check_grammar(expected)


@given(st.data(), replies())
def test_a_cut_stream_never_looks_complete(data: st.DataObject, reply: dict[str, Any]) -> None:
    raw = data.draw(framed(data.draw(streams(reply))))
    end = data.draw(st.integers(0, len(raw)))
    out = client_bytes([raw[:end]])
    assert client_bytes(cut(data.draw, raw[:end])) == out
    if b'"message_stop"' not in raw[:end]:
        assert b"[DONE]" not in out
        assert json.loads(out.rstrip().rpartition(b"data: ")[2])["error"]["message"]


FAILURES = [
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
    b"event: content_block_delta\ndata: not json\n\n",
]


@given(st.data(), replies(), st.sampled_from(FAILURES))
def test_a_failure_inside_loses_nothing_before_it(data: st.DataObject, reply: dict[str, Any], failure: bytes) -> None:
    """Whether the error comes in the same read as the content before it or in a later one makes no difference."""
    events = data.draw(streams(reply))
    frames = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    at = data.draw(st.integers(0, len(frames) - 1))
    raw = b"".join([*frames[:at], failure, *frames[at:]])
    separate = client_bytes([*frames[:at], failure, *frames[at:]])
    assert client_bytes([raw]) == separate
    assert client_bytes(cut(data.draw, raw)) == separate
    assert b"[DONE]" not in separate
    expected = client_bytes(frames)
    before = separate.rpartition(b"data: ")[0]
    assert expected.startswith(before)


@pytest.mark.parametrize("recording", recordings("stream"))
def test_recorded_streams_cut_everywhere(recording: dict[str, Any]) -> None:
    raw = recording["sse"].encode()
    expected = client_bytes([raw])
    for size in (1, 2, 3, 5, 17, 1000):
        assert client_bytes([raw[i : i + size] for i in range(0, len(raw), size)]) == expected
    check_grammar(expected)


def check_grammar(raw: bytes) -> None:
    """Role first; one id, created and model; the finish reason alone and once; usage last; tools in order; [DONE]."""
    events = [e.removeprefix("data: ") for e in raw.decode().split("\n\n") if e.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    heads = {(c["id"], c["created"], c["model"], c["object"]) for c in chunks}
    assert heads == {("chatcmpl-1", 1, "m", "chat.completion.chunk")}
    *content, finish, last = chunks
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
    assert finish["choices"][0]["delta"] == {}
    assert finish["choices"][0]["finish_reason"] is not None
    assert all(c["choices"][0]["finish_reason"] is None and c["usage"] is None for c in content)
    arguments: list[str] = []
    for part in (p for c in content for p in c["choices"][0]["delta"].get("tool_calls", ())):
        if "id" in part:
            assert part["index"] == len(arguments)
            arguments.append("")
        arguments[part["index"]] += part["function"]["arguments"]
    if finish["choices"][0]["finish_reason"] != "length":
        assert all(isinstance(json.loads(text), dict) for text in arguments)


def test_a_ping_behind_the_end_is_nothing_however_it_comes() -> None:
    stop, ping = b'data: {"type":"message_stop"}\n\n', b'data: {"type":"ping"}\n\n'
    start = b'data: {"type":"message_start","message":{}}\n\n'
    assert client_bytes([start + stop + ping]) == client_bytes([start, stop, ping])

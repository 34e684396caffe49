"""Runs of text deltas: detected only in the usual framing, and equal to their decoded events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.wire import anthropic
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun, find_text_run
from modelmux.wire.openai.chat_response import ChunkEncoder


def event(data: dict[str, Any] | str, name: str = "content_block_delta") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return f"event: {name}\ndata: {text}\n\n".encode("utf-8", "surrogatepass")


def delta(text: str, index: int = 0) -> bytes:
    return event({"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}})


WORDS = ["The", ' "quick"', " brown\n", "\tfox\r", " \\ ", "ü😀\u2028\x7f", "/"]
RUN = b"".join(map(delta, WORDS))
START = event({"type": "content_block_start", "index": 0}, "content_block_start")
STOP = event({"type": "content_block_stop", "index": 0}, "content_block_stop")


def find(data: bytes) -> tuple[bytes, TextDeltaRun, bytes]:
    run = find_text_run(data)
    assert run is not None
    return run


def test_a_run_equals_its_decoded_events() -> None:
    before, run, after = find(RUN)
    assert (before, after) == (b"", b"")
    assert run.index == 0
    assert run.characters == len("".join(WORDS))
    assert run.events() == [anthropic.decode_event(delta(word)[33:-2]) for word in WORDS]
    encoder = ChunkEncoder(id="c", created=1, model="m", include_usage=True)
    assert encoder.encode_texts(run.texts) == b"".join(map(encoder.encode_text, WORDS))


@pytest.mark.parametrize("before", [b"", START, START + b": comment\n\n", b"\n\n", START + event({}, "ping")])
@pytest.mark.parametrize("after", [b"", STOP, b"event: content_block_delta\ndata: {", b"\r\n"])
def test_the_bytes_before_and_after_are_returned(before: bytes, after: bytes) -> None:
    assert find(before + RUN + after) == (before, find(RUN)[1], after)


def test_padding_of_anthropic_is_accepted() -> None:
    padded = b"".join(delta(word)[:-3] + b" " * n + b"}\n\n" for n, word in enumerate(WORDS))
    assert find(padded)[1] == find(RUN)[1]


ODD = {
    "an empty text, which is no chunk": delta(""),
    "an escape that is written otherwise here": delta("x").replace(b'"x"', rb'"\u0041"'),
    "half a character": delta("x").replace(b'"x"', rb'"\ud83d"'),
    "an escaped slash": delta("x").replace(b'"x"', rb'"\/"'),
    "a broken escape": delta("x").replace(b'"x"', rb'"\x41"'),
    "no UTF-8": delta("x").replace(b'"x"', b'"\xff"'),
    "a surrogate as bytes": delta("\ud83d"),
    "a control character": delta("x").replace(b'"x"', b'"\x01"'),
    "a line break in the text": delta("x").replace(b'"x"', b'"\n"'),
    "another block": delta("x", 1),
    "an index that is no JSON": delta("x").replace(b'"index":0', b'"index":00'),
    "a field more": delta("x").replace(b'"index":0', b'"index":0,"more":1'),
    "a ping": event({"type": "ping"}, "ping"),
    "another delta": event({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta"}}),
    "another framing": delta("x").replace(b"\n", b"\r\n"),
    "two lines of data": delta("x").replace(b"\n\n", b"\ndata: \n\n"),
    "text after the object": delta("x").replace(b"}}\n", b"}}x\n"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_anything_unusual_takes_the_ordinary_path(odd: bytes) -> None:
    assert find_text_run(RUN + odd + RUN) is None


def test_invalid_utf8_split_over_two_texts_does_not_become_valid() -> None:
    first, second = delta("x").replace(b'"x"', b'"\xc3"'), delta("x").replace(b'"x"', b'"\xbc"')
    assert find_text_run(RUN + first + second + RUN) is None


@pytest.mark.parametrize("before", [b"id: 1\n", b"event: ping\ndata: {}\n", b"x", b"\n"])
def test_a_run_starts_at_the_start_of_an_event(before: bytes) -> None:
    assert find_text_run(before + RUN) is None


def test_short_runs_are_ignored() -> None:
    assert find_text_run(delta("x")) is None
    assert find_text_run(delta("x" * 400) * 3) is None
    assert find(delta("x" * 100) * 4)[1].characters == 400

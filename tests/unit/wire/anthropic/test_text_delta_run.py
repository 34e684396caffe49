"""Runs of text deltas: found where every event is as usual, and worth what decoding them is worth."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.wire import anthropic
from modelmux.wire.anthropic.text_delta_run import TextRun, find_run
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


def found(data: bytes) -> tuple[bytes, TextRun, bytes]:
    run = find_run(data)
    assert run is not None
    return run


def test_a_run_is_worth_what_its_events_are() -> None:
    before, run, behind = found(RUN)
    assert (before, behind) == (b"", b"")
    assert run.index == 0
    assert run.characters == len("".join(WORDS))
    assert run.events() == [anthropic.decode_event(delta(word)[33:-2]) for word in WORDS]
    encoder = ChunkEncoder(id="c", created=1, model="m", include_usage=True)
    assert encoder.encode_texts(run.texts) == b"".join(map(encoder.encode_text, WORDS))


@pytest.mark.parametrize("before", [b"", START, START + b": comment\n\n", b"\n\n", START + event({}, "ping")])
@pytest.mark.parametrize("behind", [b"", STOP, b"event: content_block_delta\ndata: {", b"\r\n"])
def test_what_is_before_and_behind_is_kept(before: bytes, behind: bytes) -> None:
    assert found(before + RUN + behind) == (before, found(RUN)[1], behind)


def test_blanks_where_anthropic_pads_are_no_difference() -> None:
    padded = b"".join(delta(word)[:-3] + b" " * n + b"}\n\n" for n, word in enumerate(WORDS))
    assert found(padded)[1] == found(RUN)[1]


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
    "text behind the object": delta("x").replace(b"}}\n", b"}}x\n"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_anything_unusual_among_them_is_for_those_who_decode(odd: bytes) -> None:
    assert find_run(RUN + odd + RUN) is None


def test_halves_of_a_character_in_two_texts_are_not_one() -> None:
    first, second = delta("x").replace(b'"x"', b'"\xc3"'), delta("x").replace(b'"x"', b'"\xbc"')
    assert find_run(RUN + first + second + RUN) is None


@pytest.mark.parametrize("before", [b"id: 1\n", b"event: ping\ndata: {}\n", b"x", b"\n"])
def test_it_begins_where_an_event_begins(before: bytes) -> None:
    assert find_run(before + RUN) is None


def test_a_few_are_not_worth_the_look() -> None:
    assert find_run(delta("x")) is None
    assert find_run(delta("x" * 400) * 3) is None
    assert found(delta("x" * 100) * 4)[1].characters == 400

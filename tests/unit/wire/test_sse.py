"""Server-sent events: the event-stream grammar for every split of the bytes, and size limits."""

from __future__ import annotations

import json

import pytest

from modelmux.errors import UpstreamBroken
from modelmux.wire import sse
from modelmux.wire.sse import DONE, KEEP_ALIVE, Event, SSEDecoder, _fast_path, encode_data, encode_named


def data_of(*pieces: bytes) -> list[bytes]:
    decoder = SSEDecoder()
    return [data for piece in pieces for data in decoder.feed_data(piece)]


def decode(*pieces: bytes) -> list[tuple[bytes, bytes]]:
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [tuple(event) for event in events]


GRAMMAR: list[tuple[str, bytes, list[tuple[bytes, bytes]]]] = [
    ("LF", b"event: a\ndata: 1\n\n", [(b"a", b"1")]),
    ("CRLF", b"event: a\r\ndata: 1\r\n\r\n", [(b"a", b"1")]),
    ("CR", b"event: a\rdata: 1\r\r", [(b"a", b"1")]),
    ("mixed ends", b"event: a\rdata: 1\r\n\n", [(b"a", b"1")]),
    ("no space after the colon", b"event:a\ndata:1\n\n", [(b"a", b"1")]),
    ("only one space is dropped", b"data:  1\n\n", [(b"", b" 1")]),
    ("several data lines", b"data: a\ndata: b\ndata:\n\n", [(b"", b"a\nb\n")]),
    ("data without a colon", b"data: a\ndata\ndata: b\n\n", [(b"", b"a\n\nb")]),
    ("empty data is data", b"data\n\n", [(b"", b"")]),
    ("an event without data is none", b"event: ping\n\ndata: 1\n\n", [(b"", b"1")]),
    ("a name is for one event", b"event: a\ndata: 1\n\ndata: 2\n\n", [(b"a", b"1"), (b"", b"2")]),
    ("the last name counts", b"event: a\nevent: b\ndata: 1\n\n", [(b"b", b"1")]),
    ("event without a colon empties the name", b"event: a\nevent\ndata: 1\n\n", [(b"", b"1")]),
    ("comments", b": hi\n:\ndata: 1\n: in between\ndata: 2\n\n", [(b"", b"1\n2")]),
    ("id, retry and news", b"id: 7\nretry: 5\nfuture: x\ndata: 1\n\n", [(b"", b"1")]),
    ("a name that only begins like data", b"database: x\ndata: 1\nDATA: 2\n data: 3\n\n", [(b"", b"1")]),
    ("a colon in the value", b"data: a: b\n\n", [(b"", b"a: b")]),
    ("blank lines alone", b"\n\r\n\r\n\n", []),
    ("byte order mark", b"\xef\xbb\xbfdata: 1\n\n", [(b"", b"1")]),
    ("only the first mark is one", b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\ndata: 2\n\n", [(b"", b"2")]),
    ("a mark in the middle is no mark", b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n", [(b"", b"1")]),
    ("other separators are none", "data: a\u2028b\x0bc\x0cd\x85\n\n".encode(),
     [(b"", "a\u2028b\x0bc\x0cd\x85".encode())]),
    ("NUL and bad UTF-8 pass", b"data: \x00\xff\n\n", [(b"", b"\x00\xff")]),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), [c[1:] for c in GRAMMAR], ids=[c[0] for c in GRAMMAR])
def test_the_grammar_holds_for_every_split(raw: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    assert decode(raw) == expected
    assert decode(*(bytes([byte]) for byte in raw)) == expected
    for cut in range(len(raw) + 1):
        assert decode(raw[:cut], b"", raw[cut:]) == expected
        assert data_of(raw[:cut], raw[cut:]) == [data for _, data in expected]


USUAL = b"event: a\ndata: 1\n\nevent: b\ndata: {}\n\n"


@pytest.mark.parametrize(
    "raw",
    [
        USUAL, USUAL[:-1], USUAL[:-2], USUAL + b"data: 3\n\n", USUAL + b"\n", USUAL + b"event: c\n",
        USUAL + b"event: c\ndata: 2\nx", USUAL + b"event: c\ndata: 2\r\n", USUAL.replace(b"1", b"1\r"), b"", b"\n\n",
        USUAL.replace(b"event: b", b"event:b"), USUAL.replace(b"data: {", b"data:{"), USUAL + b": hi\ndata: 2\n\n",
        b"data: 0\n" + USUAL, b"event: z\n" + USUAL, b"\xef\xbb\xbf" + USUAL, USUAL.replace(b"event: b", b"data: b"),
        USUAL + b"event: c\ndata: 2\n: not empty\n" + USUAL, USUAL + USUAL, b"event: e\ndata: \n\n", USUAL + b"data: 2",
    ],
)  # fmt: skip
def test_the_fast_path_gives_the_same_events(raw: bytes) -> None:
    for cut in range(len(raw) + 1):
        for more in (b"", USUAL):
            pieces = [raw[:cut], raw[cut:], more]
            decoder = SSEDecoder()
            expected = [event.data for piece in pieces for event in decoder.feed(piece)]
            assert data_of(*pieces) == expected


def test_the_fast_path_has_the_same_size_limit() -> None:
    event = b"event: a\ndata: 12345678\n\n"
    assert SSEDecoder(len(event)).feed_data(event) == [b"12345678"]
    with pytest.raises(UpstreamBroken):
        SSEDecoder(8).feed_data(event)
    decoder = SSEDecoder(20)
    assert decoder.feed_data(event * 3) == [b"12345678"] * 3, "the bound is of an event"


def test_a_split_crlf_is_one_line_end_and_not_a_blank_line() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: 1\r") == []
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\ndata: 2\r") == []
    assert decoder.feed(b"\n\r") == [Event(b"", b"1\n2")]
    assert decoder.feed(b"\n") == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", []),
        (b"data: 1", [Event(b"", b"1")]),
        (b"event: a\ndata: 1\n", [Event(b"a", b"1")]),
        (b"data: 1\r", [Event(b"", b"1")]),
        (b"data: 1\ndata", [Event(b"", b"1\n")]),
        (b"data: 1\n\n", []),
        (b"event: a", []),
        (b": bye", []),
        (b"\xef\xbb\xbfdata: 1", [Event(b"", b"1")]),
        (b"\xef\xbb", []),
    ],
)
def test_the_end_of_input_returns_the_unterminated_event_once(raw: bytes, expected: list[Event]) -> None:
    decoder = SSEDecoder()
    decoder.feed(raw)
    assert decoder.flush() == expected
    assert decoder.flush() == []


BOUNDS = [
    ("a line", b"data: " + b"x" * 94 + b"\n\n", b"data: " + b"x" * 95 + b"\n\n"),
    ("lines together", b"data: " + b"x" * 40 + b"\ndata: " + b"x" * 47 + b"\n\n",
     b"data: " + b"x" * 40 + b"\ndata: " + b"x" * 48 + b"\n\n"),
    ("empty lines", b"data\n" * 20 + b"\n", b"data\n" * 21 + b"\n"),
    ("a comment", b":" + b"x" * 99 + b"\ndata: 1\n\n", b":" + b"x" * 100 + b"\ndata: 1\n\n"),
    ("a name", b"event:" + b"x" * 94 + b"\ndata: 1\n\n", b"event:" + b"x" * 95 + b"\ndata: 1\n\n"),
    ("after a mark", b"\xef\xbb\xbfdata: " + b"x" * 94 + b"\n\n", b"\xef\xbb\xbfdata: " + b"x" * 95 + b"\n\n"),
]  # fmt: skip


@pytest.mark.parametrize(("fits", "too_long"), [b[1:] for b in BOUNDS], ids=[b[0] for b in BOUNDS])
def test_the_size_limit_does_not_depend_on_the_split(fits: bytes, too_long: bytes) -> None:
    for size in (1, 2, 3, 7, 50, 1000):
        decoder = SSEDecoder(max_event_bytes=100)
        assert sum(len(decoder.feed(fits[i : i + size])) for i in range(0, len(fits), size)) == 1
        decoder = SSEDecoder(max_event_bytes=100)
        with pytest.raises(UpstreamBroken) as caught:
            [decoder.feed(too_long[i : i + size]) for i in range(0, len(too_long), size)]
        assert caught.value.reply_started
        assert caught.value.detail == "event of more than 100 bytes"


def test_an_endless_line_is_rejected_before_it_ends() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    decoder.feed(b"x" * 100)
    with pytest.raises(UpstreamBroken):
        decoder.feed(b"x")


def test_events_before_an_oversized_one_are_returned() -> None:
    raw = b"data: 1\n\n" + b"data: " + b"x" * 200 + b"\n\ndata: 2\n\n"
    for end in (len(raw), len(raw) - 30):  # the long line whole, and open
        decoder = SSEDecoder(max_event_bytes=100)
        assert decoder.feed(raw[:end]) == [Event(b"", b"1")]
        for again in (decoder.flush, lambda decoder=decoder: decoder.feed(b"data: 3\n\n"), decoder.flush):
            with pytest.raises(UpstreamBroken):
                again()


def test_the_size_limit_applies_to_one_event_not_to_the_stream() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    assert sum(len(decoder.feed(b"data: " + b"x" * 90 + b"\n\n")) for _ in range(50)) == 50


def test_encoded_events_decode_to_the_same() -> None:
    data = json.dumps({"text": "é\u2028\n"}, ensure_ascii=False).encode()
    raw = encode_data(data) + KEEP_ALIVE + encode_named(b"ping", b"{}") + DONE
    assert raw == b"data: " + data + b"\n\n: ping\n\nevent: ping\ndata: {}\n\ndata: [DONE]\n\n"
    assert decode(raw) == [(b"", data), (b"ping", b"{}"), (b"", b"[DONE]")]


def test_the_usual_framing_takes_the_fast_path() -> None:
    """Otherwise the result would be right but slow, and no other test would notice."""
    assert _fast_path(USUAL) == [b"1", b"{}"]
    assert _fast_path(USUAL[:-1]) is None


@pytest.mark.parametrize(
    ("piece", "goes"),
    [
        (b"event: error\n\n", True), (b"event: error\r\r", True), (b": c\nevent: x\nid: 1\n\n", True),
        (b"data\n\n", True), (b"event: ping\ndata: ping\n\n", True), (b"data: 1\nevent: ping\n\n", True),
        (b": c\n\n", False), (b"id: 1\n\n", False), (b"retry: 1\n\n", False), (b"\n", False),
        (b'event: ping\ndata: {"type":"ping"}\n\n', False), (b"event: x\ndata: ping\n\n", False),
    ],
)  # fmt: skip
def test_which_events_are_left_out(piece: bytes, goes: bool) -> None:
    rest = b": a\n\nevent: x\ndata: {}\n\n"
    assert sse.without_empty_events(rest + piece + rest) == (rest if goes else rest + piece) + rest


def test_the_names_of_the_last_events() -> None:
    decoder = SSEDecoder()
    decoder.feed_data(b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n")
    assert (decoder.name_of(0), decoder.name_of(1)) == (b"a", b"b")
    decoder.feed_data(b"data: 1\nevent:c\n\nevent: d\n\nevent: e\ndata: 2")
    assert (decoder.name_of(0), decoder.dropped) == (b"c", 1)
    assert (decoder.flush_data(), decoder.name_of(0)) == ([b"2"], b"e")

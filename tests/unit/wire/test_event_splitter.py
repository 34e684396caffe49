"""Risk: half an event reaches a client before it turns out to be an error, or an event waits for the one after it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.errors import UpstreamBroken
from modelmux.wire.sse import EventSplitter, SSEDecoder, data_spans
from support.work import assert_linear

#: Name, input, the complete events after each byte order mark, what ``flush`` completes.
CASES = [
    ("LF", b"event: a\ndata: 1\n\nevent: b\nda", b"event: a\ndata: 1\n\n", b"event: b\nda\n\n"),
    ("CRLF", b"data: 1\r\n\r\ndata: 2\r\n", b"data: 1\r\n\r\n", b"data: 2\r\n\n\n"),
    ("CR", b"data: 1\r\rdata: 2\r", b"data: 1\r\r", b"data: 2\r\n\n"),
    ("mixed", b"data: 1\n\rdata: 2\r\n\ndata: 3\r\r\ndata", b"data: 1\n\rdata: 2\r\n\ndata: 3\r\r\n", b"data\n\n"),
    ("a CR at the end may be half a line end", b"data: 1\n\n\r", b"data: 1\n\n", b"\r"),
    ("a CR at the end may be a blank line", b"data: 1\r\r", b"", b"data: 1\r\r"),
    ("comments", b": hi\n\n: again\n", b": hi\n\n", b": again\n\n\n"),
    ("blank lines alone", b"\n\n\r\n\n", b"\n\n\r\n\n", b""),
    ("blank lines before an event", b"\n\ndata: 1\n", b"\n\n", b"data: 1\n\n\n"),
    ("more blank lines than needed", b"data: 1\n\n\n\nd", b"data: 1\n\n\n\n", b"d\n\n"),
    ("byte order mark", b"\xef\xbb\xbfdata: 1\n\n", b"data: 1\n\n", b""),
    ("a mark in the middle is content", b"a\n\n\xef\xbb\xbf\n\n", b"a\n\n\xef\xbb\xbf\n\n", b""),
    ("half a mark", b"\xef\xbb", b"", b"\xef\xbb\n\n"),
    ("nothing", b"", b"", b""),
]


def split(*chunks: bytes) -> tuple[bytes, bytes]:
    splitter = EventSplitter()
    return b"".join(map(splitter.feed, chunks)), splitter.flush()


@pytest.mark.parametrize(("raw", "complete", "rest"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_complete_events_pass_and_the_rest_is_held_back_for_every_split(
    raw: bytes, complete: bytes, rest: bytes
) -> None:
    assert split(raw) == (complete, rest)
    assert split(*(bytes([byte]) for byte in raw)) == (complete, rest)
    for cut in range(len(raw) + 1):
        assert split(raw[:cut], b"", raw[cut:]) == (complete, rest)


def test_an_event_passes_with_its_last_byte() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n\n") == b"data: 1\n\n"
    assert splitter.feed(b"data: 2\n") == b""
    assert splitter.feed(b"\n") == b"data: 2\n\n"
    assert splitter.feed(b"data: 3\r\n\r") == b""
    assert splitter.feed(b"\n") == b"data: 3\r\n\r\n"
    assert splitter.feed(b"data: 4\n\ndata: 5\n\nda") == b"data: 4\n\ndata: 5\n\n"
    assert splitter.feed(b"ta: 6\n\n") == b"data: 6\n\n"


LINES = st.sampled_from([b"data: 1", b"data", b"event: x", b": c", b"", b"", b"", b"id: 7", b"database: x"])
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])


@st.composite
def inputs(draw: st.DrawFn) -> list[bytes]:
    raw = b"".join(part for pair in draw(st.lists(st.tuples(LINES, ENDS), max_size=12)) for part in pair)
    raw = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + raw + draw(st.sampled_from([b"", b"data: t", b"\r"]))
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    return [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


@given(inputs())
def test_nothing_is_lost_and_every_result_is_complete(chunks: list[bytes]) -> None:
    raw = b"".join(chunks)
    splitter = EventSplitter()
    parts = [*map(splitter.feed, chunks), splitter.flush()]
    assert b"".join(parts).removesuffix(b"\n\n") == raw.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n\n")
    decoder, expected = SSEDecoder(), SSEDecoder()
    for part in parts:
        events = decoder.feed(part)
        spans = data_spans(part)
        assert [SSEDecoder().feed(part[start:end]) for start, end in spans] == [[event] for event in events]
        assert decoder.feed(b"") == []
    assert [e for part in parts for e in SSEDecoder().feed(part)] == [*expected.feed(raw), *expected.flush()]


@pytest.mark.parametrize(
    ("events", "spans"),
    [
        (b"", []),
        (b"data: 1\n\n", [(0, 9)]),
        (b": hi\n\ndata: 1\n\n\nevent: x\n\ndata: 2\r\n\r\n", [(6, 15), (26, 37)]),
        (b"event: x\rdata\r\n\ndatabase: 1\n\n", [(0, 16)]),
    ],
)
def test_spans_are_those_of_events_with_data(events: bytes, spans: list[tuple[int, int]]) -> None:
    assert data_spans(events) == spans


def bounded(limit: int, *chunks: bytes) -> bytes:
    """What passes before the error."""
    splitter, passed = EventSplitter(limit), b""
    with pytest.raises(UpstreamBroken, match="exceeds the size limit"):
        for chunk in chunks:
            passed += splitter.feed(chunk)
        splitter.flush()
    with pytest.raises(UpstreamBroken):
        splitter.feed(b"")
    return passed


@pytest.mark.parametrize(
    "raw",
    [b"data: 1\n\ndata: 12345\n\n", b"data: 1\n\ndata: 1\ndata: 2", b"data: 1\n\n: an endless comment", b"x" * 99],
)
def test_an_event_above_the_limit_is_an_error_after_the_events_before_it(raw: bytes) -> None:
    passed = b"data: 1\n\n" if raw.startswith(b"data: 1\n\n") else b""
    assert bounded(12, raw) == passed
    assert bounded(12, *(bytes([byte]) for byte in raw)) == passed
    for cut in range(len(raw)):
        assert bounded(12, raw[:cut], raw[cut:]) == passed


def test_the_limit_itself_is_allowed_and_many_events_may_exceed_it_together() -> None:
    splitter = EventSplitter(12)
    assert splitter.feed(b"data: 1234\n\n" * 9) == b"data: 1234\n\n" * 9
    assert splitter.feed(b"data: 1234\n\n" * 9 + b"d") == b"data: 1234\n\n" * 9


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("event", [b"data: 0123456789\n\n", b"data: 0123456789\r\n", b": x\r"])
def test_work_is_linear_in_the_bytes(event: bytes, size: int) -> None:
    def run(count: int) -> None:
        raw = event * count
        split(*(raw[at : at + size] for at in range(0, len(raw), size)))

    assert_linear(run, 300)

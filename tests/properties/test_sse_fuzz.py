"""The SSE decoder against a naive reading of the grammar, on any bytes, at any split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.errors import UpstreamBroken
from modelmux.wire.sse import SSEDecoder

LINES = [
    b"data: x", b"data:", b"data", b"event: y", b"\n", b"\r", b"\r\n", b"\n\n", b":c", b"id: 1", b"data:  two",
    b"\xef\xbb\xbf", b"retry: 1", b"datax: 1", b"event",
]  # fmt: skip
PIECES = st.lists(st.one_of(st.binary(max_size=12), st.sampled_from(LINES)), max_size=30)


def reference(raw: bytes) -> list[tuple[bytes, bytes]]:
    """The grammar, read the obvious way: whole input, lines, fields; and what the end of input leaves."""
    lines = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events: list[tuple[bytes, bytes]] = []
    data: list[bytes] = []
    name = b""
    for line in [*lines, b""]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                events.append((name, b"\n".join(data)))
            data, name = [], b""
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return events


def decoded(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [tuple(event) for event in [*events, *decoder.flush()]]


@given(PIECES)
def test_equal_to_the_reference_however_it_is_cut(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    want = reference(raw)
    assert decoded([raw]) == want
    assert decoded(pieces) == want
    assert decoded([raw[i : i + 1] for i in range(len(raw))]) == want


def test_a_long_line_in_small_pieces_costs_linear_time() -> None:
    """E6: joining what is held at each piece would copy 2 TB here, and end in the timeout of the test."""
    piece, count = b"x" * 1024, 64 * 1024
    decoder = SSEDecoder(max_event_bytes=2 * len(piece) * count)
    events = [*decoder.feed(b"data: ")]
    for _ in range(count):
        events += decoder.feed(piece)
    events += decoder.feed(b"\n\n")
    assert [len(event.data) for event in events] == [len(piece) * count]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 60, b"data: " + b"x" * 60 + b"\n"])
def test_an_endless_event_is_refused(piece: bytes) -> None:
    decoder = SSEDecoder(max_event_bytes=1000)
    with pytest.raises(UpstreamBroken, match="exceeds the size limit"):
        for _ in range(1000):
            decoder.feed(piece)

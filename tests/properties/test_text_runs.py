"""Text deltas that are forwarded without decoding equal those that are decoded and encoded, at any split."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from modelmux.wire.anthropic.text_delta_run import find_text_run
from support.strategies import cut
from support.streams import client_bytes

USUAL = st.text('"\\\n\r\t aé😀/', min_size=1, max_size=6)
ANY = st.one_of(USUAL, st.text(st.one_of(st.sampled_from("\b\f\x00\x7f\u2028"), st.characters()), max_size=6))
CITATION = {"type": "web_search_result_location", "url": "https://a.b", "title": "t", "cited_text": "c"}


def framed(data: dict[str, Any], *, escaped: bool = False, blanks: int = 0) -> bytes:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=escaped)
    padded = text[:-1] + " " * blanks + "}"
    return f"event: {data['type']}\ndata: {padded}\n\n".encode("utf-8", "surrogatepass")


def delta(index: int, **of: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": of}


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A stream of text blocks, mostly as Anthropic writes them."""
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 1}}
    out = [framed({"type": "message_start", "message": message})]
    for index in range(draw(st.integers(1, 3))):
        out.append(
            framed({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})
        )
        usual = draw(st.booleans())
        for text in draw(st.lists(USUAL if usual else ANY, min_size=3, max_size=12)):
            odd = -1 if usual else draw(st.integers(0, 30))
            if odd == 0:
                out.append(framed({"type": "ping"}))
            where = index + 1 if odd == 2 else index
            line = framed(delta(where, type="text_delta", text=text), escaped=odd == 3, blanks=draw(st.integers(0, 9)))
            out.append(line.replace(b'"text_delta","text":"', b'"text_delta","text":"\xff') if odd == 4 else line)
        if draw(st.booleans()):  # it tells where in the text it belongs, so all characters have to be counted
            out.append(framed(delta(index, type="citations_delta", citation=CITATION)))
        if draw(st.integers(0, 9)):
            out.append(framed({"type": "content_block_stop", "index": index}))
    out.append(framed({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}))
    return b"".join([*out, framed({"type": "message_stop"})])


@given(st.data(), answers())
def test_a_run_is_worth_what_single_events_are(data: st.DataObject, raw: bytes) -> None:
    single = client_bytes([raw[i : i + 1] for i in range(len(raw))])  # no run is ever seen whole
    assert client_bytes([raw]) == single
    pieces = cut(data.draw, raw)
    event("a run in a piece" if any(map(find_text_run, pieces)) else "no run")
    assert client_bytes(pieces) == single
    blocks = raw.split(b"event: content_block_start")
    assert (
        client_bytes([b"event: content_block_start"[: 26 * bool(i)] + part for i, part in enumerate(blocks)]) == single
    )

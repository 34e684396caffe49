"""A reply as the events of a stream, in the order and the pieces the real service sends.

``message_start``, ``ping``, then per block start, deltas, stop; then ``message_delta`` and ``message_stop``. Text comes
in word-ish pieces, tool arguments as JSON pieces the first of which is empty, a signature as one delta just before the
stop of its block. Pure: pacing and sending are ``pace.py``'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from modelmux.emulator import tokens
from modelmux.emulator.reply import Json, Reply
from modelmux.wire.sse import encode_named

_WORDS: Final = re.compile(r"\s*\S+\s*$|\s*\S+|\s+")
_SIZES: Final = (2, 1, 3, 1, 2, 2)  # words a piece, in turn
_JSON_SIZES: Final = (7, 11, 4, 9, 2, 13)  # characters a piece, in turn
PING: Final = encode_named(b"ping", b'{"type": "ping"}')

_encode: Final = msgspec.json.Encoder().encode


class Event(NamedTuple):
    """One event. ``cost`` is how many output tokens it took to make, which is how long it takes to come."""

    name: str
    data: Json
    cost: float = 0.0

    def frame(self) -> bytes:
        return encode_named(self.name.encode(), _encode(self.data))


def events_of(reply: Reply) -> Iterator[Event]:
    """All events of a reply but pings."""
    yield Event("message_start", {"type": "message_start", "message": reply.head()})
    for index, block in enumerate(reply.content):
        yield from block_events(reply, index, block)
    delta = {
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": reply.stop_details,
    }
    yield Event("message_delta", {"type": "message_delta", "delta": delta, "usage": reply.usage.at_end()})
    yield Event("message_stop", {"type": "message_stop"})


def block_events(reply: Reply, index: int, block: Json) -> Iterator[Event]:
    """Start, deltas and stop of one block."""
    yield _start(index, _opening(block))
    yield from _deltas(reply, index, block)
    yield Event("content_block_stop", {"type": "content_block_stop", "index": index})


def _opening(block: Json) -> Json:
    """The block as it stands in ``content_block_start``: whole for results, hollow for what is streamed."""
    kind = block["type"]
    if kind == "text":
        hollow: Json = {"type": "text", "text": ""}
        return {"citations": [], **hollow} if block.get("citations") else hollow
    if kind == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}
    if kind in ("tool_use", "server_tool_use"):
        return {**block, "input": {}}
    return block


def _deltas(reply: Reply, index: int, block: Json) -> Iterator[Event]:
    kind = block["type"]
    if kind == "text":
        for citation in block.get("citations") or ():
            yield _delta(index, "citations_delta", "citation", citation)
        for piece in text_pieces(block["text"]):
            yield _delta(index, "text_delta", "text", piece, tokens.of_text(piece))
    elif kind == "thinking":
        for piece in text_pieces(block["thinking"]):
            yield _delta(index, "thinking_delta", "thinking", piece, tokens.of_text(piece))
        unseen = tokens.of_text(reply.hidden_thinking.get(index, ""))
        if block["signature"]:
            yield _delta(index, "signature_delta", "signature", block["signature"], unseen)
    elif kind in ("tool_use", "server_tool_use"):
        text = reply.partial.get(index)
        if text is None:
            text = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        for piece in json_pieces(text):
            yield _delta(index, "input_json_delta", "partial_json", piece, tokens.of_text(piece))


def _start(index: int, block: Json) -> Event:
    return Event("content_block_start", {"type": "content_block_start", "index": index, "content_block": block})


def _delta(index: int, kind: str, field: str, value: Any, cost: float = 0.0) -> Event:
    delta = {"type": kind, field: value}
    return Event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}, cost)


def text_pieces(text: str) -> Iterator[str]:
    """A text cut into pieces of one to three words; a fixed pattern, so the same text always gives the same pieces."""
    words = _WORDS.findall(text)
    place = turn = 0
    while place < len(words):
        size = _SIZES[turn % len(_SIZES)]
        yield "".join(words[place : place + size])
        place += size
        turn += 1


def json_pieces(text: str) -> Iterator[str]:
    """Tool arguments cut without regard to their syntax; the first piece is always empty."""
    yield ""
    place = turn = 0
    while place < len(text):
        size = _JSON_SIZES[turn % len(_JSON_SIZES)]
        yield text[place : place + size]
        place += size
        turn += 1

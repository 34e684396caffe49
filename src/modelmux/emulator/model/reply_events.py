"""A reply as stream events, in the order and the granularity of the real service.

``message_start``, ``ping``, then per block start, deltas, stop; then ``message_delta`` and ``message_stop``. Text comes
in pieces of a few words, tool arguments in pieces of JSON of which the first is empty, a signature as one delta just
before the stop of its block. Not in this module: pacing and sending, see ``faults.stream``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from modelmux.emulator.events import StreamEvent
from modelmux.emulator.model import tokens
from modelmux.emulator.model.reply import EmulatedReply, Json

_WORDS: Final = re.compile(r"\s*\S+\s*$|\s*\S+|\s+")
_SIZES: Final = (2, 1, 3, 1, 2, 2)  # words per piece, in turn
_JSON_SIZES: Final = (7, 11, 4, 9, 2, 13)  # characters per piece, in turn


def reply_events(reply: EmulatedReply) -> Iterator[StreamEvent]:
    """All events of a reply, without pings."""
    yield StreamEvent("message_start", {"type": "message_start", "message": reply.head()})
    for index, block in enumerate(reply.content):
        yield from block_events(reply, index, block)
    delta = {
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": reply.stop_details,
    }
    end = {"type": "message_delta", "delta": delta, "usage": reply.usage.at_end(), **reply.context_management()}
    yield StreamEvent("message_delta", end)
    yield StreamEvent("message_stop", {"type": "message_stop"})


def block_events(reply: EmulatedReply, index: int, block: Json) -> Iterator[StreamEvent]:
    """Start, deltas and stop of one block."""
    yield _start(index, _opening_block(block))
    yield from _deltas(reply, index, block)
    yield StreamEvent("content_block_stop", {"type": "content_block_stop", "index": index})


def _opening_block(block: Json) -> Json:
    """The block in ``content_block_start``: complete for results, empty for what deltas stream."""
    kind = block["type"]
    if kind == "text":
        empty: Json = {"type": "text", "text": ""}
        return {"citations": [], **empty} if block.get("citations") else empty
    if kind == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}
    if kind in ("tool_use", "server_tool_use"):
        return {**block, "input": {}}
    return block


def _deltas(reply: EmulatedReply, index: int, block: Json) -> Iterator[StreamEvent]:
    kind = block["type"]
    if kind == "text":
        for citation in block.get("citations") or ():
            yield _delta(index, "citations_delta", "citation", citation)
        for piece in text_pieces(block["text"]):
            yield _delta(index, "text_delta", "text", piece, tokens.of_text(piece))
    elif kind == "thinking":
        for piece in text_pieces(block["thinking"]):
            yield _delta(index, "thinking_delta", "thinking", piece, tokens.of_text(piece))
        hidden_tokens = tokens.of_text(reply.hidden_thinking.get(index, ""))
        if block["signature"]:
            yield _delta(index, "signature_delta", "signature", block["signature"], hidden_tokens)
    elif kind in ("tool_use", "server_tool_use"):
        text = reply.partial.get(index)
        if text is None:
            text = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        for piece in json_pieces(text):
            yield _delta(index, "input_json_delta", "partial_json", piece, tokens.of_text(piece))


def _start(index: int, block: Json) -> StreamEvent:
    return StreamEvent("content_block_start", {"type": "content_block_start", "index": index, "content_block": block})


def _delta(index: int, kind: str, field: str, value: Any, cost: float = 0.0) -> StreamEvent:
    delta = {"type": kind, field: value}
    return StreamEvent("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}, cost)


def text_pieces(text: str) -> Iterator[str]:
    """A text in pieces of one to three words. The pattern is fixed: the same text always gives the same pieces."""
    words = _WORDS.findall(text)
    position = turn = 0
    while position < len(words):
        size = _SIZES[turn % len(_SIZES)]
        yield "".join(words[position : position + size])
        position += size
        turn += 1


def json_pieces(text: str) -> Iterator[str]:
    """Tool arguments in pieces cut without regard to syntax; the first piece is always empty."""
    yield ""
    position = turn = 0
    while position < len(text):
        size = _JSON_SIZES[turn % len(_JSON_SIZES)]
        yield text[position : position + size]
        position += size
        turn += 1

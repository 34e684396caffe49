"""Chunks -> fewer and larger chunks: text is held back until a sentence is complete, or a bound is reached.

Nothing is lost, changed or reordered: the same text comes out in other pieces, and whatever is not text comes out as it
came, after the text before it. Reasoning is text of its own, never joined with content. Time is an argument; the caller
wakes up when ``due`` has come. No encoding and no waiting here.
"""

from __future__ import annotations

import re
from typing import Final

from modelmux.wire.openai.chat_response import Chunk, ChunkDelta

#: Most characters before a sentence's end that decide whether it is one: its mark and closing quotes and brackets.
_SEEN: Final = 9
#: Where a sentence ends: a mark that needs space behind it (a dot may stand in a number or a name), one that needs none
#: because its script has no spaces, or the line's end. Each repetition but the last is bounded: linear in the text.
_END: Final = re.compile(
    r"(?:[.!?…‼⁇⁈⁉؟۔।॥։።។။][\"'”’»›)\]}*_`~]{0,8}\s|[。！？｡．][」』”’）］｝】〉》*_`~]{0,8}|\n)\s*"
)


class Gatherer:
    """Holds the text of one stream back.

    :param max_bytes: text of so many bytes (UTF-8) is let go.
    :param max_wait: longest time in seconds that text is held, from the arrival of its first character.
    """

    __slots__ = ("_max_bytes", "_max_wait", "_parts", "_reasoning", "_size", "_tail", "due")

    def __init__(self, max_bytes: int, max_wait: float) -> None:
        self._max_bytes = max_bytes
        self._max_wait = max_wait
        self._parts: list[str] = []
        self._reasoning = False  # what the parts are
        self._size = 0  # of the parts, in bytes
        self._tail = ""  # of the parts: what may be the beginning of a sentence's end
        #: When the held text has to go, on the caller's clock; None while none is held.
        self.due: float | None = None

    def feed(self, chunk: Chunk, now: float) -> list[Chunk]:
        """Take one chunk; what may go to the client now."""
        found = _text_of(chunk)
        if found is None:
            return [*self.flush(), chunk]
        text, reasoning = found
        out = self.flush() if reasoning != self._reasoning else []
        self._reasoning = reasoning
        cut = _last_end(self._tail + text) - len(self._tail)
        if cut > 0:
            self._parts.append(text[:cut])
            out += self.flush()
            text = text[cut:]
        if text:
            self._hold(text, now)
        if self._size >= self._max_bytes or (self.due is not None and now >= self.due):
            out += self.flush()
        return out

    def flush(self) -> list[Chunk]:
        """What is held, as one chunk, if anything is."""
        if not self._parts:
            return []
        text = "".join(self._parts)
        self._parts.clear()
        self._size, self._tail, self.due = 0, "", None
        return [Chunk(ChunkDelta(reasoning_content=text) if self._reasoning else ChunkDelta(content=text))]

    def _hold(self, text: str, now: float) -> None:
        if self.due is None:
            self.due = now + self._max_wait
        self._parts.append(text)
        self._size += len(text.encode("utf-8", "surrogatepass"))
        self._tail = (self._tail + text)[-_SEEN:]


def _text_of(chunk: Chunk) -> tuple[str, bool] | None:
    """The text of a chunk that holds nothing else, and whether it is reasoning."""
    delta = chunk.delta
    if delta is None or chunk.finish_reason is not None or chunk.usage is not None:
        return None
    if delta.content and delta == ChunkDelta(content=delta.content):
        return delta.content, False
    if delta.reasoning_content and delta == ChunkDelta(reasoning_content=delta.reasoning_content):
        return delta.reasoning_content, True
    return None


def _last_end(text: str) -> int:
    """Where the last complete sentence ends; 0 if none does."""
    end = 0
    for match in _END.finditer(text):
        end = match.end()
    return end

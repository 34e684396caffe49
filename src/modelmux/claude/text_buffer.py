"""Events -> fewer events with more text: text is buffered until a sentence is complete or a bound is reached.

The text is only divided differently; nothing is lost or reordered. Any event but a ping passes unchanged, after the
text before it. Time is an argument: the caller calls ``flush`` at ``due``.
"""

from __future__ import annotations

import re
from typing import Final

from modelmux.wire.anthropic import Delta, StreamEvent

#: Most characters before a sentence's end that decide whether it is one: its mark and closing quotes and brackets.
_TAIL: Final = 9
#: Where a sentence ends: a mark followed by space (a dot may be part of a number or a name), a mark that needs none
#: because its script has no spaces, or the end of a line. Each repetition but the last is bounded: linear in the text.
_END: Final = re.compile(
    r"(?:[.!?…‼⁇⁈⁉؟۔।॥։።။။][\"'”’»›)\]}*_`~]{0,8}\s|[。！？｡．][」』”’）］｝】〉》*_`~]{0,8}|\n)\s*"
)
#: Delta types that are held back, with the field of their text.
_FIELDS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
#: A ping that arrives while text is held back: there is content, though nothing of it may have been sent.
PING_WHILE_HELD: Final = StreamEvent("ping")


class TextBuffer:
    """Holds the text of one stream back.

    :param max_bytes: text of N bytes (UTF-8) is released.
    :param max_wait: longest time in seconds that text is held, counted from its first character.
    :param answer_tool: the tool whose input is the reply's text.
    """

    __slots__ = (
        "_answer_tool",
        "_answers",
        "_index",
        "_max_bytes",
        "_max_wait",
        "_parts",
        "_size",
        "_tail",
        "_type",
        "due",
    )

    def __init__(self, max_bytes: int, max_wait: float, answer_tool: str | None = None) -> None:
        self._max_bytes = max_bytes
        self._max_wait = max_wait
        self._answer_tool = answer_tool
        self._answers: set[int] = set()  # indexes of blocks of the answer tool
        self._parts: list[str] = []
        self._index = -1  # of the block that the parts belong to
        self._type = ""  # of their deltas
        self._size = 0  # of the parts, in bytes
        self._tail = ""  # of the parts: what may be the beginning of a sentence's end
        #: When the held text has to be released, on the caller's clock; None while none is held.
        self.due: float | None = None

    def feed(self, event: StreamEvent, now: float) -> list[StreamEvent]:
        """Take one event; returns what may be passed on now."""
        if event.type == "ping":
            return [event if self.due is None else PING_WHILE_HELD]
        text = self._text_of(event)
        if text is None:
            return [*self.flush(), event]
        assert event.delta is not None
        events: list[StreamEvent] = []
        if (event.index, event.delta.type) != (self._index, self._type):
            events = self.flush()
            self._index, self._type = event.index, event.delta.type
        cut = _last_end(self._tail + text) - len(self._tail)
        if cut > 0:
            self._parts.append(text[:cut])
            events += self.flush()
            text = text[cut:]
        if text:
            self._hold(text, now)
        if self._size >= self._max_bytes or (self.due is not None and now >= self.due):
            events += self.flush()
        return events

    def flush(self) -> list[StreamEvent]:
        """The held text as one event, if there is any."""
        if not self._parts:
            return []
        text = "".join(self._parts)
        self._parts.clear()
        self._size, self._tail, self.due = 0, "", None
        delta = Delta(self._type)
        setattr(delta, _FIELDS[self._type], text)
        return [StreamEvent("content_block_delta", self._index, delta=delta)]

    def _hold(self, text: str, now: float) -> None:
        if self.due is None:
            self.due = now + self._max_wait
        self._parts.append(text)
        self._size += len(text.encode("utf-8", "surrogatepass"))
        self._tail = (self._tail + text)[-_TAIL:]

    def _text_of(self, event: StreamEvent) -> str | None:
        """The text an event adds to what a client reads; None for any other event."""
        block, delta = event.content_block, event.delta
        if block is not None and block.type == "tool_use" and block.name == self._answer_tool:
            self._answers.add(event.index)
        if delta is None or event.type != "content_block_delta":
            return None
        if delta.type == "input_json_delta":
            return (delta.partial_json or None) if event.index in self._answers else None
        return delta.text or delta.thinking or None if delta.type in _FIELDS else None


def _last_end(text: str) -> int:
    """Where the last complete sentence ends; 0 if none does."""
    end = 0
    for match in _END.finditer(text):
        end = match.end()
    return end

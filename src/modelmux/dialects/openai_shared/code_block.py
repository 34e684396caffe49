"""Removes the Markdown fence around an answer that is one code block, also while it streams."""

from __future__ import annotations

import re
from typing import Final

# Every repetition is bounded, and so is the buffer: a reply may end with any amount of white space.
_OPENING: Final = re.compile(r"\s{0,64}```[A-Za-z0-9_-]{0,64}[ \t]{0,64}\r?\n?")
_MAYBE_OPENING: Final = re.compile(r"\s{0,64}(`{0,2}|```[A-Za-z0-9_-]{0,64}[ \t]{0,64}\r?)\Z")
_MAYBE_CLOSING: Final = re.compile(r"\s{0,64}(`{1,3}\s{0,64})?\Z")
_CLOSING: Final = re.compile(r"\s{0,64}```\s{0,64}\Z")
#: The longest match of the closing patterns.
_TAIL: Final = 64 + 3 + 64


class CodeBlockStripper:
    """Removes the fence of a code block from a text that arrives in pieces; other text passes unchanged.

    Buffers only what may still turn out to be a fence.
    """

    __slots__ = ("_buffer", "_fenced", "_started")

    def __init__(self) -> None:
        self._buffer = ""
        self._started = False
        self._fenced = False

    def feed(self, text: str) -> str:
        """The text that is certain so far."""
        self._buffer += text
        if not self._started:
            if _MAYBE_OPENING.match(self._buffer):
                return ""
            self._started = True
            opening = _OPENING.match(self._buffer)
            if opening:
                self._fenced = True
                self._buffer = self._buffer[opening.end() :]
        if not self._fenced:
            return self._release(len(self._buffer))
        tail = _MAYBE_CLOSING.search(self._buffer, max(0, len(self._buffer) - _TAIL))
        return self._release(tail.start() if tail else len(self._buffer))

    def finish(self) -> str:
        """The rest of the text, without a closing fence."""
        if self._fenced:
            self._buffer = _CLOSING.sub("", self._buffer)
        elif not self._started:
            self._buffer = _OPENING.sub("", self._buffer, count=1)
        return self._release(len(self._buffer))

    def _release(self, end: int) -> str:
        text, self._buffer = self._buffer[:end], self._buffer[end:]
        return text


def strip_code_block(text: str) -> str:
    """A complete text without the fence of a code block around it."""
    stripper = CodeBlockStripper()
    return stripper.feed(text) + stripper.finish()

"""Runs of text deltas: neighbours in the bytes of a stream that are alike but for their text.

Where a model is ahead of the network, a read brings dozens of them. What a client gets of each is its text between
other bytes, so texts that are written the way we write them are handed on as they are, neither decoded nor encoded:
less than a third of the cost. Anything unusual is left to those who decode.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.wire.anthropic import Delta, StreamEvent

#: Fewer are not worth the look, and a read of so few bytes does not hold them.
_FEWEST: Final = 4
_FEWEST_BYTES: Final = 400
#: One event. Its text is not empty, and has no escapes but those that our encoder writes as well.
_DELTA: Final = re.compile(
    rb'event: content_block_delta\ndata: \{"type":"content_block_delta","index":(0|[1-9]\d{0,5}),'
    rb'"delta":\{"type":"text_delta","text":"((?!")[^"\\\x00-\x1f]*+(?:\\["\\nrt][^"\\\x00-\x1f]*+)*+)" *\} *\}\n\n'
)
_ESCAPE: Final = re.compile(rb"\\.")


class TextRun(Struct, frozen=True):
    """Text deltas of one block, one after the other.

    :param texts: each as the inside of a JSON string.
    :param characters: of all of them, as a string counts them.
    """

    index: int
    texts: list[bytes]
    characters: int

    def events(self) -> list[StreamEvent]:
        """The same, decoded."""
        return [
            StreamEvent("content_block_delta", self.index, delta=Delta("text_delta", text=_decode(b'"%b"' % text)))
            for text in self.texts
        ]


_decode: Final = msgspec.json.Decoder(str).decode


def find_run(data: bytes) -> tuple[bytes, TextRun, bytes] | None:
    """The one run in bytes that begin where an event begins.

    :returns: what is before it (whole events), the run, what is behind it; None if there is none, or there are several.
    """
    if len(data) < _FEWEST_BYTES or data.count(b'"text_delta"') < _FEWEST:
        return None
    parts = _DELTA.split(data)  # what is before, index, text, what is between, index, text, ..., what is behind
    before, indices, texts = parts[0], parts[1::3], parts[2::3]
    if len(texts) < _FEWEST or any(parts[3:-1:3]) or indices.count(indices[0]) != len(indices):
        return None
    if before and not before.endswith(b"\n\n"):
        return None  # the first is not a whole event
    joined = b'"'.join(texts)  # with something between, or two halves of a character would seem to be one
    try:
        size = len(joined) if joined.isascii() else len(joined.decode())
    except UnicodeDecodeError:
        return None
    escapes = len(_ESCAPE.findall(joined)) if b"\\" in joined else 0
    return before, TextRun(int(indices[0]), texts, size - (len(texts) - 1) - escapes), parts[-1]

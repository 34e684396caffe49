"""JSON whose strings hold half a character: an escaped surrogate without its other half (``\\ud83d`` alone).

RFC 8259 (section 8.2) allows it, encoders that escape all but ASCII write it, and a model that cuts an emoji in two
in a tool's arguments causes it; msgspec refuses it. No other mending of JSON must come in here.
"""

from __future__ import annotations

import re
from typing import Final

#: At each backslash: a whole pair; half of one (the group); any other escape, a backslash itself included.
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_REPLACEMENT: Final = b"\\ufffd"


def without_halves(data: bytes) -> bytes:
    """The same JSON with the replacement character for each half; the very object if there is none."""
    if b"\\u" not in data:
        return data
    mended = _ESCAPE.sub(lambda found: _REPLACEMENT if found[1] else found[0], data)
    return data if mended == data else mended

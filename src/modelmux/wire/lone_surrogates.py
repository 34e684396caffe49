"""Replaces lone surrogates in JSON: an escaped half of a surrogate pair (``\\ud83d``) without the other half.

RFC 8259 (section 8.2) allows them, encoders that escape non-ASCII text write them, and a model that splits an emoji
in a tool's arguments causes them; msgspec rejects them. Not in this module: any other repair of JSON.
"""

from __future__ import annotations

import re
from typing import Final

#: At each backslash: a surrogate pair; a lone surrogate (the group); any other escape, including an escaped backslash.
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_REPLACEMENT: Final = b"\\ufffd"


def replace_lone_surrogates(data: bytes) -> bytes:
    """The JSON with U+FFFD for each lone surrogate; the same object if there is none."""
    if b"\\u" not in data:
        return data
    replaced = _ESCAPE.sub(lambda match: _REPLACEMENT if match[1] else match[0], data)
    return data if replaced == data else replaced

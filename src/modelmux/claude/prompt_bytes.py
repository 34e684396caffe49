"""How long a prompt is, told from the bytes of a request before anything else is done with it."""

from __future__ import annotations

from typing import Final

#: What an image counts as: some 1,500 tokens.
_FILE: Final = 4_000
#: A text of so many bytes without a space is a file.
_LONG: Final = 8_192
#: Such a text has as many bytes without a quote, wherever the search comes upon it: short texts are not looked at.
_STEP: Final = _LONG // 2


def prompt_bytes(body: bytes) -> int:
    """Bytes of text in a request, its JSON included; of a file a number that stands for it."""
    if b"base64" not in body:
        return len(body)
    size, at, end = len(body), 0, len(body)
    while at < end:
        if body.find(b'"', at, at + _STEP) >= 0:
            at += _STEP
            continue
        start, stop = body.rfind(b'"', 0, at) + 1, body.find(b'"', at + _STEP)
        stop = end if stop < 0 else stop
        if stop - start > _LONG and b" " not in body[start : start + _LONG]:
            size += _FILE - (stop - start)
        at = stop + 1
    return size

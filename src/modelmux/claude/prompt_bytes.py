"""How long a prompt is, told from the bytes of a request before anything else is done with it."""

from __future__ import annotations

from typing import Final

#: What an image counts as: some 1,500 tokens.
_FILE: Final = 4_000
#: A text of so many bytes without a space is a file.
_LONG: Final = 8_192


def prompt_bytes(body: bytes) -> int:
    """Bytes of text in a request, its JSON included; of a file a number that stands for it."""
    if b"base64" not in body:
        return len(body)
    files = [len(text) for text in body.split(b'"') if len(text) > _LONG and b" " not in text[:_LONG]]
    return len(body) - sum(files) + _FILE * len(files)

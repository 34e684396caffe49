"""Untrusted text, made safe for a terminal: it cannot move the cursor, change colours or clear the screen."""

from __future__ import annotations

import re
from typing import Final

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]+@")


def one_line(text: str) -> str:
    """One line, with escapes instead of characters that cannot be printed: for values in messages."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def strip_controls(text: str) -> str:
    """Text of any number of lines without control characters: for output of a model."""
    return _CONTROLS.sub("", text)


def redact_userinfo(url: str) -> str:
    """A URL with its user and password, if any, masked."""
    return _USERINFO.sub("***@", url)

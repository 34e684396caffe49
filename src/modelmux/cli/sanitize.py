"""Text of others, made fit for a terminal: nothing in it can move the cursor, change colours or clear the screen."""

from __future__ import annotations

import re
from typing import Final

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LOGIN: Final = re.compile(r"(?<=://)[^/@\s]+@")


def one_line(text: str) -> str:
    """One line, with escapes in the place of what cannot be printed: for values in messages."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def strip_controls(text: str) -> str:
    """Text of several lines without control characters: for what a model says."""
    return _CONTROLS.sub("", text)


def redact_userinfo(url: str) -> str:
    """A URL whose user and password, if it has any, are masked."""
    return _LOGIN.sub("***@", url)

"""Texts as a column of PostgreSQL can have them."""

from __future__ import annotations

import re
from typing import Final

_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def clean(text: str) -> str:
    """Without the character NUL and without surrogates, which a client's text may have."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def escape(text: str) -> str:
    """Another text for each, without the character NUL: of names that are compared."""
    return text if text.isprintable() and "\\" not in text else text.replace("\\", "\\\\").replace("\0", "\\0")


def unescape(text: str) -> str:
    """What ``escape`` was called with."""
    return text if "\\" not in text else _ESCAPED.sub(lambda match: "\0" if match[1] == "0" else match[1], text)

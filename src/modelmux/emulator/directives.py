"""Directives in a prompt: ``[[emulator: status=429 times=2 message="try later"]]`` -> Fault, and the text without them.

Only the last user text is read. What a fault does is said in ``faults.py``.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

from modelmux.emulator.faults import BadDirective, Fault, from_words

_DIRECTIVE: Final = re.compile(r"\[\[\s*emulator:\s*(.*?)\]\]", re.IGNORECASE | re.DOTALL)


def find(text: str) -> tuple[Fault, str] | None:
    """The fault that a text asks for, with the words themselves (they key ``times``); None without a directive.

    :raises BadDirective: the directive cannot be read.
    """
    if "[[" not in text:
        return None
    bodies = [body.strip() for body in _DIRECTIVE.findall(text)]
    if not bodies:
        return None
    words: dict[str, str | None] = {}
    key = " ".join(bodies)
    for word in _split(key):
        name, equals, value = word.partition("=")
        words[name] = value if equals else None
    words.pop("key", None)  # only tells two otherwise equal directives apart
    return from_words(words), key


def strip(text: str) -> str:
    """The text without its directives."""
    return _DIRECTIVE.sub("", text).strip() if "[[" in text else text


def _split(body: str) -> list[str]:
    try:
        return shlex.split(body)
    except ValueError as wrong:
        raise BadDirective(f"an emulator directive cannot be read: {wrong}") from wrong

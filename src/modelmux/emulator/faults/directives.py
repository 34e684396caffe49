"""Directives in a prompt: ``[[emulator: status=429 times=2 message="try later"]]`` -> FaultSpec, and their removal.

Only the last user text is read. ``rules.py`` lists the words.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

from modelmux.emulator.faults.rules import BadDirective, FaultSpec, parse_fault

_DIRECTIVE: Final = re.compile(r"\[\[\s*emulator:\s*(.*?)\]\]", re.IGNORECASE | re.DOTALL)


def find(text: str) -> tuple[FaultSpec, str] | None:
    """The fault a text requests, with the directive's own words (the key that ``times`` counts by); None without one.

    :raises BadDirective: the directive cannot be parsed.
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
    words.pop("key", None)  # only makes otherwise equal directives distinct
    return parse_fault(words), key


def strip(text: str) -> str:
    """The text without its directives."""
    return _DIRECTIVE.sub("", text).strip() if "[[" in text else text


def _split(body: str) -> list[str]:
    try:
        return shlex.split(body)
    except ValueError as error:
        raise BadDirective(f"an emulator directive cannot be read: {error}") from error

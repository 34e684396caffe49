"""Which line of a TOML text sets what. Only needed when something is wrong or an origin is requested.

``tomllib`` reports no positions, so the text is parsed again for each of its lines, up to that line: the statement that
makes a value appear is where it is set. The cost grows with the square of the number of lines; files have hundreds.
"""

from __future__ import annotations

import tomllib
from typing import Any, Final

from modelmux.config.paths import KeyPath

#: Longer texts are not searched: a second of parsing is too long for a line number.
_MAX_LINES: Final = 2000


def line_numbers(text: str) -> dict[KeyPath, int]:
    """Path of every table, list entry and value -> the line, counted from 1, in which it first appears."""
    lines = text.splitlines(keepends=True)
    numbers: dict[KeyPath, int] = {}
    start: int | None = None
    for number, line in enumerate(lines[:_MAX_LINES], 1):
        if start is None:
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            start = number
        try:
            tree = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a statement
        _record(tree, (), start, numbers)
        start = None
    return numbers


def _record(value: Any, path: KeyPath, line: int, numbers: dict[KeyPath, int]) -> None:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        numbers.setdefault((*path, key), line)
        _record(inner, (*path, key), line, numbers)

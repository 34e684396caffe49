"""Which line of a TOML text sets what. Only needed when something is wrong or its origin is asked for.

``tomllib`` gives no positions, so the text is read once more for each of its lines, up to that line: the statement that
makes a value appear is where it is set. That costs the square of the number of lines, for files that have hundreds.
"""

from __future__ import annotations

import tomllib
from typing import Any, Final

from modelmux.config.check import Path

#: Longer texts are not searched: a second of reading is too long for a line number.
_MAX_LINES: Final = 2000


def lines_of(text: str) -> dict[Path, int]:
    """Path of every table, list entry and value -> the line, counted from 1, that it first appears in."""
    lines = text.splitlines(keepends=True)
    found: dict[Path, int] = {}
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
        _note(tree, (), start, found)
        start = None
    return found


def _note(value: Any, path: Path, line: int, found: dict[Path, int]) -> None:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        found.setdefault((*path, key), line)
        _note(inner, (*path, key), line, found)

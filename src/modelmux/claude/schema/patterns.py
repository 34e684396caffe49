"""What the regular expressions of a schema cost: compiling takes a microsecond for each character, and milliseconds for
a set with a wide range of characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from modelmux.claude.schema.work import Work

#: Units of ``Work``.
_PATTERN: Final = 20
_CHARACTER: Final = 2
_WIDE_SET: Final = 300
_WIDE_RANGE: Final = 1_500
#: With case ignored, every character of a range is looked at.
_RANGE_IGNORING_CASE: Final = 100
_WIDE_RANGE_IGNORING_CASE: Final = 9_000
_MARK: Final = b'"pattern'
_ESCAPE: Final = re.compile(r"\\[uUxN]")
_END_OF_WIDE_RANGE: Final = re.compile(r"-(?:[^\x00-\x7f]|\\[uUxN])")
_IGNORES_CASE: Final = re.compile(r"\(\?[a-zA-Z]*i")


def charge_patterns(schema: Any, encoded: bytes | None, work: Work) -> None:
    """Charge the expressions that ``draft2020.py`` may compile, before it does.

    :param encoded: the schema in JSON; None if it is nested too deeply for that.
    :raises TooMuchWork:
    """
    if encoded is not None and _MARK not in encoded:
        return
    is_remembered = encoded is not None and len(encoded) <= MAX_REMEMBERED
    for pattern in _remembered(encoded or b"") if is_remembered else patterns_of(schema):
        work.charge_pattern(pattern, cost_of(pattern))


#: Bytes of the longest schema whose check is remembered: 8 MiB with all of them.
MAX_REMEMBERED: Final = 8192


@lru_cache(maxsize=1024)
def _remembered(encoded: bytes) -> tuple[str, ...]:
    return tuple(dict.fromkeys(patterns_of(msgspec.json.decode(encoded))))


def patterns_of(schema: Any) -> Iterator[str]:
    """Every expression, at any depth; also what only looks like one, in an example."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if isinstance(value.get("pattern"), str):
                yield value["pattern"]
            if isinstance(value.get("patternProperties"), dict):
                yield from value["patternProperties"]
            waiting += value.values()


def cost_of(pattern: str) -> int:
    """Units of ``Work`` to compile it."""
    units = _PATTERN + _CHARACTER * len(pattern)
    ignores_case = _IGNORES_CASE.search(pattern) is not None
    if ignores_case:
        units += _RANGE_IGNORING_CASE * pattern.count("-")
    if pattern.isascii() and not _ESCAPE.search(pattern):
        return units
    wide = _WIDE_RANGE_IGNORING_CASE if ignores_case else _WIDE_RANGE
    return units + _WIDE_SET * pattern.count("[") + wide * len(_END_OF_WIDE_RANGE.findall(pattern))

"""The limit of work that one answer and its schema may cause."""

from __future__ import annotations

from typing import Final

#: Work on one answer, all that is done to it together: a unit is one mark of its JSON that is read, one keyword applied
#: to one value, or one value compared. All of it takes some 0.2 s; an answer of 100 kB inside an envelope needs half.
MAX_WORK: Final = 100_000
#: Levels of schemas within one another, references followed: far above real ones, far below Python's recursion limit.
MAX_LEVELS: Final = 64


class TooMuchWork(Exception):
    """The schema or the value is beyond the limits."""


class Work:
    """The work that is left for one answer."""

    __slots__ = ("_left",)

    def __init__(self, most: int = MAX_WORK) -> None:
        self._left = most

    def charge(self, units: int) -> None:
        """:raises TooMuchWork: more than the limit together."""
        self._left -= units
        if self._left < 0:
            raise TooMuchWork

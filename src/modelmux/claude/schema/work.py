"""The limits of work that schemas may cause: those of one request together, and those of one answer."""

from __future__ import annotations

from typing import Final

from modelmux.errors import InvalidRequest

#: Work on one answer, all that is done to it together: a unit is one mark of its JSON that is read, one keyword applied
#: to one value, or one value compared. All of it takes less than 0.1 s, in which nobody else is answered; an answer of
#: 100 kB inside an envelope needs most of it.
MAX_WORK: Final = 50_000
#: Work on all schemas of one request, besides what is linear in their length: references followed, schemas merged,
#: regular expressions compiled. A unit is about a microsecond. Without it, a few hundred bytes take seconds.
MAX_REQUEST_WORK: Final = 50_000
#: Schemas, at every depth, that are put right in one request. One takes some 10 us; a valid one is not put right.
MAX_REPAIRS: Final = 6_000
#: Levels of schemas within one another, references followed: far above real ones, far below Python's recursion limit.
MAX_LEVELS: Final = 64


class TooMuchWork(Exception):
    """The schema or the value is beyond the limits."""


class Work:
    """The work that is left for one answer, or for the schemas of one request."""

    __slots__ = ("_left", "_patterns", "_repairs")

    def __init__(self, most: int = MAX_WORK) -> None:
        self._left = most
        self._repairs = MAX_REPAIRS
        self._patterns: set[str] | None = None

    @property
    def left(self) -> int:
        return self._left

    def charge(self, units: int) -> None:
        """:raises TooMuchWork: more than the limit together."""
        self._left -= units
        if self._left < 0:
            raise TooMuchWork

    def charge_repair(self) -> None:
        """Charge one schema that is read to be put right, with the schemas beside it.

        :raises TooMuchWork:
        """
        self._repairs -= 1
        if self._repairs < 0:
            raise TooMuchWork

    def charge_pattern(self, pattern: str, units: int) -> None:
        """Charge a regular expression the first time: compiled ones are remembered.

        :raises TooMuchWork:
        """
        if self._patterns is None:
            self._patterns = set()
        if pattern not in self._patterns:
            self.charge(units)
            self._patterns.add(pattern)


def request_work() -> Work:
    """The work that is left for the schemas of one request."""
    return Work(MAX_REQUEST_WORK)


def too_much_work(field: str) -> InvalidRequest:
    """The client's error for schemas that take too much work together."""
    return InvalidRequest(
        "The schemas of this request combine too much, have too many regular expressions, or need too many changes.",
        param=field,
        hint="Write references and allOf out, keep to JSON Schema draft 2020-12, and send fewer or smaller schemas.",
    )

"""Days and months are verified one after another: what one fails with keeps none of the others from it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import Difference, IsOver, never

#: Of a section: what differs in it; see ``verify_sections.MONTHS``.
Verify = Callable[[int], Awaitable[list[Difference]]]


class SectionFailed(StoreFailed):
    """A day or a month cannot be verified or repaired; others can."""


class Run:
    """What was found so far. :param most: differences that are kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._differing: list[Difference] = []
        self._failures: list[SectionFailed] = []

    async def verify(
        self, sections: Sequence[int], verify: Verify, most: float = math.inf, is_over: IsOver = never
    ) -> int | None:
        """
        :param most: sections. :param is_over: asked after each.
        :returns: the last one, if there are more. :raises StoreFailed: of the whole store.
        """
        for count, section in enumerate(sections, 1):
            try:
                self._differing += await verify(section)
            except SectionFailed as error:
                self._failures.append(error)
            del self._differing[self._most :]
            if count < len(sections) and (count >= most or is_over()):
                return section
        return None

    def differences(self) -> list[Difference]:
        """:raises SectionFailed: the first of those that failed."""
        if self._failures:
            raise self._failures[0]
        return self._differing

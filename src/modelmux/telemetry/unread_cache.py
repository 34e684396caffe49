"""A watchdog of the prompt cache: tokens that a caller pays to write, more than to send them, and then never reads.

Callers who do so mark what changes with each request, or ask once and never again. Which requests belong together is
not known, so the rule is simple: what a caller wrote on a route is unread if its next request that uses the cache there
writes again and reads nothing. A key whose conversations go on reads in between, and counts nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: Pairs of callers and routes that are remembered; those of longest ago are forgotten, and what they wrote counts as
#: read.
MAX_REMEMBERED: Final = 10_000


class UnreadCache:
    """What callers of this process wrote and have not read yet."""

    def __init__(self) -> None:
        self._written: OrderedDict[tuple[str, str], int] = OrderedDict()

    def settled(self, owner: str, route: str, written: int, read: int) -> int:
        """Note a request.

        :param owner: of a caller. :param written, read: tokens.
        :returns: tokens of an earlier one that are unread by this rule.
        """
        if written <= 0 and read <= 0:
            return 0
        key = owner, route
        before = self._written.pop(key, 0)
        if written > 0:
            self._written[key] = written
            if len(self._written) > MAX_REMEMBERED:
                self._written.popitem(last=False)
        return 0 if read > 0 else before

"""How many tokens replies to a key usually have: the median of the last ones."""

from __future__ import annotations

from collections import deque
from typing import Final

#: Of a key that had no reply yet.
FIRST: Final = 1_000
_REPLIES: Final = 15
_MANY: Final = 10_000


class UsualOutput:
    """For the keys that one process serves."""

    def __init__(self) -> None:
        self._last: dict[str, deque[int]] = {}
        self._median: dict[str, int] = {}

    def of(self, owner: str) -> int:
        """The median, or what is assumed of the first reply."""
        return self._median.get(owner, FIRST)

    def add(self, owner: str, tokens: int) -> None:
        """A reply was complete."""
        if owner not in self._last and len(self._last) >= _MANY:
            self._last.clear()
            self._median.clear()
        last = self._last.setdefault(owner, deque(maxlen=_REPLIES))
        last.append(tokens)
        self._median[owner] = sorted(last)[len(last) // 2]

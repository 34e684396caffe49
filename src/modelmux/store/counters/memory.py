"""Counters of one process, in its own memory."""

from __future__ import annotations

from typing import Final

from modelmux.accounts.rate_limits import CELL
from modelmux.store.counters.cells import CellCounter

#: Counters from which on those that are idle are forgotten.
_MANY: Final = 1_024


class MemoryCounters:
    """See ``Counters``.

    :param share: by how many limits are divided, where other processes count for themselves.
    """

    def __init__(self, share: int = 1) -> None:
        self._share = share
        self._counters: dict[str, CellCounter] = {}
        self._clean_at = _MANY

    def counter(self, name: str, tick: int) -> CellCounter:
        counter = self._counters.get(name)
        if counter is None:
            if len(self._counters) >= self._clean_at:
                self._counters = {name: one for name, one in self._counters.items() if not one.is_idle(tick)}
                self._clean_at = max(_MANY, 2 * len(self._counters))
            counter = self._counters[name] = CellCounter([0] * (CELL + 1), (0,), 0, (CELL,), CELL, self._share)
        return counter

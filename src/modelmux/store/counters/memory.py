"""Counters of one process, in its own memory."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import Final

from modelmux.accounts.rate_limits import CELL
from modelmux.store.counters.cells import CellCounter

#: Counters that are looked at for each new one: more than one, so that those that are idle become fewer.
_LOOKS: Final = 3


class MemoryCounters:
    """See ``Counters``. Each new counter makes it look at some that were looked at longest ago, and forget those that
    are idle: what is remembered is what counts, and never takes long to look through.

    :param share: by how many limits are divided, where other processes count for themselves.
    """

    def __init__(self, share: int = 1) -> None:
        self._share = share
        self._counters: OrderedDict[str, CellCounter] = OrderedDict()

    def counter(self, name: str, tick: int, *, is_claim: bool = False) -> CellCounter:
        del is_claim
        counter = self._counters.get(name)
        if counter is None:
            self._forget_some(tick)
            cells = array("q", bytes(8 * (CELL + 1)))
            counter = self._counters[name] = CellCounter(cells, (0,), 0, (CELL,), CELL, self._share)
        counter.hold(tick)
        return counter

    def known(self, name: str) -> CellCounter | None:
        """The counter with a name, if something was counted in it and it is not forgotten."""
        return self._counters.get(name)

    def _forget_some(self, tick: int) -> None:
        counters = self._counters
        for _ in range(min(_LOOKS, len(counters))):
            name, counter = counters.popitem(last=False)
            if not counter.is_idle(tick):
                counters[name] = counter

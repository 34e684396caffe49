"""A counter whose cells are in an array of integers: that of this process is written, all are read."""

from __future__ import annotations

from collections.abc import Sequence

from modelmux.accounts.limit_leases import Seen
from modelmux.accounts.rate_limits import LAST, MINUTE, Cells, add, correct, is_idle, ticks_until, used


class CellCounter:
    """A ``Counter``.

    :param starts: indexes of the cells of all processes. :param start: of the own one.
    :param running: indexes of the numbers of running requests. :param own_running: of the own one.
    """

    __slots__ = ("_cells", "_own_running", "_running", "_start", "_starts", "share")

    def __init__(
        self,
        cells: Cells,
        starts: Sequence[int],
        start: int,
        running: Sequence[int],
        own_running: int,
        share: int = 1,
    ) -> None:
        self._cells = cells
        self._starts = tuple(starts)
        self._start = start
        self._running = tuple(running)
        self._own_running = own_running
        self.share = share

    def seen(self, limit: int, needed: int, tick: int, *, at_once: bool = False) -> Seen:
        del needed
        limit = limit // self.share or 1
        counted = self.running if at_once else used(self._cells, self._starts, tick)
        return Seen(limit, counted, limit - counted)

    def refused(self, needed: int, counted: int | None = None) -> int:
        del needed, counted
        return 0

    def used(self, tick: int) -> int:
        return used(self._cells, self._starts, tick)

    def own(self, tick: int, *, at_once: bool) -> int:
        """What this process counts."""
        return self._cells[self._own_running] if at_once else used(self._cells, (self._start,), tick)

    def add(self, tick: int, amount: int) -> None:
        add(self._cells, self._start, tick, amount)

    def correct(self, added: int, tick: int, more: int) -> None:
        correct(self._cells, self._start, added, tick, more)

    def ticks_until(self, tick: int, room: int) -> int:
        """Ticks until no more than an amount counts, if nothing is added."""
        return ticks_until(self._cells, self._starts, tick, room)

    def ticks_until_own(self, tick: int, room: int) -> int:
        """The same of what this process counts."""
        return ticks_until(self._cells, (self._start,), tick, room)

    def ticks_until_fits(self, seen: Seen, needed: int, tick: int) -> int:
        return self.ticks_until(tick, 0 if needed > seen.limit else seen.limit - needed)

    def ticks_until_unused(self, tick: int) -> int:
        return self.ticks_until(tick, 0)

    @property
    def running(self) -> int:
        cells, running = self._cells, 0
        for index in self._running:
            running += cells[index]
        return running

    def enter(self, number: int = 1) -> None:
        self._cells[self._own_running] += number

    def hold(self, tick: int) -> None:
        """Be not idle for half a minute, because something is about to be counted."""
        if self._cells[self._start + LAST] < tick - MINUTE // 2:
            add(self._cells, self._start, tick, 0)

    def is_idle(self, tick: int) -> bool:
        """Whether it may be forgotten."""
        return not self.running and is_idle(self._cells, self._starts, tick)

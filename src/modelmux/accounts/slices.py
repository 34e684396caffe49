"""What one process may spend: its lease of each window, what running requests hold of it, what they have spent.

``held + spent <= leased`` is true of every slice at every moment. So a process decides alone, without waiting, and all
processes together never pass a budget whose leases the store keeps below its limit. Soft budgets have slices, too, with
a lease that has no limit.

A cost above its hold is charged in full. Then the invariant is broken by that much, which is counted, and no request is
admitted until the store has given a larger lease.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct

#: The lease of a window that has no limit.
UNLIMITED = 1 << 62


class WindowKey(NamedTuple):
    """One window of one subject of one budget.

    :param subject: whose window it is under budgets for each person, key or end user; else empty.
    :param start: microseconds in UTC.
    """

    budget: str
    subject: str
    start: int


class Slice(Struct):
    """The part of a window that a process has, in the unit of the budget.

    :param spent: settled, and not yet written by the store.
    """

    leased: int = 0
    held: int = 0
    spent: int = 0

    @property
    def free(self) -> int:
        """What another request may hold; below 0 after a cost above its hold."""
        return self.leased - self.held - self.spent


class Hold(Struct):
    """What a running request holds, by window. It is released once."""

    amounts: dict[WindowKey, int]
    is_released: bool = False


class Slices:
    """All slices of a process. Calls do not wait, and each is complete before the next."""

    def __init__(self) -> None:
        self._slices: dict[WindowKey, Slice] = {}
        #: Spent above the holds, all windows together; counted, because a limit may be passed by it.
        self.underrun = 0

    def __iter__(self) -> Iterator[tuple[WindowKey, Slice]]:
        return iter(self._slices.items())

    def of(self, window: WindowKey) -> Slice:
        """The slice of a window; an empty one if there is none yet."""
        one = self._slices.get(window)
        if one is None:
            one = self._slices[window] = Slice()
        return one

    def extend(self, hold: Hold, amounts: Mapping[WindowKey, int]) -> list[WindowKey]:
        """Hold more for a request, of all windows or of none.

        :param amounts: none is below 0.
        :returns: the windows that have too little free; empty if it is held.
        """
        short = [window for window, amount in amounts.items() if self.of(window).free < amount]
        if short:
            return short
        self.extend_beyond(hold, amounts)
        return short

    def extend_beyond(self, hold: Hold, amounts: Mapping[WindowKey, int]) -> None:
        """Hold more, whatever is free: an outage of the store allows it."""
        held = hold.amounts
        for window, amount in amounts.items():
            self.of(window).held += amount
            held[window] = held.get(window, 0) + amount

    def settle(self, hold: Hold, costs: Mapping[WindowKey, int]) -> None:
        """Release a hold, and spend in its place. A second time changes nothing.

        :param costs: none is below 0. A window that is not held may have one: that of a budget which is soft, or was
            when the request arrived.
        """
        if hold.is_released:
            return
        hold.is_released = True
        for window, amount in hold.amounts.items():
            self._slices[window].held -= amount
        for window, cost in costs.items():
            if cost:  # else nothing is ever written of a window that is not held, and nothing would drop its slice
                self.of(window).spent += cost
                self.underrun += max(0, cost - hold.amounts.get(window, cost))

    def lease(self, window: WindowKey, amount: int) -> None:
        """Take over what the store gave."""
        self.of(window).leased += amount

    def written(self, window: WindowKey, amount: int) -> None:
        """The store has written what was spent: it left the lease with it."""
        one = self._slices[window]
        one.spent -= amount
        one.leased -= amount

    def give_back(self, window: WindowKey, amount: int) -> int:
        """Return what is free, at most this much.

        :returns: how much is given back, which the caller has to tell the store.
        """
        one = self.of(window)
        surplus = max(0, min(amount, one.free))
        one.leased -= surplus
        return surplus

    def forget(self, window: WindowKey) -> None:
        """Drop a slice that holds nothing and has spent nothing that is not written."""
        self._slices.pop(window, None)

"""What a process may hold beyond its leases while their store does not answer. No clock, no waiting.

Several processes do not know of each other meanwhile, so each has its part of the allowance. What counts is how far a
window stands above what the store covers at the moment, not what was ever held: a request that costs less than it held
gives the rest back. A window that stands above its limit from an outage of before has so much less in the next one.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

#: Seconds after a failure for which requests do not ask the store again.
_PAUSE: Final = 1.0
#: Seconds for which a request waits for an answer: the first one of an outage, and those during it.
FIRST_WAIT: Final = 5.0
_NEXT_WAIT: Final = 1.0
#: An answer that took so many seconds does not end an outage.
_SLOW: Final = 1.0


class LastKnown(Struct, frozen=True):
    """A window as one process knows it, in the unit of its budget.

    :param limit: in force for the request. :param leased: by this process.
    :param spent: as the store had it at the last exchange; 0 if that is not known.
    :param others: what other processes had leased then.
    """

    limit: int
    leased: int
    spent: int = 0
    others: int = 0

    def is_spent(self, used: int) -> bool:
        """Whether the limit would be passed though no other process spent anything more.

        :param used: by this process, what it holds and what is not written yet.
        """
        return used > self.limit - self.spent

    @property
    def covered(self) -> int:
        """What this process may use by its lease. One of before the limit was lowered covers as much as is left of
        that."""
        return min(self.leased, self.limit - self.spent - self.others)

    def beyond(self, used: int) -> int:
        """How much of it no lease covers."""
        return max(0, used - self.covered)


def part_of(allowance: int, processes: int) -> int:
    """What one process may hold beyond its leases, of each window.

    :param processes: that may hold as much at the same time; 0 if that is not known: then it holds nothing.
    """
    return allowance // processes if processes > 0 else 0


class Outage:
    """Whether the store answers one process. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._failed_at: float | None = None
        self._is_used = False

    def failed(self, now: float) -> None:
        """The store gave no answer, or one that came late."""
        self._failed_at = now

    def asks(self, now: float) -> bool:
        """Whether a request asks the store before it holds beyond its leases."""
        return self._failed_at is None or now - self._failed_at >= _PAUSE

    @property
    def waits(self) -> float:
        """Seconds for which it waits for the answer."""
        return FIRST_WAIT if self._failed_at is None else _NEXT_WAIT

    def used(self) -> Literal["first", "again"]:
        """Something is held beyond leases."""
        before, self._is_used = self._is_used, True
        return "again" if before else "first"

    def answered(self, seconds: float) -> bool:
        """The store has answered. :returns: whether an outage has ended in which something was held beyond leases."""
        if seconds >= _SLOW:
            return False
        was_used, self._is_used, self._failed_at = self._is_used, False, None
        return was_used

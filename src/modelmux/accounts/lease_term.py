"""For how long a process may hold from its leases without a word from the store. No clock, no waiting.

Another process may end the leases later than that: when the requests that were held before must be over, too.
"""

from __future__ import annotations

from typing import Final

#: Seconds since the last renewal after which nothing more is held.
STOPS_AFTER: Final = 45.0


class LeaseTerm:
    """Times are monotonic seconds of this process.

    A term that has ended begins anew with an exchange of leases alone, in which the process gives back all that it does
    not hold. Until then, it does not know what became of its leases.

    :param stops_after: ``math.inf`` where no other process ends leases.
    """

    def __init__(self, stops_after: float = STOPS_AFTER) -> None:
        self._stops_after = stops_after
        self._renewed_at: float | None = None

    def renewed(self, began: float, now: float) -> None:
        """The store was reached. :param began: when the call began: it was not reached earlier."""
        if self._renewed_at is not None and not self.has_ended(now):
            self._renewed_at = max(self._renewed_at, began)

    def exchanged(self, began: float) -> None:
        """Leases were exchanged. :param began: see ``renewed``."""
        self._renewed_at = began

    def has_ended(self, now: float) -> bool:
        """Whether nothing may be held. A process that has exchanged nothing yet has no leases, and may ask for some."""
        return self._renewed_at is not None and now - self._renewed_at > self._stops_after

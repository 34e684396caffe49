"""What locations of the upstream have refused lately, so that one request pays for finding out, not each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

#: Seconds after which a location is asked again: the upstream gains features without notice.
REFUSAL_SECONDS: Final = 3600.0
#: Far more than all locations and features; clients choose the names.
_MAX_REFUSALS: Final = 4096


class Refusals:
    """Names by location, each for an hour.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}
        self._by_location: dict[str, tuple[float, frozenset[str]]] = {}

    def add(self, location: str, names: Iterable[str]) -> None:
        """Remember that a location refused these."""
        now = self._clock()
        for name in names:
            self._until.pop((location, name), None)  # to the end: the oldest are first
            self._until[location, name] = now + REFUSAL_SECONDS
        while len(self._until) > _MAX_REFUSALS:
            self._until.pop(next(iter(self._until)), None)  # large requests do this in a thread
        self._by_location.clear()

    def of(self, location: str) -> frozenset[str]:
        """What a location has refused within the last hour."""
        if not self._until:
            return frozenset()
        now = self._clock()
        valid_until, names = self._by_location.get(location, (now, frozenset()))
        if valid_until <= now:
            left = {
                name: until for (where, name), until in list(self._until.items()) if where == location and until > now
            }
            names, valid_until = frozenset(left), min(left.values(), default=now + REFUSAL_SECONDS)
            self._by_location[location] = valid_until, names
        return names

"""Which processes are lost, from what is seen of them again and again. No clock, no waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

#: Seconds for which a process has to be seen silent that the store says is overdue, so that it had time to renew its
#: leases after the store stood still, or another server took its place.
WATCHED: Final = 30.0
#: Seconds for which another process has to be silent.
LOST_AFTER: Final = 600.0
#: Seconds between two looks after which nothing is known of the time between them.
_GAP: Final = 90.0


class _Silence(NamedTuple):
    """:param since: when this was seen first. :param watched_since: since then there was no gap."""

    at: int
    since: float
    watched_since: float


class Silences:
    """Times are monotonic seconds of this process: clocks of several machines differ, and are set."""

    def __init__(self) -> None:
        self._of: dict[str, _Silence] = {}
        self._looked_at = 0.0

    def look(self, seen: Mapping[str, tuple[int, bool | None]], now: float) -> list[str]:
        """Those that are lost.

        :param seen: of each process, when it last wrote, and whether it is overdue by the clock of the store; None if
            that is not known.
        """
        is_gap = now - self._looked_at > _GAP
        self._of = {name: self._one(name, at, now, is_gap) for name, (at, _) in seen.items()}
        self._looked_at = now
        return [name for name, (_, is_overdue) in seen.items() if self._is_lost(self._of[name], is_overdue, now)]

    def _one(self, name: str, at: int, now: float, is_gap: bool) -> _Silence:
        before = self._of.get(name)
        if before is None or before.at != at:
            return _Silence(at, now, now)
        return before._replace(watched_since=now) if is_gap else before

    @staticmethod
    def _is_lost(silence: _Silence, is_overdue: bool | None, now: float) -> bool:
        if is_overdue is None:
            return now - silence.since > LOST_AFTER
        return is_overdue and now - silence.watched_since >= WATCHED

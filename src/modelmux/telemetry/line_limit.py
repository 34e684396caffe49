"""How many lines of one kind may be logged: at most so many in any second, and one with the number of those left out.

Decides only; the clock is an argument.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

#: Lines in any ``SECONDS``.
LINES: Final = 10
SECONDS: Final = 1.0


class LineLimit(NamedTuple):
    """What has been logged, as a value.

    :param times: of the last lines, at most ``LINES``; monotonic seconds.
    :param left_out: lines that were not logged since.
    :param counted_at: when the number of those left out was logged last; monotonic seconds.
    """

    times: tuple[float, ...] = ()
    left_out: int = 0
    counted_at: float = -math.inf

    def allows(self, now: float) -> bool:
        """Whether a line may be logged."""
        return len(self.times) < LINES or now - self.times[0] >= SECONDS

    def after_line(self, now: float) -> LineLimit:
        """The state after a line that was allowed."""
        return self._replace(times=(*self.times[1 - LINES :], now))

    def after_left_out(self) -> LineLimit:
        """The state after a line that was not allowed."""
        return self._replace(left_out=self.left_out + 1)

    def after_count(self, now: float) -> LineLimit:
        """The state after the number of lines left out was logged. That line does not count."""
        return self._replace(left_out=0, counted_at=now)

    def count_due_in(self, now: float) -> float:
        """Seconds until the number of lines left out is to be logged: when a line is allowed again, and at most once in
        ``SECONDS``, so that the numbers are not a flood of their own."""
        line_allowed_at = self.times[0] + SECONDS if len(self.times) == LINES else now
        return max(line_allowed_at, self.counted_at + SECONDS, now) - now

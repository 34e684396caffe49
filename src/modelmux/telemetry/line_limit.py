"""How many lines of one kind may be logged: at most so many in any second. Decides only; the clock is an argument."""

from __future__ import annotations

from typing import Final, NamedTuple

#: Lines in any ``SECONDS``.
LINES: Final = 10
SECONDS: Final = 1.0


class LineLimit(NamedTuple):
    """What has been logged, as a value.

    :param times: of the last lines, at most ``LINES``; monotonic seconds.
    :param left_out: lines that were not logged since.
    """

    times: tuple[float, ...] = ()
    left_out: int = 0

    def allows(self, now: float) -> bool:
        """Whether a line may be logged."""
        return len(self.times) < LINES or now - self.times[0] >= SECONDS

    def after_line(self, now: float) -> LineLimit:
        """The state after a line that was allowed; those left out before it have been told of."""
        return LineLimit((*self.times[1 - LINES :], now))

    def after_left_out(self) -> LineLimit:
        """The state after a line that was not allowed."""
        return self._replace(left_out=self.left_out + 1)

    def after_count(self) -> LineLimit:
        """The state after the number of lines left out was logged. That line does not count."""
        return self._replace(left_out=0)

    def seconds_left(self, now: float) -> float:
        """Seconds until a line is allowed."""
        return 0.0 if self.allows(now) else SECONDS - (now - self.times[0])

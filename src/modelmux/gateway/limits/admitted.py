"""What one request has taken of the limits that apply to it, from its admission to its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from modelmux.accounts.limit_leases import Seen
from modelmux.accounts.limits import AppliedLimit
from modelmux.accounts.rate_limits import MINUTE, TICKS_PER_SECOND
from modelmux.accounts.rates import Rate
from modelmux.dialects.base import RateLimit
from modelmux.store.counters.base import Counter, Counters

TOKENS: Final[frozenset[Rate]] = frozenset({"tpm", "itpm", "otpm"})
#: Rate -> what headers call it.
_COUNTS: Final[dict[Rate, Literal["requests", "tokens", "input-tokens", "output-tokens"]]] = {
    "rpm": "requests", "tpm": "tokens", "itpm": "input-tokens", "otpm": "output-tokens",
}  # fmt: skip


class Gauge(Struct, frozen=True):
    """A limit that applies to a request. :param name: of its counter."""

    rate: Rate
    limit: int
    name: str
    applied: AppliedLimit

    def counter(self, counters: Counters, tick: int) -> Counter:
        """What counts towards it now. A counter in which nothing counts any more may be of another limit later."""
        return counters.counter(self.name, tick, is_claim=self.applied.is_claim)


#: A limit with its counter and what was seen of it before the request.
Taken = tuple[Gauge, Counter, Seen]


class Expected(Struct, frozen=True):
    """Tokens that a request is expected to use; the requests are itself."""

    input: int = 0
    output: int = 0

    def needed(self, rate: Rate) -> int:
        if rate in ("rpm", "concurrent"):  # most limits
            return 1
        return (self.input if rate != "otpm" else 0) + (self.output if rate != "itpm" else 0)


class Admitted(Struct):
    """
    :param tick: of the admission.
    :param is_settled: it has passed all gates: what it has used is known with its row.
    """

    tick: int
    expected: Expected
    taken: Sequence[Taken]
    is_settled: bool = False

    @property
    def counts_tokens(self) -> bool:
        """Whether any of the limits is one of tokens."""
        return any(gauge.rate in TOKENS for gauge, _, _ in self.taken)

    def leave(self) -> None:
        """The request does not run any more."""
        for gauge, counter, _ in self.taken:
            if gauge.rate == "concurrent":
                counter.enter(-1)

    def give_back(self, counters: Counters, tick: int) -> None:
        """It was not admitted in the end: it counts nowhere."""
        for gauge, _, _ in self.taken:
            if gauge.rate != "concurrent":
                gauge.counter(counters, tick).correct(self.tick, tick, -self.expected.needed(gauge.rate))

    def correct(self, counters: Counters, actual: Expected, tick: int) -> None:
        """Count what it has used in place of what was expected."""
        for gauge, _, _ in self.taken:
            rate = gauge.rate
            if rate in TOKENS:
                more = actual.needed(rate) - self.expected.needed(rate)
                gauge.counter(counters, tick).correct(self.tick, tick, more)

    def limits(self, clock: float, now: float) -> list[RateLimit]:
        """For headers: of several limits of the same, the one that has the least left.

        :param clock: monotonic seconds. :param now: Unix seconds.
        """
        resets_in = max((self.tick + MINUTE + 1) / TICKS_PER_SECOND - clock, 0.0)
        left = [
            (gauge.rate, seen.limit, seen.used + self.expected.needed(gauge.rate))
            for gauge, _, seen in self.taken
            if gauge.rate != "concurrent"
        ]
        return tightest(left, resets_in, now)


def admit(taken: Sequence[Taken], expected: Expected, tick: int) -> Admitted:
    """Count a request for which there was room, in the step of the event loop that has seen it."""
    for gauge, counter, _ in taken:
        if gauge.rate == "concurrent":
            counter.enter()
        else:
            counter.add(tick, expected.needed(gauge.rate))
    return Admitted(tick, expected, taken)


def tightest(left: Sequence[tuple[Rate, int, int]], resets_in: float, now: float) -> list[RateLimit]:
    """:param left: rates with their limits and what counts."""
    least: dict[Rate, tuple[int, int]] = {}
    for rate, limit, used in left:
        remaining = max(limit - used, 0)
        if rate not in least or remaining < least[rate][1]:
            least[rate] = limit, remaining
    return [
        RateLimit(_COUNTS[rate], limit, remaining, resets_in, now + resets_in)
        for rate, (limit, remaining) in least.items()
    ]

"""A request that may wait for room within its limits: what it needs of them, and what was seen of them last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from modelmux.accounts.directory import Directory
from modelmux.accounts.limit_leases import Seen
from modelmux.accounts.limit_lines import Ahead, Blocked
from modelmux.accounts.rate_limits import MINUTE, seconds_until, tick_at
from modelmux.dialects.base import Inbound
from modelmux.errors import CallerRateLimited
from modelmux.gateway.limits.admitted import TOKENS, Admitted, Expected, Gauge, Taken, admit
from modelmux.store.counters.base import Counter, Counters

#: Seconds after which a client may try again that has too many requests at once.
RETRY_CONCURRENT: Final = 1.0


class Tools(NamedTuple):
    """What all attempts of a gate share.

    :param error: makes that of a refusal. :param directory: returns that of now.
    """

    counters: Counters
    clock: Callable[[], float]
    error: Callable[..., CallerRateLimited]
    directory: Callable[[], Directory]


class _Refused(NamedTuple):
    """A limit that has no room."""

    seconds: float
    gauge: Gauge
    seen: Seen
    needed: int
    is_behind: bool


class Attempt:
    """See ``limit_queue.Attempt``.

    :param find: returns its limits by the directory of now.
    """

    __slots__ = (
        "_counted",
        "_directory",
        "_expected",
        "_find",
        "_gauges",
        "_inbound",
        "_refused",
        "_taken",
        "_tick",
        "_tools",
        "arrival",
        "key",
        "needs",
        "rest",
        "size",
    )  # fmt: skip

    def __init__(
        self,
        tools: Tools,
        find: Callable[[], Sequence[Gauge]],
        expected: Expected,
        inbound: Inbound,
        size: int,
        rest: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._tools = tools
        self._find = find
        self._expected = expected
        self._inbound = inbound
        self._counted = dict[str, int]()
        self.arrival = inbound.received_at
        self.key = inbound.caller.owner
        self.size = size
        self.rest = rest
        self._use(tools.directory())

    def look(self, ahead: Callable[[str], Ahead]) -> Blocked | None:
        tools = self._tools
        if (directory := tools.directory()) is not self._directory:
            self._use(directory)
        clock = tools.clock()
        tick = self._tick = tick_at(clock)
        taken, refused = list[Taken](), list[_Refused]()
        for gauge in self._gauges:
            counter, needed, seconds = gauge.counter(tools.counters, tick), self.needs[gauge.name], 0.0
            seen = counter.seen(gauge.limit, needed, tick, at_once=gauge.rate == "concurrent")
            taken.append((gauge, counter, seen))
            fits, before = seen.fits(needed), ahead(gauge.name)
            if fits and before.first is None:
                continue
            if not fits:
                self._counted[gauge.name] = counter.refused(needed, self._counted.get(gauge.name))
            if gauge.rate != "concurrent":
                seconds = seconds_until(_ticks_until_turn(gauge, counter, seen, needed, before, tick), clock)
            refused.append(_Refused(seconds, gauge, seen, needed, before.first is not None))
        self._taken, self._refused = taken, refused
        if not refused:
            return None
        last = _last(refused)
        return Blocked(last.gauge.name, last.seconds, last.gauge.rate in TOKENS)

    def take(self) -> Admitted:
        return admit(self._taken, self._expected, self._tick)

    def refusal(self) -> CallerRateLimited:
        seconds, gauge, seen, needed, is_behind = _last(self._refused)
        refused = [(seconds or RETRY_CONCURRENT, gauge, seen, needed)]
        return self._tools.error(refused, self._taken, self._tick, self._inbound, is_behind=is_behind)

    def _use(self, directory: Directory) -> None:
        self._directory = directory
        self._gauges = self._find()
        self.needs = {gauge.name: self._expected.needed(gauge.rate) for gauge in self._gauges}


class Look(Attempt):
    """Takes nothing."""

    __slots__ = ()

    def take(self) -> Admitted:
        return Admitted(self._tick, self._expected, ())


def _last(refused: Sequence[_Refused]) -> _Refused:
    """The one that has room last."""
    return max(refused, key=lambda one: one.seconds)


def _ticks_until_turn(gauge: Gauge, counter: Counter, seen: Seen, needed: int, before: Ahead, tick: int) -> int:
    """As far as that is known."""
    if gauge.rate != "rpm":  # tokens are expected, and mostly too many: those before count for less once they have run
        return counter.ticks_until_fits(seen, max(needed, before.first or 0), tick)
    ticks = counter.ticks_until_fits(seen, needed + before.total, tick)
    if before.total and needed + before.total > seen.limit:  # who is before counts for a minute from its turn on
        return max(ticks, MINUTE)
    return ticks

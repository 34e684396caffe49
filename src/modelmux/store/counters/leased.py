"""Counters of several nodes: what a process counts, within a lease of each limit that an exchange renews.

While leases are renewed, a process counts up to its lease, and sees what others have leased. While they are not, the
processes of a node count together, up to the node's part of the limit, as they do without other nodes.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from modelmux.accounts.limit_leases import (
    NEVER,
    RENEW,
    Ask,
    Lease,
    Seen,
    ask_for,
    granted,
    is_over,
    is_short,
    part_of_node,
    seen_alone,
    seen_with_lease,
    seen_without_lease,
)
from modelmux.accounts.rate_limits import MINUTE
from modelmux.store.counters.cells import CellCounter
from modelmux.store.counters.memory import MemoryCounters
from modelmux.store.counters.shared import SharedCounters

#: Limits of subjects that a process leases. Of further ones it admits the first part, and no more.
MANY: Final = 16_384
#: Ticks until room may be there that depends on other nodes.
_SOON, _LATER = 1, 4


class LeasedCounter:
    """A ``Counter``.

    :ivar counter: what is counted here.
    """

    __slots__ = ("_asks", "_counters", "_limit", "at_once", "counter", "lease", "name")

    def __init__(self, counters: LeasedCounters, name: str, counter: CellCounter) -> None:
        self._counters = counters
        self._limit = self._asks = 0
        self.name = name
        self.counter = counter
        self.at_once = False
        self.lease = Lease()

    def seen(self, limit: int, needed: int, tick: int, *, at_once: bool = False) -> Seen:
        counters, lease = self._counters, self.lease
        used = self.counter.own(tick, at_once=at_once)
        if needed:
            self._limit, self.at_once = limit, at_once
            lease.requested, lease.usual = tick, min(needed, limit)
            counters.touch(self)
        if tick >= counters.valid_until:
            of_node = self.counter.seen(part_of_node(limit, counters.nodes()), needed, tick, at_once=at_once)
            return seen_alone(lease, limit, used, of_node, tick)
        if lease.reported == NEVER or (used <= 0 and lease.amount <= 0):
            processes = max(counters.processes, counters.nodes())
            return seen_without_lease(limit, used, needed, processes, lease.others)
        return seen_with_lease(lease, limit, used)

    def refused(self, needed: int, counted: int | None = None) -> int:
        if counted != self._asks:
            self.lease.short += min(needed, self._limit)
        return self._asks

    def used(self, tick: int) -> int:
        return self.counter.used(tick)

    def add(self, tick: int, amount: int) -> None:
        self.counter.add(tick, amount)

    def correct(self, added: int, tick: int, more: int) -> None:
        self.counter.correct(added, tick, more)

    def ticks_until_fits(self, seen: Seen, needed: int, tick: int) -> int:
        if tick >= self._counters.valid_until:
            return max(self.counter.ticks_until_fits(seen, needed, tick), _SOON)
        above = seen.used + min(needed, seen.limit) - seen.limit
        if above <= 0:
            return _SOON
        used = self.counter.own(tick, at_once=False)
        return self.counter.ticks_until_own(tick, used - above) if used >= above else _LATER

    def ticks_until_unused(self, tick: int) -> int:
        own = self.counter.ticks_until_unused(tick)
        is_leased = self.lease.others > 0 and tick < self._counters.valid_until
        return max(own, MINUTE + 1) if is_leased else own

    @property
    def running(self) -> int:
        return self.counter.running

    def enter(self, number: int = 1) -> None:
        self.counter.enter(number)

    # --- for the exchange -----------------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """What others know its lease by: names may be those of people."""
        return hashlib.blake2b(self.name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def ask(self, tick: int) -> Ask:
        """What to report of the lease."""
        self._asks += 1
        return ask_for(self.lease, self._limit, self.counter.own(tick, at_once=self.at_once), tick)

    def is_short(self, tick: int) -> bool:
        """Whether to ask at once."""
        return is_short(self.lease, self._limit, self.counter.own(tick, at_once=self.at_once))

    def is_over(self, tick: int) -> bool:
        """Whether to forget it."""
        return is_over(self.lease, self.counter.own(tick, at_once=self.at_once), tick)


class Report(NamedTuple):
    """An ask of an exchange, and whose it is."""

    counter: LeasedCounter
    ask: Ask


class Answer(NamedTuple):
    """To an ask. :param amount: that is leased now. :param others, holders: see ``Lease``."""

    amount: int
    others: int
    holders: int


class LeasedCounters:
    """See ``Counters``: those of one process of one of several nodes.

    :param own: of this process, or of the workers of this node together.
    :param live_nodes: returns how many nodes there are, as far as that is known without an exchange.
    :param most: limits that are leased; 0 without an exchange.
    :ivar on_touch: is called when a request needs a lease.
    :ivar valid_until: the tick at which leases end.
    :ivar processes: how many lease, on all nodes. :ivar known_nodes: on how many nodes they are.
    """

    def __init__(self, own: MemoryCounters | SharedCounters, live_nodes: Callable[[], int], most: int = MANY) -> None:
        self._own = own
        self._most = most
        self._live_nodes = live_nodes
        self._counters: dict[str, LeasedCounter] = {}
        self._touched: dict[str, LeasedCounter] = {}
        #: What has to be reported whether or not anything is needed.
        self._claims: list[LeasedCounter] = []
        self._renewals: deque[tuple[int, LeasedCounter]] = deque()
        self.valid_until = NEVER
        self.processes = 1
        self.known_nodes = 1
        self.on_touch: Callable[[], None] = lambda: None

    def counter(self, name: str, tick: int, *, is_claim: bool = False) -> LeasedCounter:
        own = self._own.counter(name, tick, is_claim=is_claim)
        counter = self._counters.get(name)
        if counter is None:
            counter = LeasedCounter(self, name, own)
            if len(self._counters) < self._most:
                self._counters[name] = counter
        else:
            counter.counter = own
        return counter

    def nodes(self) -> int:
        """How many nodes a limit is divided by while nothing is leased."""
        return max(self._live_nodes(), self.known_nodes)

    def touch(self, counter: LeasedCounter) -> None:
        """A request needs it."""
        if self._counters.get(counter.name) is counter:
            self._touched[counter.name] = counter
            self.on_touch()

    def asks(self, tick: int, most: int) -> list[Report]:
        """What there is to report now, first of what requests need. Each list is answered, or failed."""
        if tick >= self.valid_until:
            self._drop_amounts()
        counters = self._claims[:most]
        del self._claims[:most]
        touched, renewals = self._touched, self._renewals
        while touched and len(counters) < most:
            counter = touched.pop(next(iter(touched)))
            if counter.is_short(tick):
                counters.append(counter)
        while renewals and len(counters) < most and renewals[0][0] <= tick - RENEW:
            at, counter = renewals.popleft()
            if at != counter.lease.reported:  # it was reported since
                continue
            if counter.is_over(tick):
                self._counters.pop(counter.name, None)
            else:
                counters.append(counter)
        return [Report(counter, counter.ask(tick)) for counter in dict.fromkeys(counters)]

    def answered(self, reports: Sequence[Report], answers: Sequence[Answer], tick: int, valid_for: int) -> None:
        """
        :param tick: at which it was asked.
        :param valid_for: ticks after that, in which leases are valid.
        """
        was_valid = tick < self.valid_until
        for (counter, _), answer in zip(reports, answers, strict=True):
            granted(counter.lease, *answer, tick)
            self._renewals.append((tick, counter))
        if not was_valid:
            self._begin_again(tick)
        self.valid_until = tick + valid_for

    def failed(self, reports: Sequence[Report]) -> None:
        """There was no answer, or none that is known."""
        self._claims += [counter for counter, _ in reports]

    def report_all(self, *, gives_back: bool = False) -> None:
        """All leases have to be reported again: who keeps them has lost some.

        :param gives_back: no request needs any more than is counted.
        """
        self._claims = list(self._counters.values())
        if gives_back:
            for counter in self._claims:
                counter.lease.requested, counter.lease.short = NEVER, 0

    def _drop_amounts(self) -> None:
        """Leases have ended: others may have them by now. What they say of others is still the best that is known."""
        for counter in self._counters.values():
            counter.lease.amount = 0

    def _begin_again(self, tick: int) -> None:
        """Leases are valid again: those that were not reported yet are none."""
        for counter in self._counters.values():
            if counter.lease.reported != tick:
                counter.lease = Lease()
                self._touched[counter.name] = counter

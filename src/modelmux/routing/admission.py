"""Admission to a limited number of slots: who runs, who waits, who is rejected. Pure: the clock is an argument.

A queue that is first in, first out collapses under overload. Every request waits as long as its client is willing to,
gets its slot when the client is about to leave, and its upstream call is paid for and serves nobody. So:

- *Short waits.* Nobody waits longer than calls take, but at least ``MIN_WAIT`` and at most the configured timeout.
- *Last in, first out under overload*, that is if the queue has not been empty for ``OVERLOADED_AFTER``: the newest
  request has the most time left. Before that, first in, first out.
- *No slot for a request that has less time left than calls of its model take.*
- *Turns by key.* The next slot goes to the key whose last turn is the longest ago. Where the queue is full, a newcomer
  takes the place of a request of the key that has the most waiting.
- *No model takes every slot*: while clients can ask for other models, a tenth is out of reach for each of them.

The idea of the first two is adaptive LIFO and CoDel as Facebook described them ("Fail at Scale", ACM Queue 13(8)).
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any, Final, Literal

#: Seconds that a request may wait, however short calls are.
MIN_WAIT: Final = 0.5
#: Seconds for which the queue has not been empty when this counts as overload.
OVERLOADED_AFTER: Final = 0.25
#: The durations of this many calls are remembered, and how many of them are needed for an estimate.
SAMPLES: Final = 64
MIN_SAMPLES: Final = 8
#: One slot of this many is out of reach for a single model.
RESERVED_ONE_OF: Final = 10

#: Why a request was rejected: no place in the queue; it waited as long as it may; or it has too little time left.
Reason = Literal["queue_full", "queue_timeout", "no_time_left"]


def reserved_slots(total: int, workers: int, number: int) -> int:
    """The slots of a worker that are out of reach for a single model. Those of all workers come to a tenth of
    ``total``, rounded down: a tenth of each worker's few slots would be none.

    :param total: the slots of all workers.
    :param number: of the worker, from 1.
    """
    reserved = total // RESERVED_ONE_OF
    return reserved // workers + (number <= reserved % workers)


class Ticket:
    """A waiting request.

    :param deadline: when the client stops waiting, on the caller's clock; infinity if it did not say.
    :param handle: the caller's own, to tell the request the outcome.
    """

    __slots__ = ("arrived", "deadline", "handle", "key", "model")

    def __init__(self, key: str, model: str, arrived: float, deadline: float, handle: Any) -> None:
        self.key = key
        self.model = model
        self.arrived = arrived
        self.deadline = deadline
        self.handle = handle


class Durations:
    """How long the last calls took."""

    __slots__ = ("_median", "_values")

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=SAMPLES)
        self._median: float | None = None

    def add(self, seconds: float) -> None:
        self._values.append(seconds)
        self._median = None

    @property
    def typical(self) -> float:
        """The median in seconds; 0 while too few are known."""
        if self._median is None:
            values = sorted(self._values)
            self._median = values[len(values) // 2] if len(values) >= MIN_SAMPLES else 0.0
        return self._median


class _Model:
    """The calls of one model."""

    __slots__ = ("durations", "running", "waiting")

    def __init__(self) -> None:
        self.running = self.waiting = 0
        self.durations = Durations()


class Admission:
    """Slots and a queue. After ``arrive``, ``release``, ``leave`` and ``resize``, and at the time of ``next_event``,
    call ``decide`` until it returns None.

    :param limit: slots; None for no limit.
    :param queue: how many may wait.
    :param queue_timeout: the longest wait, in seconds.
    :param reserved: slots that are out of reach for a single model; one is always within reach.
    :param min_wait: seconds that a request may wait, however short calls are.
    """

    def __init__(
        self,
        limit: int | None,
        queue: int,
        queue_timeout: float,
        *,
        reserved: int = 0,
        min_wait: float = MIN_WAIT,
    ) -> None:
        self.running = 0
        self._min_wait = min_wait
        self._models: dict[str, _Model] = {}
        self._durations = Durations()
        self._waiting: OrderedDict[Ticket, None] = OrderedDict()  # in order of arrival
        self._keys: OrderedDict[str, OrderedDict[Ticket, None]] = OrderedDict()  # the next one to be served first
        self._hurried: dict[Ticket, None] = {}  # waiting, and with a deadline before the end of the longest wait
        self._busy_since = math.inf  # since when the queue has not been empty
        self.resize(limit, queue, queue_timeout, reserved=reserved)

    def resize(self, limit: int | None, queue: int, queue_timeout: float, *, reserved: int = 0) -> None:
        """Other limits from now on; running work continues."""
        self._limit = math.inf if limit is None else limit
        self._model_limit = max(self._limit - reserved, 1)
        self._queue_limit, self._queue_timeout = queue, queue_timeout

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether no slot is free."""
        return self.running >= self._limit

    def enter(self, model: str) -> bool:
        """Take a slot at once, if one is free. Nobody is overtaken: those who wait could not take it either."""
        if self.running >= self._limit:
            return False
        state = self._models.get(model)
        if state is None:
            state = self._models[model] = _Model()
        if state.running >= self._model_limit:
            return False
        state.running += 1
        self.running += 1
        return True

    def arrive(self, ticket: Ticket) -> Reason | tuple[Ticket, Reason] | None:
        """Join the queue, after ``enter`` returned False.

        :returns: why the request is rejected, or which other one is rejected in its favour, if any.
        """
        model = self._models.get(ticket.model)
        if model is None:
            model = self._models[ticket.model] = _Model()
        if self._latest_start(ticket) <= ticket.arrived:
            return "no_time_left"
        displaced: tuple[Ticket, Reason] | None = None
        if len(self._waiting) >= self._queue_limit:
            other = self._displaced_by(ticket)
            if other is None:
                return "queue_full"
            self._remove(other)
            displaced = other, "queue_full"
        if not self._waiting:
            self._busy_since = ticket.arrived
        self._waiting[ticket] = None
        self._keys.setdefault(ticket.key, OrderedDict())[ticket] = None
        if ticket.deadline < ticket.arrived + self._queue_timeout:
            self._hurried[ticket] = None
        model.waiting += 1
        return displaced

    def leave(self, ticket: Ticket) -> None:
        """The client of a waiting request has left."""
        if ticket in self._waiting:
            self._remove(ticket)

    def release(self, model: str, seconds: float | None = None) -> None:
        """Give a slot back.

        :param seconds: for how long it was held; None if it was not used.
        """
        state = self._models[model]
        state.running -= 1
        self.running -= 1
        if seconds is not None and self._limit != math.inf:  # without a limit, no request waits
            state.durations.add(seconds)
            self._durations.add(seconds)

    def decide(self, now: float) -> tuple[Ticket, Reason | None] | None:
        """The next request whose wait is over.

        :returns: the request, and why it is rejected; None if it has got a slot. None if no other wait is over.
        """
        waiting = self._waiting
        if not waiting:
            return None
        oldest = next(iter(waiting))
        if oldest.arrived + self.longest_wait <= now:
            self._remove(oldest)
            return oldest, "queue_timeout"
        for ticket in self._hurried:
            if self._latest_start(ticket) <= now:
                self._remove(ticket)
                return ticket, "no_time_left"
        chosen = self._next(now) if self.running < self._limit else None
        if chosen is None:
            return None
        self._remove(chosen)
        self._models[chosen.model].running += 1
        self.running += 1
        return chosen, None

    @property
    def longest_wait(self) -> float:
        """Seconds that a request may wait now."""
        typical = self._durations.typical
        return min(self._queue_timeout, max(self._min_wait, typical)) if typical else self._queue_timeout

    @property
    def next_event(self) -> float:
        """When ``decide`` has to be called if nothing else happens before; infinity for never."""
        if not self._waiting:
            return math.inf
        first = next(iter(self._waiting)).arrived + self.longest_wait
        return min(first, *map(self._latest_start, self._hurried)) if self._hurried else first

    # --- inside -------------------------------------------------------------------------------------------------------

    def _latest_start(self, ticket: Ticket) -> float:
        """When a call has to start, at the latest, to end before the client stops waiting."""
        return ticket.deadline - self._models[ticket.model].durations.typical

    def _is_overloaded(self, now: float) -> bool:
        return now - self._busy_since >= OVERLOADED_AFTER

    def _next(self, now: float) -> Ticket | None:
        """The waiting request that gets the next slot."""
        models, limit = self._models, self._model_limit
        blocked = {name for name, state in models.items() if state.waiting and state.running >= limit}
        if blocked and sum(models[name].waiting for name in blocked) == len(self._waiting):
            return None
        newest_first = self._is_overloaded(now)
        queues = self._keys.values()
        chosen = next(
            ticket
            for tickets in queues
            for ticket in _in_order(tickets, newest_first=newest_first)
            if ticket.model not in blocked
        )
        self._keys.move_to_end(chosen.key)
        return chosen

    def _displaced_by(self, newcomer: Ticket) -> Ticket | None:
        """Who leaves a full queue so that the newcomer may wait: one of the key with the most waiting, unless that is
        its own. Under overload the oldest, otherwise the newest."""
        if not self._keys:
            return None
        most = max(self._keys.values(), key=len)
        if len(most) <= len(self._keys.get(newcomer.key, ())) + 1:
            return None
        return next(_in_order(most, newest_first=not self._is_overloaded(newcomer.arrived)))

    def _remove(self, ticket: Ticket) -> None:
        del self._waiting[ticket]
        tickets = self._keys[ticket.key]
        del tickets[ticket]
        if not tickets:
            del self._keys[ticket.key]
        self._hurried.pop(ticket, None)
        self._models[ticket.model].waiting -= 1
        if not self._waiting:
            self._busy_since = math.inf


def _in_order(tickets: OrderedDict[Ticket, None], *, newest_first: bool) -> Iterator[Ticket]:
    return reversed(tickets) if newest_first else iter(tickets)

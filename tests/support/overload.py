"""Overload in virtual time: clients that give up and try again, slots, and a queue that decides who gets one.

Everything is an event in a heap, and every random number comes from a seed, so a run is the same on any machine.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelmux.routing.admission import Reason, Ticket

SLOTS = 20
SERVICE = 0.2
#: Requests per second that the slots can serve.
CAPACITY = SLOTS / SERVICE


class Queue(Protocol):
    """What ``Admission`` and the queue of before have in common."""

    running: int

    @property
    def next_event(self) -> float: ...
    def enter(self, model: str) -> bool: ...
    def arrive(self, ticket: Ticket) -> Reason | tuple[Ticket, Reason] | None: ...
    def leave(self, ticket: Ticket) -> None: ...
    def release(self, model: str, seconds: float | None = None) -> None: ...
    def decide(self, now: float) -> tuple[Ticket, Reason | None] | None: ...


class FirstComeFirstServed:
    """The queue of before, to compare with."""

    def __init__(self, limit: int, queue: int = 512, timeout: float = 5.0) -> None:
        self.running = 0
        self._limit, self._queue_limit, self._timeout = limit, queue, timeout
        self._waiting: OrderedDict[Ticket, None] = OrderedDict()

    @property
    def next_event(self) -> float:
        return next(iter(self._waiting)).arrived + self._timeout if self._waiting else math.inf

    def enter(self, model: str) -> bool:
        del model
        if self.running >= self._limit or self._waiting:
            return False
        self.running += 1
        return True

    def arrive(self, ticket: Ticket) -> Reason | tuple[Ticket, Reason] | None:
        if len(self._waiting) >= self._queue_limit:
            return "queue_full"
        self._waiting[ticket] = None
        return None

    def leave(self, ticket: Ticket) -> None:
        self._waiting.pop(ticket, None)

    def release(self, model: str, seconds: float | None = None) -> None:
        del model, seconds
        self.running -= 1

    def decide(self, now: float) -> tuple[Ticket, Reason | None] | None:
        if self._waiting and next(iter(self._waiting)).arrived + self._timeout <= now:
            return self._waiting.popitem(last=False)[0], "queue_timeout"
        if self._waiting and self.running < self._limit:
            self.running += 1
            return self._waiting.popitem(last=False)[0], None
        return None


@dataclass(frozen=True)
class Load:
    """One kind of client.

    :param rate: new requests per second at a time.
    :param patience: seconds after which a client gives up.
    :param retries: how often it sends a request again after a 503 or after it gave up.
    :param retry_delay: seconds until then; given the random number of the ``retry-after``.
    :param says_timeout: whether it tells the gateway how long it waits.
    """

    rate: Callable[[float], float]
    key: str = "k"
    model: str = "m"
    patience: float = 3.0
    retries: int = 0
    retry_delay: Callable[[float], float] = lambda jitter: math.floor(2 + 3 * jitter)
    says_timeout: bool = False


@dataclass
class Request:
    """One request, from its arrival until it has its response or its client has given up."""

    load: Load
    attempt: int
    arrived: float
    started: float | None = None
    ticket: Ticket | None = None
    over: bool = False


@dataclass
class Outcome:
    """What happened, as times in seconds.

    :param served: (when, key, model, latency) of every response.
    :param calls: when calls started.
    :param wasted: when a client left whose call was under way.
    """

    served: list[tuple[float, str, str, float]] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    wasted: list[float] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)
    rejected_keys: set[str] = field(default_factory=set)

    def goodput(self, begin: float, end: float, key: str | None = None, model: str | None = None) -> float:
        """Responses per second."""
        matching = [
            1 for when, k, m, _ in self.served if begin <= when < end and key in (None, k) and model in (None, m)
        ]
        return len(matching) / (end - begin)

    def waste(self, begin: float, end: float) -> float:
        """The share of calls that served nobody."""
        calls = sum(begin <= when < end for when in self.calls)
        return sum(begin <= when < end for when in self.wasted) / max(1, calls)

    def latency(self, quantile: float, begin: float, end: float) -> float:
        values = sorted(latency for when, _, _, latency in self.served if begin <= when < end)
        return values[int(quantile * len(values))]


class Simulation:
    """Runs loads against a queue.

    :param service: seconds that a call takes, given a random number generator.
    """

    def __init__(
        self,
        queue: Queue,
        loads: list[Load],
        *,
        seed: int = 1,
        service: Callable[[random.Random], float] = lambda rng: rng.uniform(0.5, 1.5) * SERVICE,
    ) -> None:
        self.queue, self.loads, self.service = queue, loads, service
        self.rng = random.Random(seed)
        self.now, self.outcome = 0.0, Outcome()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._wake_at = math.inf

    def run(self, seconds: float) -> Outcome:
        for load in self.loads:
            self._at(0.0, self._next_arrival, load)
        while self._events and self._events[0][0] < seconds:
            self.now, _, call, arguments = heapq.heappop(self._events)
            call(*arguments)
            self._decide()
        return self.outcome

    def _at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), call, arguments))

    def _next_arrival(self, load: Load) -> None:
        rate = load.rate(self.now)
        if rate <= 0:
            self._at(self.now + 0.05, self._next_arrival, load)
            return
        self._at(self.now + self.rng.expovariate(rate), self._arrive_and_continue, load)

    def _arrive_and_continue(self, load: Load) -> None:
        self._arrive(load, 0)
        self._next_arrival(load)

    def _arrive(self, load: Load, attempt: int) -> None:
        request = Request(load, attempt, self.now)
        self._at(self.now + load.patience, self._give_up, request)
        if self.queue.enter(load.model):
            self._start(request)
            return
        deadline = self.now + load.patience if load.says_timeout else math.inf
        request.ticket = Ticket(load.key, load.model, self.now, deadline, request)
        result = self.queue.arrive(request.ticket)
        if isinstance(result, tuple):
            self._reject(result[0].handle, result[1])
        elif result is not None:
            self._reject(request, result)

    def _decide(self) -> None:
        while (decision := self.queue.decide(self.now)) is not None:
            ticket, reason = decision
            if reason is None:
                self._start(ticket.handle)
            else:
                self._reject(ticket.handle, reason)
        if self.queue.next_event < math.inf and not self.now < self._wake_at <= self.queue.next_event:
            self._wake_at = max(self.queue.next_event, self.now + 1e-6)
            self._at(self._wake_at, lambda: None)

    def _start(self, request: Request) -> None:
        request.started = self.now
        self.outcome.calls.append(self.now)
        self._at(self.now + self.service(self.rng), self._end, request)

    def _end(self, request: Request) -> None:
        if request.over:
            return
        request.over = True
        assert request.started is not None
        load = request.load
        self.queue.release(load.model, self.now - request.started)
        self.outcome.served.append((self.now, load.key, load.model, self.now - request.arrived))

    def _give_up(self, request: Request) -> None:
        if request.over:
            return
        request.over = True
        if request.started is not None:
            self.queue.release(request.load.model, self.now - request.started)
            self.outcome.wasted.append(self.now)
        elif request.ticket is not None:
            self.queue.leave(request.ticket)
        self._retry(request, 0.0)

    def _reject(self, request: Request, reason: str) -> None:
        request.over = True
        self.outcome.rejected_keys.add(request.load.key)
        self.outcome.rejected[reason] = self.outcome.rejected.get(reason, 0) + 1
        self._retry(request, request.load.retry_delay(self.rng.random()))

    def _retry(self, request: Request, delay: float) -> None:
        if request.attempt < request.load.retries:
            self._at(self.now + delay, self._arrive, request.load, request.attempt + 1)

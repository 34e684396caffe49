"""Concurrency limits: a number of slots, a short queue, and 503 for a request that gets no slot in time.

One instance for the whole process, one for each deployment that has a limit. Limits and timeouts come from the
configuration; who gets a slot, who waits and who is rejected is decided by ``routing/admission.py``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, Literal, TypedDict

from modelmux.config.schema import LimitsConfig
from modelmux.errors import GatewayOverloaded
from modelmux.routing.admission import MIN_WAIT, Admission, Reason, Ticket, reserved_slots

#: How a wait ended.
WaitResult = Literal["admitted", "rejected", "left"]
#: Is told of every request that waited or was rejected: the seconds it waited, how that ended, and why it was rejected.
OnWait = Callable[[float, WaitResult, Reason | None], None]

_MESSAGES: Final[dict[Reason, str]] = {
    "queue_full": "has reached its concurrency limit, and its queue is full.",
    "queue_timeout": "has reached its concurrency limit.",
    "no_time_left": "has reached its concurrency limit, and the request has less time left than calls take.",
}


class Limits(TypedDict):
    """Settings of a limiter."""

    limit: int
    queue: int
    queue_timeout: float
    reserved: int


def limits_of(limits: LimitsConfig, workers: int, number: int = 1, *, several_models: bool = False) -> Limits:
    """The concurrency of this process: its share of what all workers may have.

    :param number: of this worker, from 1.
    :param several_models: whether clients can ask for more than one model, so that none may take every slot.
    """
    reserved = reserved_slots(limits.max_concurrent_requests, workers, number) if several_models else 0
    return Limits(
        limit=math.ceil(limits.max_concurrent_requests / workers),
        queue=math.ceil(limits.max_queued_requests / workers),
        queue_timeout=float(limits.queue_timeout),
        reserved=reserved,
    )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def ignore_wait(seconds: float, result: WaitResult, reason: Reason | None) -> None:
    """An ``OnWait`` that does nothing."""


class ConcurrencyLimiter:
    """Slots for running work.

    :param limit: slots; None for no limit.
    :param queue: how many may wait for one.
    :param queue_timeout: the longest wait in seconds.
    :param reserved: slots that are out of reach for a single model.
    :param min_wait: seconds that one may wait, however short calls are.
    :param subject: what has the limit, for the message.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        limit: int | None,
        *,
        queue: int,
        queue_timeout: float,
        reserved: int = 0,
        min_wait: float = MIN_WAIT,
        subject: str = "The gateway",
        clock: Callable[[], float] = _loop_time,
        on_wait: OnWait = ignore_wait,
    ) -> None:
        self._admission = Admission(limit, queue, queue_timeout, reserved=reserved, min_wait=min_wait)
        self._subject = subject
        self._clock = clock
        self._on_wait = on_wait
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0

    @property
    def running(self) -> int:
        """How many have a slot."""
        return self._admission.running

    @property
    def queued(self) -> int:
        """How many wait for a slot."""
        return self._admission.waiting

    @property
    def full(self) -> bool:
        """Whether the next one would have to wait."""
        return self._admission.full

    async def acquire(self, time_left: float = math.inf, *, key: str = "", model: str = "") -> float:
        """Take a slot; give it back with ``release``.

        :param time_left: seconds until the request's deadline, which also bounds the wait.
        :param key: who asks: keys take turns.
        :param model: what is called.
        :returns: when the slot was taken, on ``clock``.
        :raises GatewayOverloaded: the queue is full, or no slot became free in time.
        """
        since = self.enter(model)
        return await self.wait(self._clock() + time_left, key=key, model=model) if since is None else since

    def enter(self, model: str = "") -> float | None:
        """Take a slot if one is free.

        :returns: when, on ``clock``; None if the request has to wait.
        """
        return self._clock() if self._admission.enter(model) else None

    def release(self, model: str = "", since: float | None = None) -> None:
        """Give a slot back.

        :param since: when it was taken, if work was done.
        """
        admission = self._admission
        admission.release(model, None if since is None else self._clock() - since)
        if admission.waiting:
            self._decide()

    def resize(self, limit: int | None, *, queue: int, queue_timeout: float, reserved: int = 0) -> None:
        """Other limits from now on; running work continues."""
        self._admission.resize(limit, queue, queue_timeout, reserved=reserved)
        self._decide()

    async def wait(self, deadline: float, *, key: str = "", model: str = "") -> float:
        """Wait for a slot, after ``enter`` returned None. See ``acquire``.

        :param deadline: of the request, on ``clock``.
        """
        now = self._clock()
        slot: asyncio.Future[Reason | None] = asyncio.get_running_loop().create_future()
        ticket = Ticket(key, model, now, deadline, slot)
        rejected = self._admission.arrive(ticket)
        if isinstance(rejected, tuple):
            other, reason = rejected
            _settle(other, reason)
        elif rejected is not None:
            raise self._reject(0.0, rejected)
        self._set_timer()
        try:
            outcome = await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled() and slot.result() is None:
                self.release(model)  # it was granted at the same moment
            else:
                self._admission.leave(ticket)
            self._on_wait(self._clock() - now, "left", None)
            raise
        ended = self._clock()
        if outcome is not None:
            raise self._reject(ended - now, outcome)
        self._on_wait(ended - now, "admitted", None)
        return ended

    def _decide(self) -> None:
        """Tell those whose wait is over."""
        admission = self._admission
        while (decision := admission.decide(self._clock())) is not None:
            ticket, reason = decision
            if not _settle(ticket, reason) and reason is None:  # cancelled, and its task has not run since
                admission.release(ticket.model)
        self._set_timer()

    def _set_timer(self) -> None:
        """Wake up at the end of the next wait. The timer is moved only if it would fire too late."""
        due = self._admission.next_event
        if due == math.inf:
            return
        if self._timer is None or self._timer_due > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_due = due  # not all loops have handles that know it
            delay = max(0.0, due - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._decide()

    def _reject(self, waited: float, reason: Reason) -> GatewayOverloaded:
        self._on_wait(waited, "rejected", reason)
        return GatewayOverloaded.by_load(f"{self._subject} {_MESSAGES[reason]}")


def _settle(ticket: Ticket, reason: Reason | None) -> bool:
    """:returns: whether the request still waited for it."""
    slot: asyncio.Future[Reason | None] = ticket.handle
    if slot.done():
        return False
    slot.set_result(reason)
    return True

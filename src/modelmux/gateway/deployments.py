"""Per-deployment state: circuit breaker, quota cooldown, attempts in flight. Decisions are pure functions in
``routing``; this module provides their clock and state.

Deployments that share a quota bucket share its cooldown.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.gateway.concurrency import ConcurrencyLimiter, OnWait, ignore_wait
from modelmux.routing import circuit_breaker
from modelmux.routing.availability import AVAILABLE, Availability, counts_as_failure
from modelmux.routing.circuit_breaker import CLOSED, Breaker
from modelmux.routing.model import Deployment, Route
from modelmux.routing.quota import Quota, bucket_of, zero_quota_error
from modelmux.routing.retry_budget import RetryBudget
from modelmux.routing.selection import select
from modelmux.telemetry import names
from modelmux.telemetry.deployment_report import DeploymentReport, QuotaState
from modelmux.telemetry.log import Log

#: Attempts that may wait for a slot at one deployment, and how long in seconds.
MAX_QUEUED: Final = 256
QUEUE_TIMEOUT: Final = 5.0
#: Conversations that stay with a fallback model, and how many seconds after its last reply: a prompt cache's longest
#: lifetime.
MAX_PINNED: Final = 20_000
PINNED_SECONDS: Final = 3600.0


#: Names a conversation: the route, the owner of the request, the affinity key.
PinKey = tuple[str, str, bytes]

#: Event of ``DeploymentPool`` -> what they mean, for people.
_MESSAGES: Final = {
    "open": "circuit breaker opened after repeated failures; one probe request follows after the cooldown",
    "closed": "circuit breaker closed; the deployment answers again",
    "no_quota": "every request was refused for its quota, which seems to be zero; request quota for it in the Google "
    "Cloud console (IAM & Admin, Quotas & System Limits)",
}


def log_deployment_events(log: Log) -> Callable[[Deployment, str], None]:
    """What logs the events of a ``DeploymentPool``."""

    def on_event(deployment: Deployment, event: str) -> None:
        write = log.info if event == "closed" else log.warning
        write(names.EVENT_DEPLOYMENT, deployment=deployment.id, action=event, message=_MESSAGES[event])

    return on_event


class DeploymentState:
    """The state of one deployment in this process: the outcome of its last attempts, and those in flight."""

    __slots__ = ("breaker", "deployment", "limiter", "quota")

    def __init__(
        self, deployment: Deployment, quota: Quota, limit: int | None, clock: Callable[[], float], on_wait: OnWait
    ) -> None:
        self.deployment = deployment
        self.quota = quota
        self.breaker: Breaker = CLOSED
        subject = f"The deployment {deployment.id}"
        self.limiter = ConcurrencyLimiter(
            limit, queue=MAX_QUEUED, queue_timeout=QUEUE_TIMEOUT, subject=subject, clock=clock, on_wait=on_wait
        )

    def is_idle(self, now: float) -> bool:
        """Whether it runs nothing, and nothing is known against it."""
        limiter, quota = self.limiter, self.quota
        is_used = limiter.running or limiter.queued or self.breaker.state != "closed"
        return not (is_used or quota.is_zero or quota.cooldown_until > now)

    def report(self, now: float, unix: float) -> DeploymentReport:
        """:param now: of the pool's clock. :param unix: the same moment in Unix seconds."""
        breaker, quota = self.breaker, self.quota
        cooling: QuotaState = "cooldown" if quota.cooldown_until > now else "available"
        left = max(0.0 if breaker.state == "closed" else breaker.open_until - now, quota.cooldown_until - now)
        return DeploymentReport(
            id=self.deployment.id, in_flight=self.limiter.running, queued=self.limiter.queued, circuit=breaker.state,
            quota="zero" if quota.is_zero else cooling, until=unix + left if left > 0 else 0.0,
        )  # fmt: skip

    def availability(self, now: float) -> Availability:
        quota, limiter = self.quota, self.limiter
        cooling, allowed = quota.cooldown_until > now, circuit_breaker.allows(self.breaker, now)
        if allowed and not cooling and not limiter.full:
            return Availability(in_flight=limiter.running) if limiter.running else AVAILABLE
        return Availability(
            unavailable=True,
            available_at=max(now if allowed else self.breaker.open_until, quota.cooldown_until if cooling else now),
            retry_after_until=quota.cooldown_until if quota.server_requested and cooling else 0.0,
            in_flight=limiter.running,
            quota_is_zero=quota.is_zero,
        )


class AttemptLease:
    """One attempt at a deployment, from its call until its reply is closed. Always ``release`` it."""

    __slots__ = ("_pool", "_recorded", "_released", "_since", "_state")

    def __init__(self, pool: DeploymentPool, state: DeploymentState, since: float) -> None:
        self._pool = pool
        self._state = state
        self._since = since
        self._recorded = self._released = False

    def record_success(self) -> None:
        """Content was received; the rest of the reply may still fail."""
        self._recorded = True
        self._pool.record(self._state, None)

    def record_failure(self, error: GatewayError) -> None:
        """An error ended the attempt, before or after content."""
        self._recorded = True
        self._pool.record(self._state, error)

    def release(self) -> None:
        """The attempt is over. Idempotent."""
        if self._released:
            return
        self._released = True
        state = self._state
        state.limiter.release(since=self._since)
        if not self._recorded:  # the client left first: the probe has no outcome
            state.breaker = circuit_breaker.on_end(state.breaker, 0.0, failed=None)


class DeploymentPool:
    """The deployments of a process. Outlives configurations: a reload keeps the state of every deployment it keeps.

    :param clock: monotonic seconds.
    :param on_change: receives a deployment whose circuit breaker opened or closed, or whose quota turned out to be
        zero, and which: ``open``, ``closed``, ``no_quota``.
    :param share: the processes among which a deployment's limit is divided.
    :param on_wait: see ``concurrency.OnWait``.
    :param jitter: a random number from 0 to 1, for cooldowns; by default 0.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        on_change: Callable[[Deployment, str], None] = lambda *_: None,
        *,
        share: int = 1,
        on_wait: OnWait = ignore_wait,
        jitter: Callable[[], float] = float,
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._share = share
        self._on_wait = on_wait
        self._jitter = jitter
        self._states: dict[str, DeploymentState] = {}
        self._quotas: dict[tuple[str, str, str], Quota] = {}
        self._budgets: dict[str, RetryBudget] = {}
        self._pinned: OrderedDict[PinKey, tuple[str, float]] = OrderedDict()  # conversation -> model, until when

    def snapshot(self) -> Iterator[tuple[str, bool, int, int]]:
        """Of every deployment that was used: its id, whether its circuit is open, attempts that run, attempts that
        wait."""
        for state in self._states.values():
            limiter = state.limiter
            yield state.deployment.id, state.breaker.state != "closed", limiter.running, limiter.queued

    def reports(self, unix: float) -> list[DeploymentReport]:
        """The deployments that are in use, or were left alone at the last look. From any thread.

        :param unix: Unix seconds of now.
        """
        now = self._clock()
        return [state.report(now, unix) for state in list(self._states.values()) if not state.is_idle(now)]

    def retain(self, deployments: Iterable[Deployment]) -> None:
        """Use these deployments from now on: apply their limits, and drop the state of others."""
        current = {deployment.url: deployment for deployment in deployments}
        self._states = {url: state for url, state in self._states.items() if url in current}
        buckets = {bucket_of(deployment) for deployment in current.values()}
        self._quotas = {bucket: quota for bucket, quota in self._quotas.items() if bucket in buckets}
        for url, state in self._states.items():
            state.deployment = current[url]
            state.quota = self._quotas.setdefault(bucket_of(current[url]), state.quota)
            state.limiter.resize(self._limit(current[url]), queue=MAX_QUEUED, queue_timeout=QUEUE_TIMEOUT)

    def state(self, deployment: Deployment) -> DeploymentState:
        state = self._states.get(deployment.url)
        if state is None:
            quota = self._quotas.setdefault(bucket_of(deployment), Quota())
            limit = self._limit(deployment)
            state = DeploymentState(deployment, quota, limit, self._clock, self._on_wait)
            self._states[deployment.url] = state
        return state

    def _limit(self, deployment: Deployment) -> int | None:
        limit = deployment.max_in_flight
        return None if limit is None else math.ceil(limit / self._share)

    def budget(self, route: Route) -> RetryBudget:
        """The retries that a route may afford."""
        budget = self._budgets.get(route.name)
        if budget is None:
            budget = self._budgets[route.name] = RetryBudget()
        return budget

    def availability(self, route: Route) -> Sequence[Availability]:
        """Of a route's deployments, in their order."""
        now = self._clock()
        return [self.state(deployment).availability(now) for deployment in route.deployments]

    def first_choice(
        self, route: Route, affinity_key: bytes | None, random: float, pinned_model: str | None = None
    ) -> Deployment:
        """The deployment of the first attempt.

        :raises UpstreamRefused: the upstream said of every deployment that its quota is zero.
        """
        deployments = route.deployments
        if len(deployments) == 1:
            deployment = deployments[0]
            if not self.state(deployment).quota.is_stated:
                return deployment
        availability = self.availability(route)
        deployment = select(route, (), random, availability, affinity_key, pinned_model)
        selected = availability[deployments.index(deployment)]
        if selected.unavailable and self.state(deployment).quota.is_stated:  # and that of all others is zero too
            inferred = [other for other in deployments if not self.state(other).quota.is_stated]
            if inferred:
                return inferred[0]
            raise self.zero_quota(deployments[0] if route.has_several_models else deployment)
        return deployment

    def pin_model(self, conversation: PinKey, model: str, *, default: str) -> None:
        """Keep a conversation with the model that replied, for its prompt cache and its thinking.

        :param default: the model with which the conversation is unless it is pinned to another.
        """
        if model == default:
            self._pinned.pop(conversation, None)
            return
        self._pinned[conversation] = model, self._clock() + PINNED_SECONDS
        self._pinned.move_to_end(conversation)
        if len(self._pinned) > MAX_PINNED:
            self._pinned.popitem(last=False)

    def pinned_model(self, conversation: PinKey) -> str | None:
        """The fallback model that a conversation stays with, if any."""
        model, until = self._pinned.get(conversation, (None, 0.0))
        return model if until > self._clock() else None

    def zero_quota(self, deployment: Deployment) -> UpstreamRefused:
        """The error where every deployment's quota seems to be zero; this one would be tried next."""
        return zero_quota_error(deployment, self.state(deployment).quota.cooldown_until - self._clock())

    async def acquire(self, deployment: Deployment, time_left: float, key: str = "") -> AttemptLease:
        """Start an attempt; where the deployment is full, wait for a slot.

        :param time_left: seconds until the request's deadline.
        :param key: whose request it is: keys take turns.
        :raises GatewayOverloaded: no slot became free in time.
        """
        state = self.state(deployment)
        since = state.limiter.enter()
        if since is None:
            since = await state.limiter.acquire(time_left, key=key)
        if state.breaker.state != "closed" or state.quota.is_stated:
            now = self._clock()
            state.breaker = circuit_breaker.on_start(state.breaker, now)
            if state.quota.is_stated:
                state.quota.record_probe(now)
        return AttemptLease(self, state, since)

    def record(self, state: DeploymentState, error: GatewayError | None) -> None:
        """Learn from the end of an attempt; None for one that gave content."""
        now, quota, before = self._clock(), state.quota, state.breaker.state
        if error is None:
            quota.record_reply(succeeded=True)
        elif isinstance(error, UpstreamRefused):
            was_zero = quota.is_zero
            if error.kind.name == "rate_limit":
                quota.record_429(error, now, self._jitter())
            else:
                quota.record_reply(succeeded=False)
            if quota.is_zero and not was_zero:
                self._on_change(state.deployment, "no_quota")
        jitter = 0.0 if error is None else self._jitter()
        state.breaker = circuit_breaker.on_end(state.breaker, now, failed=counts_as_failure(error), jitter=jitter)
        after = state.breaker.state
        if after == "open" and before == "closed":
            self._on_change(state.deployment, "open")
        elif after == "closed" and before != "closed":
            self._on_change(state.deployment, "closed")

"""What is remembered of every place calls go to: breaker, quota, load. The decisions are pure (``routing``); here they
get a clock and a memory.

A *place* is a deployment as one process sees it; a *stay* is one attempt there, from its call until its reply is let
go. Deployments that share a quota bucket share its rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.gateway.concurrency import Admission
from modelmux.routing import circuit_breaker as breakers
from modelmux.routing.availability import AVAILABLE, Availability, counts_as_failure
from modelmux.routing.circuit_breaker import CLOSED, Breaker
from modelmux.routing.model import Deployment, Route
from modelmux.routing.quota import Quota, bucket_of, zero_quota_error
from modelmux.routing.retry_budget import RetryBudget
from modelmux.routing.selection import select

#: Attempts that may wait for room at one deployment.
QUEUE = 256
#: Seconds one of them waits.
PATIENCE = 5.0


class Place:
    """One deployment: how its last attempts went, and what runs there now."""

    __slots__ = ("admission", "breaker", "deployment", "quota")

    def __init__(self, deployment: Deployment, quota: Quota, limit: int | None) -> None:
        self.deployment = deployment
        self.quota = quota
        self.breaker: Breaker = CLOSED
        what = f"The deployment {deployment.id}"
        self.admission = Admission(limit, queue=QUEUE, patience=PATIENCE, what=what)

    def standing(self, now: float) -> Availability:
        quota, admission = self.quota, self.admission
        resting, admitted = quota.cooldown_until > now, breakers.allows(self.breaker, now)
        if admitted and not resting and not admission.full:
            return Availability(in_flight=admission.running) if admission.running else AVAILABLE
        return Availability(
            unavailable=True,
            available_at=max(now if admitted else self.breaker.open_until, quota.cooldown_until if resting else now),
            retry_after_until=quota.cooldown_until if quota.server_requested and resting else 0.0,
            in_flight=admission.running,
            quota_is_zero=quota.is_zero,
        )


class Stay:
    """One attempt at a place. Always ``leave`` it."""

    __slots__ = ("_fleet", "_left", "_place", "_told")

    def __init__(self, fleet: Fleet, place: Place) -> None:
        self._fleet = fleet
        self._place = place
        self._told = self._left = False

    def succeeded(self) -> None:
        """Content has come; what follows may still break."""
        self._told = True
        self._fleet.ended(self._place, None)

    def failed(self, error: GatewayError) -> None:
        """An error ended it, before or after content."""
        self._told = True
        self._fleet.ended(self._place, error)

    def leave(self) -> None:
        """It is over. Idempotent."""
        if self._left:
            return
        self._left = True
        place = self._place
        place.admission.leave()
        if not self._told:  # the client left first: a probe that proved nothing
            place.breaker = breakers.on_end(place.breaker, 0.0, failed=None)


class Fleet:
    """All places of a process. Outlives the configurations: a reload forgets nothing of a place that stays.

    :param clock: monotonic seconds.
    :param on_change: told of a deployment whose breaker opened or closed, or whose quota turned out to be zero, with
        a word for it: ``open``, ``closed``, ``no_quota``.
    :param share: the processes among which a deployment's limit is shared out.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        on_change: Callable[[Deployment, str], None] = lambda *_: None,
        *,
        share: int = 1,
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._share = share
        self._places: dict[str, Place] = {}
        self._quotas: dict[tuple[str, str, str], Quota] = {}
        self._budgets: dict[str, RetryBudget] = {}

    def seen(self) -> Iterator[tuple[str, bool, int, int]]:
        """Of every place that was used: its deployment's id, whether its breaker is open, how many attempts run there,
        how many wait."""
        for place in self._places.values():
            admission = place.admission
            yield place.deployment.id, place.breaker.state != "closed", admission.running, admission.waiting

    def settle_for(self, deployments: Iterable[Deployment]) -> None:
        """From now on there are these deployments: limits are theirs, and others are forgotten."""
        kept = {deployment.url: deployment for deployment in deployments}
        self._places = {url: place for url, place in self._places.items() if url in kept}
        buckets = {bucket_of(deployment) for deployment in kept.values()}
        self._quotas = {bucket: quota for bucket, quota in self._quotas.items() if bucket in buckets}
        for url, place in self._places.items():
            place.deployment = kept[url]
            place.quota = self._quotas.setdefault(bucket_of(kept[url]), place.quota)
            place.admission.resize(self._limit(kept[url]), queue=QUEUE, patience=PATIENCE)

    def place(self, deployment: Deployment) -> Place:
        place = self._places.get(deployment.url)
        if place is None:
            quota = self._quotas.setdefault(bucket_of(deployment), Quota())
            place = self._places[deployment.url] = Place(deployment, quota, self._limit(deployment))
        return place

    def _limit(self, deployment: Deployment) -> int | None:
        most = deployment.max_in_flight
        return None if most is None else math.ceil(most / self._share)

    def budget(self, route: Route) -> RetryBudget:
        """The retries that a route may afford."""
        budget = self._budgets.get(route.name)
        if budget is None:
            budget = self._budgets[route.name] = RetryBudget()
        return budget

    def standings(self, route: Route) -> Sequence[Availability]:
        """How a route's deployments stand now, in their order."""
        now = self._clock()
        return [self.place(deployment).standing(now) for deployment in route.deployments]

    def first(self, route: Route, key: bytes | None, pick: float) -> Deployment:
        """Where the first attempt goes.

        :raises UpstreamRefused: nowhere: the quota of every deployment seems to be zero.
        """
        deployments = route.deployments
        if len(deployments) == 1:
            deployment = deployments[0]
            if not self.place(deployment).quota.is_zero:
                return deployment
        standings = self.standings(route)
        deployment = select(route, (), pick, standings, key)
        standing = standings[deployments.index(deployment)]
        if standing.unavailable and standing.quota_is_zero:
            raise self.no_quota(deployment)
        return deployment

    def no_quota(self, deployment: Deployment) -> UpstreamRefused:
        """The answer where every deployment's quota seems to be zero: this one would be asked next."""
        return zero_quota_error(deployment, self.place(deployment).quota.cooldown_until - self._clock())

    async def enter(self, deployment: Deployment, time_left: float) -> Stay:
        """Begin an attempt; where the deployment is full, wait for room.

        :param time_left: seconds until the request's deadline.
        :raises GatewayOverloaded: no room in time.
        """
        place = self.place(deployment)
        await place.admission.enter(time_left)
        if place.breaker.state != "closed" or place.quota.is_zero:
            now = self._clock()
            place.breaker = breakers.on_start(place.breaker, now)
            if place.quota.is_zero:
                place.quota.record_probe(now)
        return Stay(self, place)

    def ended(self, place: Place, error: GatewayError | None) -> None:
        """Learn from the end of an attempt; None for one that gave content."""
        now, quota, before = self._clock(), place.quota, place.breaker.state
        if error is None:
            quota.record_reply(succeeded=True)
        elif isinstance(error, UpstreamRefused):
            was_zero = quota.is_zero
            if error.kind == "rate_limit":
                quota.record_429(error, now)
            else:
                quota.record_reply(succeeded=False)
            if quota.is_zero and not was_zero:
                self._on_change(place.deployment, "no_quota")
        place.breaker = breakers.on_end(place.breaker, now, failed=counts_as_failure(error))
        if "open" in (before, place.breaker.state) or before == "half_open":
            self._tell(place, before)

    def _tell(self, place: Place, before: str) -> None:
        after = place.breaker.state
        if after == "open" and before == "closed":
            self._on_change(place.deployment, "open")
        elif after == "closed" and before != "closed":
            self._on_change(place.deployment, "closed")

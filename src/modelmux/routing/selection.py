"""Selects the deployment of a route for an attempt. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modelmux.routing.affinity import preferred_deployment
from modelmux.routing.availability import AVAILABLE, Availability
from modelmux.routing.model import Deployment, Route

#: A conversation leaves its preferred deployment once that has more attempts in flight than ``LOAD_FACTOR`` times its
#: fair share plus ``LOAD_SLACK``.
LOAD_FACTOR: Final = 2
LOAD_SLACK: Final = 8

_Candidate = tuple[Deployment, Availability]


def select(
    route: Route,
    attempted: tuple[Deployment, ...],
    random: float = 0.0,
    availability: Sequence[Availability] = (),
    affinity_key: bytes | None = None,
    model: str | None = None,
) -> Deployment:
    """The deployment for the next attempt.

    In this order: an available deployment that was not attempted yet, of the lowest order; the available one attempted
    longest ago; the one that will be available first. There is always one: unavailability is an estimate, and no
    request is rejected because of it.

    :param random: from 0 to 1; chooses by weight if there is no ``affinity_key``.
    :param availability: of the route's deployments, in their order; empty if all are available.
    :param affinity_key: names the conversation, see ``affinity``.
    :param model: the model that the conversation stays with, preferred over the order.
    """
    deployments = route.deployments
    if len(deployments) == 1:
        return deployments[0]
    candidates = list(zip(deployments, availability or [AVAILABLE] * len(deployments), strict=True))
    available = [candidate for candidate in candidates if not candidate[1].unavailable]
    if not available:
        return min(candidates, key=lambda candidate: (candidate[1].quota_is_zero, candidate[1].available_at))[0]
    fresh = [candidate for candidate in available if candidate[0] not in attempted]
    if not fresh:
        return max((deployment for deployment, _ in available), key=attempted[::-1].index)
    fresh = [candidate for candidate in fresh if candidate[0].card.id == model] or fresh
    lowest = min(deployment.order for deployment, _ in fresh)
    preferred = [candidate for candidate in fresh if candidate[0].order == lowest]
    if affinity_key is not None:
        return preferred_deployment(affinity_key, _within_bounded_load(preferred))
    return _by_weight(_least_loaded(preferred), random)


def _within_bounded_load(candidates: Sequence[_Candidate]) -> list[Deployment]:
    """Deployments within their bounded share of the load ("consistent hashing with bounded loads").

    One busy conversation, or many that begin alike, must not overload a deployment while others idle: a cold prompt
    cache costs less than a queue.
    """
    total = sum(availability.in_flight for _, availability in candidates)
    weights = sum(deployment.weight for deployment, _ in candidates)
    return [
        deployment
        for deployment, availability in candidates
        if availability.in_flight * weights <= LOAD_FACTOR * total * deployment.weight + LOAD_SLACK * weights
    ] or [deployment for deployment, _ in candidates]


def _least_loaded(candidates: Sequence[_Candidate]) -> list[Deployment]:
    """Deployments with the fewest attempts in flight per weight; those of weight 0 only if there are no others."""
    loads = [
        (availability.in_flight / deployment.weight, deployment)
        for deployment, availability in candidates
        if deployment.weight
    ]
    least = min((load for load, _ in loads), default=0.0)
    return [deployment for load, deployment in loads if load == least] or [deployment for deployment, _ in candidates]


def _by_weight(deployments: Sequence[Deployment], random: float) -> Deployment:
    """A weighted choice; the first deployment if all have weight 0."""
    remaining = random * sum(deployment.weight for deployment in deployments)
    chosen = deployments[0]
    for deployment in deployments:
        if deployment.weight:
            chosen = deployment
            remaining -= deployment.weight
            if remaining < 0:
                break
    return chosen

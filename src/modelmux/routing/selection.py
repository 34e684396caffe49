"""Which deployment of a route an attempt goes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modelmux.routing.affinity import first_for
from modelmux.routing.availability import FREE, Standing
from modelmux.routing.routes import Deployment, Route

#: A conversation leaves its place when that has more than so many times its fair share in flight, and so many more.
SHARES: Final = 2
SLACK: Final = 8


def select(
    route: Route,
    tried: tuple[Deployment, ...],
    pick: float = 0.0,
    standings: Sequence[Standing] = (),
    key: bytes | None = None,
) -> Deployment:
    """One that was not tried and is not out, of the lowest order; of several, the one the conversation belongs to.

    Once there is none, the one tried longest ago that is not out; once all are out, the one that is back first: nobody
    is turned away because of a guess.

    :param pick: a random number from 0 to 1, which makes the choice among weights where there is no key.
    :param standings: of the route's deployments, in their order; none for all free.
    :param key: names the conversation, see ``affinity``.
    """
    deployments = route.deployments
    if len(deployments) == 1:
        return deployments[0]
    every = list(zip(deployments, standings or [FREE] * len(deployments), strict=True))
    free = [pair for pair in every if not pair[1].out]
    if not free:
        return min(every, key=lambda pair: (pair[1].no_quota, pair[1].back_at))[0]
    fresh = [pair for pair in free if pair[0] not in tried]
    if not fresh:
        return max((deployment for deployment, _ in free), key=tried[::-1].index)
    lowest = min(deployment.order for deployment, _ in fresh)
    nearest = [pair for pair in fresh if pair[0].order == lowest]
    if key is not None:
        return first_for(key, _not_crowded(nearest))
    return _by_weight(_least_busy(nearest), pick)


def _not_crowded(pairs: Sequence[tuple[Deployment, Standing]]) -> list[Deployment]:
    """Those with no more than their bounded share of what is in flight: one busy conversation, or many that begin
    alike, must not drown a place while others idle. A cold cache costs less than a queue."""
    every = sum(standing.in_flight for _, standing in pairs)
    weights = sum(place.weight for place, _ in pairs)
    return [
        place
        for place, standing in pairs
        if standing.in_flight * weights <= SHARES * every * place.weight + SLACK * weights
    ] or [place for place, _ in pairs]


def _least_busy(pairs: Sequence[tuple[Deployment, Standing]]) -> list[Deployment]:
    """Those with the fewest attempts in flight for their weight; those without weight only where nothing else is."""
    loads = [(standing.in_flight / place.weight, place) for place, standing in pairs if place.weight]
    least = min((load for load, _ in loads), default=0.0)
    return [place for load, place in loads if load == least] or [place for place, _ in pairs]


def _by_weight(deployments: Sequence[Deployment], pick: float) -> Deployment:
    """Those without weight get a turn only where nothing else is left, the first of them first."""
    left = pick * sum(deployment.weight for deployment in deployments)
    chosen = deployments[0]
    for deployment in deployments:
        if deployment.weight:
            chosen = deployment
            left -= deployment.weight
            if left < 0:
                break
    return chosen

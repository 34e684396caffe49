"""Which deployment of a route an attempt goes to."""

from __future__ import annotations

from collections.abc import Sequence

from modelmux.routing.resolve import Deployment, Route


def select(route: Route, tried: tuple[Deployment, ...], pick: float = 0.0) -> Deployment:
    """One of the lowest order that was not tried, chosen by weight; once all were, the one tried longest ago.

    :param pick: a random number from 0 to 1, which makes the choice among weights.
    """
    if len(route.deployments) == 1:
        return route.deployments[0]
    fresh = [deployment for deployment in route.deployments if deployment not in tried]
    if not fresh:
        return max(route.deployments, key=tried[::-1].index)
    lowest = min(deployment.order for deployment in fresh)
    return _by_weight([deployment for deployment in fresh if deployment.order == lowest], pick)


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

"""Which deployment of a route an attempt goes to."""

from __future__ import annotations

from modelmux.routing.resolve import Deployment, Route


def select(route: Route, tried: tuple[Deployment, ...]) -> Deployment:
    """The first deployment that was not tried; once all were, the one tried longest ago."""
    for deployment in route.deployments:
        if deployment not in tried:
            return deployment
    return max(route.deployments, key=tried[::-1].index)

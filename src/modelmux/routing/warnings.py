"""What an operator should know of the routes on a day. Pure: the day is an argument."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from modelmux.catalog import lifecycle_warning, location_in_path, location_of_host
from modelmux.routing.aliases import Alias
from modelmux.routing.routes import Deployment, Route, Routes


def route_warnings(routes: Routes, today: date) -> list[tuple[str, str]]:
    """The name concerned and a sentence, each once; for the log at start and for ``doctor``.

    Covers what was configured: routes, and what aliases stand for today and once their successor has taken over. Models
    that are only in the catalog are nobody's choice; who asks for one is told in the answer.
    """
    found: dict[tuple[str, str], None] = {}
    for name, route in _chosen(routes, today):
        for deployment in route.deployments:
            for sentence in (lifecycle_warning(deployment.card, today), _torn(deployment)):
                if sentence is not None:
                    found[(name, sentence)] = None
    return list(found)


def _chosen(routes: Routes, today: date) -> Iterator[tuple[str, Route]]:
    for route in routes.routes:
        yield route.name, route
    configured = {id(route) for route in routes.routes}
    for alias in routes.aliases:
        for route in _stood_for(routes, alias, today):
            if id(route) not in configured:  # those are told of under their own name
                yield alias.name, route


def _stood_for(routes: Routes, alias: Alias, today: date) -> list[Route]:
    days = [today] if alias.since is None or alias.since <= today else [today, alias.since]
    found = [routes.on(day).stands_for(alias) for day in days]
    return [route for route in found if route is not None]


def _torn(deployment: Deployment) -> str | None:
    """Host and path that speak of two places: the 1.x program allowed it, Google may not."""
    host, path = location_of_host(deployment.url), location_in_path(deployment.url)
    if host is None or path is None or host == path:
        return None
    return f"requests go to the host of {host} with the location {path}; give region and location the same value"

"""Warnings for the operator about the routes on a day. Pure: the day is an argument."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from modelmux.catalog import Catalog, ModelCard, PriceList, lifecycle_warning, location_in_path, location_of_host
from modelmux.routing.aliases import Alias
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes


def all_warnings(routes: Routes, today: date, catalog: Catalog, prices: PriceList | None) -> list[tuple[str, str]]:
    """Pairs of a model name and a message: what an operator should know of the routes.

    :param prices: None where nothing is charged.
    """
    unpriced = [] if prices is None else unpriced_models(routes, prices, today)
    return [*route_warnings(routes, today), *unknown_models(routes, catalog), *unpriced]


def route_warnings(routes: Routes, today: date) -> list[tuple[str, str]]:
    """Pairs of a model name and a message, without duplicates; for the log at start and for ``doctor``.

    Covers the configuration: routes, and the targets of aliases today and after the switch to their successor. Models
    that are only in the catalog are not covered; a client that requests one gets the warning with the response.
    """
    warnings: dict[tuple[str, str], None] = {}
    for name, route in _configured_routes(routes, today):
        for deployment in route.deployments:
            for message in (lifecycle_warning(deployment.card, today), _host_path_mismatch(deployment)):
                if message is not None:
                    warnings[(name, message)] = None
    return list(warnings)


def unknown_models(routes: Routes, catalog: Catalog) -> list[tuple[str, str]]:
    """Pairs of a model name and a message for configured models without a card: misspelt, or newer than the catalog."""
    messages: dict[tuple[str, str], None] = {}
    for route in routes.routes:
        for card in (deployment.card for deployment in route.deployments):
            message = unknown_model(card, catalog)
            if message is not None:
                messages[(route.name, message)] = None
    return list(messages)


def unknown_model(card: ModelCard, catalog: Catalog) -> str | None:
    """A message for a model without a card in the catalog; None for others."""
    if card.known or card.retired_on is not None:
        return None
    nearest = catalog.nearest(card.id)
    meant = f"did you mean {nearest}? If not, " if nearest else ""
    return (
        f"{card.id} is not in the catalog, so it gets conservative limits; {meant}"
        f'add a card: [[catalog]] with id = "{card.id}" and what it accepts'
    )


def unpriced_models(routes: Routes, prices: PriceList, today: date) -> list[tuple[str, str]]:
    """Pairs of a model name and a message for configured models without a price of their own."""
    messages: dict[tuple[str, str], None] = {}
    for name, route in _configured_routes(routes, today):
        for deployment in route.deployments:
            if not prices.lists(deployment.card.id):
                messages[(name, unpriced_model(deployment.card.id, prices.default))] = None
    return list(messages)


def unpriced_model(id: str, default: str | None) -> str:
    """A message for a model without a price.

    :param default: the model whose prices it has then; None if the cost is unknown.
    """
    cost = "the cost of its requests is unknown" if default is None else f"its requests cost what those of {default} do"
    return (
        f"{id} has no price, so {cost}; set one in "
        f'[accounts.prices] under "{id}", then run `modelmux usage rerate` for the requests so far'
    )


def _configured_routes(routes: Routes, today: date) -> Iterator[tuple[str, Route]]:
    for route in routes.routes:
        yield route.name, route
    configured = {id(route) for route in routes.routes}
    for alias in routes.aliases:
        for route in _routes_of_alias(routes, alias, today):
            if id(route) not in configured:  # warnings of configured routes appear under their own name
                yield alias.name, route


def _routes_of_alias(routes: Routes, alias: Alias, today: date) -> list[Route]:
    days = [today] if alias.from_date is None or alias.from_date <= today else [today, alias.from_date]
    targets = [routes.for_day(day).route_of(alias) for day in days]
    return [route for route in targets if route is not None]


def _host_path_mismatch(deployment: Deployment) -> str | None:
    """A URL whose host and path name different locations: version 1.x allowed it, Google may reject it."""
    host, path = location_of_host(deployment.url), location_in_path(deployment.url)
    if host is None or path is None or host == path:
        return None
    return f"requests go to the host of {host} with the location {path}; give region and location the same value"

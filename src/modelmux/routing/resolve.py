"""A model name -> the route that serves it.

A *route* is a name clients use; its *deployments* are the places that can serve it, in the order they are tried.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from modelmux.catalog import Catalog, ModelCard, normalise
from modelmux.errors import ModelNotFound
from modelmux.translate.context import Options

#: Longest name that is looked up at all: a name stands in every chunk of a reply.
MAX_NAME: Final = 256
#: Longest part of an unknown name that is shown and compared with the known ones.
_MAX_SHOWN: Final = 100


class Deployment(Struct, frozen=True):
    """One model in one location of one project.

    :param id: names the deployment in logs and metrics; holds no project.
    :param url: the model's resource URL without the verb (``:rawPredict``).
    """

    id: str
    url: str
    project: str
    location: str
    card: ModelCard

    def __repr__(self) -> str:  # project ids belong in no log
        return f"Deployment({self.id!r})"


class Route(Struct, frozen=True):
    """A public model name, where it is served, and what the operator chose for it."""

    name: str
    deployments: tuple[Deployment, ...]
    options: Options = Options()


class Routes:
    """An immutable snapshot of all routes. Names match case-insensitively.

    :param fallback: the route of the default model, if unknown names go there.
    :param for_catalog: makes a route for a Claude model that is in the catalog but not configured; None where the
        configuration has no project and location to serve it from.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        catalog: Catalog,
        fallback: Route | None = None,
        for_catalog: Callable[[ModelCard], Route] | None = None,
    ) -> None:
        self.routes = tuple(routes)
        self._by_name = {route.name.lower(): route for route in self.routes}
        self._catalog = catalog
        self._fallback = fallback
        # By model: the route made for it, unless one is configured. Made once, not for each request.
        made = [for_catalog(card) for card in catalog.cards] if for_catalog is not None else []
        self._catalog_routes = made
        self._by_model = {route.deployments[0].card.id: route for route in made}
        for route in reversed(self.routes):
            self._by_model.update((deployment.card.id, route) for deployment in route.deployments)

    @property
    def names(self) -> list[str]:
        """Names to list: the configured ones, or every Claude model that can be reached where none is configured."""
        if self.routes:
            return [route.name for route in self.routes]
        made = self._catalog_routes
        return [r.name for r in made if all(d.card.served_in(d.location) for d in r.deployments)]

    def find(self, name: str) -> Route:
        """The route of a requested name.

        :raises ModelNotFound: with the nearest name, when nothing serves it.
        """
        if len(name) > MAX_NAME:
            raise self._not_found(name)
        route = self._by_name.get(name.lower()) or self._from_catalog(name) or self._fallback
        if route is None:
            raise self._not_found(name)
        return route

    def _from_catalog(self, name: str) -> Route | None:
        card = self._catalog.find(name)
        return self._by_model.get(card.id) if card is not None else None

    def _not_found(self, name: str) -> ModelNotFound:
        known = {n.lower(): n for n in [r.name for r in (*self.routes, *self._catalog_routes)]}
        near = difflib.get_close_matches(normalise(name[:_MAX_SHOWN]), known, n=1)
        hint = f"Did you mean '{known[near[0]]}'?" if near else "GET /v1/models lists the models served here."
        return ModelNotFound(f"The model '{name[:_MAX_SHOWN]}' does not exist here.", param="model", hint=hint)

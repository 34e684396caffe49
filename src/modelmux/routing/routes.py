"""Resolves a model name to the route that serves it.

A *route* is a name that clients use; its *deployments* can serve it. An *alias* is an additional name for a route. Its
target may change on a date, so a snapshot of all routes is valid for one day (``Routes.for_day``).
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable
from datetime import date
from typing import Final, Self

from modelmux.catalog import Catalog, ModelCard, normalise
from modelmux.errors import ModelNotFound
from modelmux.routing.aliases import Alias, by_name, follow
from modelmux.routing.model import Deployment, Route

#: Longer names are rejected without a look-up: every chunk of a response repeats the name.
MAX_NAME_LENGTH: Final = 256
#: Spellings of names that are cached.
_MAX_CACHED_NAMES: Final = 512
#: The part of an unknown name that is shown and compared with the known names.
_MAX_SHOWN_LENGTH: Final = 100


class Routes:
    """An immutable snapshot of all routes, for one day. Names match case-insensitively.

    :param fallback: the route of the default model, if it also serves unknown names.
    :param catalog_route: makes the route of a Claude model that is in the catalog but not configured; None if the
        configuration has no project and location to serve it from.
    :param aliases: without cycles, see ``aliases.find_cycles``; an alias without a target is not served.
    :param day: the day for which aliases are resolved.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        catalog: Catalog,
        fallback: Route | None = None,
        catalog_route: Callable[[ModelCard], Route] | None = None,
        aliases: Iterable[Alias] = (),
        day: date = date.min,
    ) -> None:
        self.routes = tuple(routes)
        self._by_name = {route.name.lower(): route for route in self.routes}
        self._catalog = catalog
        self.fallback = fallback
        # Built once, not per request. A configured route takes precedence over the one from the catalog.
        catalog_routes = [catalog_route(card) for card in catalog.cards] if catalog_route is not None else []
        self._catalog_routes = catalog_routes
        self._by_model = {route.deployments[0].card.id: route for route in catalog_routes}
        for route in reversed(self.routes):
            self._by_model.update((deployment.card.id, route) for deployment in route.deployments)
        self.aliases = tuple(aliases)
        self._by_alias = self._resolve(day)
        self._cache: dict[str, Route] = {}  # by name as clients spell it

    def for_day(self, day: date) -> Self:
        """The same routes with the aliases resolved for another day."""
        if all(alias.from_date is None for alias in self.aliases):
            return self
        snapshot = copy.copy(self)
        snapshot._by_alias, snapshot._cache = self._resolve(day), {}  # noqa: SLF001 - a copy of self
        return snapshot

    def _resolve(self, day: date) -> dict[str, Route]:
        table = by_name(self.aliases)
        targets = {name: self._target(follow(alias, table, day)) for name, alias in table.items()}
        return {name: route for name, route in targets.items() if route is not None}

    def _target(self, name: str) -> Route | None:
        return self._by_name.get(name.lower()) or self._from_catalog(name)

    def route_of(self, alias: Alias) -> Route | None:
        """The route of an alias on this snapshot's day; None if it has no target."""
        return self._by_alias.get(alias.name.lower())

    @property
    def deployments(self) -> list[Deployment]:
        """Every deployment that a call may go to."""
        return [deployment for route in (*self.routes, *self._catalog_routes) for deployment in route.deployments]

    @property
    def default_names(self) -> list[str]:
        """The configured names; without any, every Claude model of the catalog that is served in its location."""
        if self.routes:
            return [route.name for route in self.routes]
        catalog_routes = self._catalog_routes
        return [r.name for r in catalog_routes if all(d.card.served_in(d.location) for d in r.deployments)]

    @property
    def visible_names(self) -> dict[str, Route]:
        """All names shown to clients, with their routes: ``default_names``, then the aliases that add new names."""
        routes = {name: self.find(name) for name in self.default_names}
        listed = {name.lower() for name in routes}
        added = [alias.name for alias in by_name(self.aliases).values() if alias.name.lower() not in listed]
        return routes | {name: self._by_alias[name.lower()] for name in added if name.lower() in self._by_alias}

    def find(self, name: str) -> Route:
        """The route of a requested name.

        :raises ModelNotFound: no route serves it; the hint suggests the most similar name.
        """
        cached = self._cache.get(name)
        if cached is not None:
            return cached
        if len(name) > MAX_NAME_LENGTH:
            raise self._unknown_model(name)
        key = name.lower()
        route = self._by_name.get(key) or self._by_alias.get(key) or self._from_catalog(name) or self.fallback
        if route is None:
            raise self._unknown_model(name)
        if len(self._cache) < _MAX_CACHED_NAMES:
            self._cache[name] = route
        return route

    def _from_catalog(self, name: str) -> Route | None:
        card = self._catalog.find(name)
        return self._by_model.get(card.id) if card is not None else None

    def _unknown_model(self, name: str) -> ModelNotFound:
        names = [*(r.name for r in (*self.routes, *self._catalog_routes)), *(alias.name for alias in self.aliases)]
        known = {other.lower(): other for other in names}
        matches = difflib.get_close_matches(normalise(name[:_MAX_SHOWN_LENGTH]), known, n=1)
        hint = f"Did you mean '{known[matches[0]]}'?" if matches else "GET /v1/models lists the models served here."
        return ModelNotFound(f"The model '{name[:_MAX_SHOWN_LENGTH]}' does not exist here.", param="model", hint=hint)

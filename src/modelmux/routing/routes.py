"""Resolves a model name to the route that serves it.

A *route* is a name that clients use; its *deployments* can serve it. An *alias* is an additional name for a route, and
a *fallback* is a name whose deployments are tried after those of a route. The target of an alias may change on a date,
so a snapshot of all routes is valid for one day (``Routes.for_day``).
"""

from __future__ import annotations

import copy
import difflib
import re
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Final, Self

from modelmux.catalog import Catalog, ModelCard, lifecycle_warning, normalise
from modelmux.errors import ModelNotFound
from modelmux.routing.aliases import Alias, by_name, follow
from modelmux.routing.model import Deployment, Route

#: Longer names are rejected without a look-up: every chunk of a response repeats the name.
MAX_NAME_LENGTH: Final = 256
#: Spellings of names that are cached.
_MAX_CACHED_NAMES: Final = 512
#: Names of OpenAI's and Google's models, which many clients have as their default.
_OTHER_MAKER: Final = re.compile(r"(?:gpt|chatgpt|codex|gemini|o[1-9](?![a-z]))[-.\w]*", re.ASCII | re.IGNORECASE)
#: The part of an unknown name that is shown and compared with the known names.
_MAX_SHOWN_LENGTH: Final = 100


class _Names:
    """What each name refers to on one day.

    :param extend: adds the deployments of a route's fallbacks to it.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        catalog_routes: Iterable[Route],
        aliases: Iterable[Alias],
        catalog: Catalog,
        day: date,
        extend: Callable[[Route], Route] = lambda route: route,
    ) -> None:
        configured = [(route, extend(route)) for route in routes]
        self._catalog = catalog
        self._day = day
        self.routes = tuple(extended for _, extended in configured)
        self._by_name = {route.name.lower(): route for route in self.routes}
        #: The models that a configured route serves: they can be requested by their own names although retired.
        self._configured_models = {card.id for route, _ in configured for card in route.models}
        # A model's own name is served by that model. A configured route takes precedence over the one from the
        # catalog, and a route that begins with the model over one in which it is a further model.
        self._by_model = {route.card.id: route for route in catalog_routes}
        for route, _ in reversed(configured):
            self._by_model |= {card.id: extend(route.of_model(card.id)) for card in route.models[1:]}
        for route, extended in reversed(configured):
            several = route.has_several_models
            self._by_model[route.card.id] = extend(route.of_model(route.card.id)) if several else extended
        table = by_name(aliases)
        ends = {name: follow(alias, table, day) for name, alias in table.items()}
        targets = {name: self._target(end) for name, end in ends.items()}
        self._by_alias = {name: route for name, route in targets.items() if route is not None}
        #: Name of an alias in lower case -> the name of a route or model that it stands for.
        self.alias_targets = {name: end for name, end in ends.items() if name not in self._by_name}

    def _target(self, name: str) -> Route | None:
        return self._by_name.get(name.lower()) or self._from_catalog(name)

    def _from_catalog(self, name: str) -> Route | None:
        card = self._catalog.find(name)
        return self._by_model.get(card.id) if card is not None else None

    def alias(self, name: str) -> Route | None:
        """The route of an alias; None if it has no target."""
        return self._by_alias.get(name.lower())

    def find(self, name: str) -> Route | None:
        """The route of a configured name, an alias or a model of the catalog, retired or not."""
        key = name.lower()
        return self._by_name.get(key) or self._by_alias.get(key) or self._from_catalog(name)

    def requested(self, name: str) -> Route | None:
        """The route for a client that requests a name: as ``find``, but no route made from the catalog for a retired
        model. What the configuration names (aliases and fallbacks too) is called whatever the catalog says."""
        route = self.find(name)
        if route is None or not route.card.is_retired(self._day):
            return route
        key, card = name.lower(), route.card
        is_configured = key in self._by_name or key in self._by_alias or card.id in self._configured_models
        return route if is_configured else None


class Routes:
    """An immutable snapshot of all routes, for one day. Names match case-insensitively.

    :param routes: as configured, with their own deployments only.
    :param default_route: the one of ``routes`` that also serves unknown names, if any.
    :param catalog_route: makes the route of a Claude model that is in the catalog but not configured; None if the
        configuration has no project and location to serve it from.
    :param aliases: without cycles, see ``aliases.find_cycles``; an alias without a target is not served.
    :param day: the day for which aliases, and fallbacks that are aliases, are resolved, and on which models retired
        before are not offered.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        catalog: Catalog,
        default_route: Route | None = None,
        catalog_route: Callable[[ModelCard], Route] | None = None,
        aliases: Iterable[Alias] = (),
        day: date = date.min,
    ) -> None:
        #: Without the deployments of their fallbacks.
        self.configured = tuple(routes)
        self._catalog = catalog
        self._default_route = default_route
        # Built once, not per request.
        self._catalog_routes = [catalog_route(card) for card in catalog.cards] if catalog_route is not None else []
        self.aliases = tuple(aliases)
        self._retired = _retired_cards(catalog)
        #: The days on which something changes.
        self._changes = sorted(filter(None, self._dates()))
        self._resolve(day)

    def for_day(self, day: date) -> Self:
        """The same routes for another day: aliases and fallbacks resolved, retired models left out."""
        if bisect(self._changes, day) == bisect(self._changes, self._day):
            return self
        snapshot = copy.copy(self)
        snapshot._resolve(day)  # noqa: SLF001 - a copy of self
        return snapshot

    def _dates(self) -> set[date | None]:
        cards = [*self._catalog.cards, *(deployment.card for deployment in self.deployments)]
        return {*(alias.from_date for alias in self.aliases), *(card.retired_on for card in cards)}

    def _resolve(self, day: date) -> None:
        self._day = day
        parts = self.configured, self._catalog_routes, self.aliases, self._catalog, day
        # A fallback's own fallbacks are not followed.
        self._without_fallbacks = own = _Names(*parts)
        fallbacks = any(route.fallbacks for route in self.configured)
        self._names = _Names(*parts, self._with_fallbacks) if fallbacks else own
        default = self._default_route
        self._default = self._names.find(default.name) if default is not None else None
        self._own_default = own.find(default.name) if default is not None else None
        self._cache: dict[str, Route] = {}  # by name as clients spell it

    def _with_fallbacks(self, route: Route) -> Route:
        return route.with_fallbacks(target for _, target in self.fallbacks(route) if target is not None)

    def fallbacks(self, route: Route) -> list[tuple[str, Route | None]]:
        """The names of a route's fallbacks, each with the route it refers to; None if it refers to none."""
        return [(name, self._without_fallbacks.find(name)) for name in route.fallbacks]

    def find_own(self, name: str) -> Route | None:
        """As ``find``, with the route's own deployments only; None if no route serves the name."""
        return self._without_fallbacks.requested(name) or self._own_default

    @property
    def alias_targets(self) -> Mapping[str, str]:
        """Name of an alias in lower case -> the name of the route or model that it stands for on this day."""
        return self._names.alias_targets

    @property
    def routes(self) -> tuple[Route, ...]:
        """The configured routes with the deployments of their fallbacks."""
        return self._names.routes

    @property
    def has_several_models(self) -> bool:
        """Whether clients can ask for more than one model: each has a name of its own."""
        return len({deployment.card.id for deployment in self.deployments}) > 1

    def route_of(self, alias: Alias) -> Route | None:
        """The route of an alias on this snapshot's day; None if it has no target."""
        return self._names.alias(alias.name)

    @property
    def deployments(self) -> list[Deployment]:
        """Every deployment that a call may go to, on any day."""
        return [deployment for route in (*self.configured, *self._catalog_routes) for deployment in route.deployments]

    @property
    def default_names(self) -> list[str]:
        """The configured names; without any, every Claude model of the catalog that is served in its location and not
        retired."""
        if self.configured:
            return [route.name for route in self.configured]
        return [route.name for route in self._catalog_routes if self._is_offered(route)]

    def _is_offered(self, route: Route) -> bool:
        """Whether a route made from the catalog is listed."""
        return not route.card.is_retired(self._day) and all(d.card.served_in(d.location) for d in route.deployments)

    @property
    def visible_names(self) -> dict[str, Route]:
        """All names shown to clients, with their routes: ``default_names``, then the aliases that add new names.

        Without the names that only retired models serve.
        """
        return {name: route for name, route in self.all_names.items() if not self._has_retired(route)}

    def _has_retired(self, route: Route) -> bool:
        return all(card.is_retired(self._day) for card in route.models)

    @property
    def all_names(self) -> dict[str, Route]:
        """As ``visible_names``, with the configured names that only retired models serve."""
        routes = {name: self.find(name) for name in self.default_names}
        listed = {name.lower() for name in routes}
        for alias in by_name(self.aliases).values():
            route = self.route_of(alias)
            if route is not None and alias.name.lower() not in listed:
                routes[alias.name] = route
        return routes

    def find(self, name: str) -> Route:
        """The route of a requested name.

        :raises ModelNotFound: no route serves it; the hint suggests the most similar name.
        """
        cached = self._cache.get(name)
        if cached is not None:
            return cached
        if len(name) > MAX_NAME_LENGTH:
            raise self._unknown_model(name)
        route = self._names.requested(name) or self._default
        if route is None:
            raise self._unknown_model(name)
        if len(self._cache) < _MAX_CACHED_NAMES:
            self._cache[name] = route
        return route

    def _unknown_model(self, name: str) -> ModelNotFound:
        shown = name[:_MAX_SHOWN_LENGTH]
        key = normalise(shown)
        card = self._retired.get(key)
        if card is not None and card.is_retired(self._day):
            hint = f"{lifecycle_warning(card, self._day)}."
        else:
            hint = self._suggestion(key, shown.strip())
        return ModelNotFound(f"The model '{shown}' does not exist here.", param="model", hint=hint)

    def _suggestion(self, key: str, shown: str) -> str:
        offered = [route for route in self._catalog_routes if not route.card.is_retired(self._day)]
        names = [*(r.name for r in (*self.configured, *offered)), *(alias.name for alias in self.aliases)]
        known = {other.lower(): other for other in names}
        matches = difflib.get_close_matches(key, known, n=1)
        if not matches and "@" in key:  # a date is longer than many names
            matches = difflib.get_close_matches(key.partition("@")[0], known, n=1)
        if matches:
            return f"Did you mean '{known[matches[0]]}'?"
        served = next(iter(self.visible_names), None)
        if served is None or not _OTHER_MAKER.fullmatch(shown):
            return "GET /v1/models lists the models served here."
        return (
            f"Claude is served here: use '{served}' or another name of GET /v1/models, or have the gateway's operator "
            f'add under [aliases] of its configuration: "{shown}" = "{served}"'
        )


def _retired_cards(catalog: Catalog) -> dict[str, ModelCard]:
    """The cards of models whose retirement is confirmed, by each of their names."""
    cards = [*catalog.cards, *(catalog.card(model.id) for model in catalog.retired)]
    return {normalise(name): card for card in cards if card.retired_on for name in (card.base, card.id)}

"""A model name -> the route that serves it.

A *route* is a name clients use; its *deployments* are the places that can serve it. An *alias* is a further name for a
route; what it stands for may change on a day, so a snapshot of all routes is for one day (``Routes.on``).
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable
from datetime import date
from typing import Final, Self

from msgspec import Struct

from modelmux.catalog import Catalog, ModelCard, locations, normalise
from modelmux.claude.options import Options
from modelmux.errors import ModelNotFound
from modelmux.routing.aliases import Alias, by_name, follow
from modelmux.routing.geography import inside
from modelmux.wire.http import Timeouts

#: Longest name that is looked up at all: a name stands in every chunk of a reply.
MAX_NAME: Final = 256
#: Ways of writing names that are remembered.
_MAX_FOUND: Final = 512
#: Longest part of an unknown name that is shown and compared with the known ones.
_MAX_SHOWN: Final = 100


class Deployment(Struct, frozen=True):
    """One model in one location of one project.

    :param id: names the deployment in logs and metrics; holds no project.
    :param url: the model's resource URL without the verb (``:rawPredict``).
    :param location: "" where only a URL is configured that does not tell it.
    :param weight: share of the requests among the deployments of the same order.
    :param order: lower ones are used first; the others once those have failed.
    :param max_in_flight: most attempts at a time, streams included; None for no bound of its own.
    """

    id: str
    url: str
    project: str
    location: str
    card: ModelCard
    weight: int = 1
    order: int = 0
    max_in_flight: int | None = None

    def __repr__(self) -> str:  # project ids belong in no log
        return f"Deployment({self.id!r})"


class Route(Struct, frozen=True):
    """A public model name, where it is served, and what the operator chose for it.

    :param geographies: what no call on behalf of this route may leave; all of them hold.
    """

    name: str
    deployments: tuple[Deployment, ...]
    options: Options = Options()
    geographies: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()

    def allows(self, location: str) -> bool:
        """Whether a call on behalf of this route may go to a location."""
        return all(inside(geography, location, locations()) for geography in self.geographies)


class Routes:
    """An immutable snapshot of all routes, for one day. Names match case-insensitively.

    :param fallback: the route of the default model, if unknown names go there.
    :param for_catalog: makes a route for a Claude model that is in the catalog but not configured; None where the
        configuration has no project and location to serve it from.
    :param aliases: without loops and dead ends, see ``aliases.py``; one that leads nowhere is not served.
    :param day: which day the aliases are resolved for.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        catalog: Catalog,
        fallback: Route | None = None,
        for_catalog: Callable[[ModelCard], Route] | None = None,
        aliases: Iterable[Alias] = (),
        day: date = date.min,
    ) -> None:
        self.routes = tuple(routes)
        self._by_name = {route.name.lower(): route for route in self.routes}
        self._catalog = catalog
        self.fallback = fallback
        # By model: the route made for it, unless one is configured. Made once, not for each request.
        made = [for_catalog(card) for card in catalog.cards] if for_catalog is not None else []
        self._catalog_routes = made
        self._by_model = {route.deployments[0].card.id: route for route in made}
        for route in reversed(self.routes):
            self._by_model.update((deployment.card.id, route) for deployment in route.deployments)
        self.aliases = tuple(aliases)
        self._by_alias = self._resolve(day)
        self._found: dict[str, Route] = {}  # names as clients write them; a cache

    def on(self, day: date) -> Self:
        """The same routes on another day: what their aliases stand for then."""
        if all(alias.since is None for alias in self.aliases):
            return self
        snapshot = copy.copy(self)
        snapshot._by_alias, snapshot._found = self._resolve(day), {}  # noqa: SLF001 - a copy of our own
        return snapshot

    def _resolve(self, day: date) -> dict[str, Route]:
        table = by_name(self.aliases)
        found = {name: self._target(follow(alias, table, day)) for name, alias in table.items()}
        return {name: route for name, route in found.items() if route is not None}

    def _target(self, name: str) -> Route | None:
        return self._by_name.get(name.lower()) or self._from_catalog(name)

    def stands_for(self, alias: Alias) -> Route | None:
        """The route behind an alias on this snapshot's day; None for one that leads nowhere."""
        return self._by_alias.get(alias.name.lower())

    @property
    def deployments(self) -> list[Deployment]:
        """Every place a call may go to."""
        return [deployment for route in (*self.routes, *self._catalog_routes) for deployment in route.deployments]

    @property
    def names(self) -> list[str]:
        """Names to list: the configured ones, or every Claude model that can be reached where none is configured."""
        if self.routes:
            return [route.name for route in self.routes]
        made = self._catalog_routes
        return [r.name for r in made if all(d.card.served_in(d.location) for d in r.deployments)]

    @property
    def listed(self) -> dict[str, Route]:
        """All names clients are shown, with what they stand for: ``names``, then the aliases that add to them."""
        found = {name: self.find(name) for name in self.names}
        shown = {name.lower() for name in found}
        more = [alias.name for alias in by_name(self.aliases).values() if alias.name.lower() not in shown]
        return found | {name: self._by_alias[name.lower()] for name in more if name.lower() in self._by_alias}

    def find(self, name: str) -> Route:
        """The route of a requested name.

        :raises ModelNotFound: with the nearest name, when nothing serves it.
        """
        found = self._found.get(name)
        if found is not None:
            return found
        if len(name) > MAX_NAME:
            raise self._not_found(name)
        key = name.lower()
        route = self._by_name.get(key) or self._by_alias.get(key) or self._from_catalog(name) or self.fallback
        if route is None:
            raise self._not_found(name)
        if len(self._found) < _MAX_FOUND:
            self._found[name] = route
        return route

    def _from_catalog(self, name: str) -> Route | None:
        card = self._catalog.find(name)
        return self._by_model.get(card.id) if card is not None else None

    def _not_found(self, name: str) -> ModelNotFound:
        every = [*(r.name for r in (*self.routes, *self._catalog_routes)), *(alias.name for alias in self.aliases)]
        known = {n.lower(): n for n in every}
        near = difflib.get_close_matches(normalise(name[:_MAX_SHOWN]), known, n=1)
        hint = f"Did you mean '{known[near[0]]}'?" if near else "GET /v1/models lists the models served here."
        return ModelNotFound(f"The model '{name[:_MAX_SHOWN]}' does not exist here.", param="model", hint=hint)

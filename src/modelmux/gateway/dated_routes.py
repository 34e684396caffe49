"""The routes of the current day: the only module in which routing depends on the date.

An alias may pass to its successor on a day, and a model may approach its retirement. Days are UTC, so that all
gateways switch at the same moment; a running process needs no reload.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final

from modelmux.catalog import ModelCard, lifecycle_warning
from modelmux.errors import NotPermitted
from modelmux.gateway.permitted_models import permitted_route
from modelmux.routing.model import Route
from modelmux.routing.routes import Routes

_DAY: Final = 86_400
#: Names as clients spell them, with the patterns of a key, whose routes are kept.
_MAX_PERMITTED: Final = 1024


class DatedRoutes:
    """Finds routes as they are today.

    :param now: Unix seconds.
    """

    def __init__(self, routes: Routes, now: Callable[[], float]) -> None:
        self._now = now
        self._switch_to(routes, int(now() // _DAY))

    def _switch_to(self, routes: Routes, day_number: int) -> None:
        self._day_number = day_number
        self._day = datetime.fromtimestamp(day_number * _DAY, UTC).date()
        self._routes = routes.for_day(self._day)
        self._warnings: dict[str, str | None] = {}
        self._permitted: dict[tuple[str, tuple[str, ...]], Route] = {}

    def _update(self) -> None:
        day_number = int(self._now() // _DAY)
        if day_number != self._day_number:
            self._switch_to(self._routes, day_number)

    @property
    def current(self) -> Routes:
        """Today's snapshot."""
        self._update()
        return self._routes

    @property
    def day(self) -> date:
        """Today."""
        self._update()
        return self._day

    def find(self, name: str) -> Route:
        """:raises ModelNotFound:"""
        self._update()
        return self._routes.find(name)

    def permitted(self, name: str, patterns: tuple[str, ...]) -> Route:
        """The route with what a key may use.

        :param patterns: those of the key; empty for all.
        :raises ModelNotFound: :raises NotPermitted: nothing of the route itself.
        """
        routes = self.current
        route = routes.find(name)
        if not patterns:
            return route
        permitted = self._permitted.get((name, patterns)) or permitted_route(routes, name, patterns)
        if permitted is None:
            raise NotPermitted(
                f"This API key may not use the model {route.name!r}.",
                param="model",
                hint=f"It may use {', '.join(patterns)}.",
            )
        if len(self._permitted) < _MAX_PERMITTED:
            self._permitted[name, patterns] = permitted
        return permitted

    def warning(self, card: ModelCard) -> str | None:
        """A warning about this model for its clients today, as a sentence."""
        self._update()
        if card.id not in self._warnings:
            self._warnings[card.id] = lifecycle_warning(card, self._day)
        return self._warnings[card.id]

"""The routes of the present day: the one place where routing meets the calendar.

An alias may pass to its successor on a day, and a model may come near its retirement. Days are UTC, so that every
gateway of a fleet switches at the same moment; a process that runs on needs no reload.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final

from modelmux.catalog import ModelCard, lifecycle_warning
from modelmux.routing.routes import Route, Routes

_DAY: Final = 86_400


class RoutesToday:
    """Finds routes as they are today.

    :param now: Unix seconds.
    """

    def __init__(self, routes: Routes, now: Callable[[], float]) -> None:
        self._now = now
        self._turn(routes, int(now() // _DAY))

    def _turn(self, routes: Routes, number: int) -> None:
        self._number = number
        self._day = datetime.fromtimestamp(number * _DAY, UTC).date()
        self._routes = routes.on(self._day)
        self._warnings: dict[str, str | None] = {}

    def _today(self) -> None:
        number = int(self._now() // _DAY)
        if number != self._number:
            self._turn(self._routes, number)

    @property
    def current(self) -> Routes:
        """Today's snapshot."""
        self._today()
        return self._routes

    @property
    def day(self) -> date:
        """Today."""
        self._today()
        return self._day

    def find(self, name: str) -> Route:
        """:raises ModelNotFound:"""
        return self.current.find(name)

    def warning(self, card: ModelCard) -> str | None:
        """What a client of this model should know today, in a sentence."""
        day = self.day
        if card.id not in self._warnings:
            self._warnings[card.id] = lifecycle_warning(card, day)
        return self._warnings[card.id]

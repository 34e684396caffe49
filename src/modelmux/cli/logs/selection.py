"""Which lines of requests ``modelmux logs`` shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from modelmux.telemetry import names

_SUCCESSES: Final = (names.OUTCOME_OK, names.OUTCOME_CLIENT_DISCONNECTED)


class Selection(Struct, frozen=True, kw_only=True):
    """What a line has to be; what is None, or empty, does not matter.

    :param keys: ids, or the name as it was when the line was written. :param teams: ids.
    :param model: as it was asked for, served or called, in any case.
    :param failed: requests with an error, those that the gateway refused included.
    :param min_cost: nano-USD.
    """

    keys: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    model: str | None = None
    failed: bool = False
    min_cost: int | None = None

    @property
    def is_empty(self) -> bool:
        return self == Selection()

    def wants(self, event: Mapping[str, Any] | None, cost: Callable[[], int | None]) -> bool:
        """Whether a line is shown. :param event: None for one that is not an event."""
        if self.is_empty:
            return True
        if event is None or event.get("event") not in (names.EVENT_REQUEST, names.EVENT_REFUSED):
            return False
        if self.keys and self.keys.isdisjoint([str(event.get("key")), str(event.get("key_name"))]):
            return False
        if self.teams and not self.teams.intersection(str(event.get("team", "")).split("/")):
            return False
        if self.model is not None and self.model.lower() not in _models(event):
            return False
        if self.failed and event.get("outcome") in _SUCCESSES:
            return False
        if self.min_cost is None:
            return True
        spent = cost()
        return spent is not None and spent >= self.min_cost


def _models(event: Mapping[str, Any]) -> set[str]:
    return {str(event[name]).lower() for name in ("route", "requested_model", "model") if name in event}

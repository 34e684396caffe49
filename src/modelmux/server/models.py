"""The model list, in the dialect of the client: configured names and aliases, or the catalog if none is configured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import parse_qsl

from modelmux.catalog import deprecation_day, lifecycle, retirement_day
from modelmux.dialects.base import Caller, ListedModel, ListingDialect
from modelmux.gateway.dated_routes import DatedRoutes
from modelmux.gateway.permitted_models import may_use
from modelmux.routing.model import Route

#: Shown as creation of a model whose release day the catalog does not know. It is the same at every start and in every
#: worker, because clients compare it.
UNKNOWN_RELEASE: Final = date(2024, 1, 1)
#: A caller who may use everything.
ANYBODY: Final = Caller()


class ModelList:
    """Lists what is served today."""

    def __init__(self, routes: DatedRoutes) -> None:
        self._routes = routes

    def body(
        self, dialect: ListingDialect, path_params: Mapping[str, str], query: bytes, caller: Caller = ANYBODY
    ) -> bytes:
        """The list of what the caller may use, or the entry that the path names.

        :raises ModelNotFound: no such entry. :raises NotPermitted: not for this caller.
        :raises InvalidRequest: a query that cannot be used.
        """
        routes, patterns = self._routes.current, caller.models
        name = path_params.get("name")
        if name is None:
            visible = routes.visible_names.items()
            models = [self._listed(public, route) for public, route in visible if may_use(routes, public, patterns)]
            return dialect.models(models, dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)))
        route = self._routes.permitted(name, patterns)
        public = next((known for known in routes.all_names if known.lower() == name.lower()), name)
        return dialect.model(self._listed(public, route))

    def _listed(self, name: str, route: Route) -> ListedModel:
        card = route.card
        stage = lifecycle(card, self._routes.day)
        return ListedModel(
            name=name,
            display_name=(card.display_name if name.lower() in (card.base, card.id) else "") or name,
            created_at=_seconds(card.released_on or UNKNOWN_RELEASE),
            released_on=card.released_on,
            lifecycle=stage,
            deprecated_on=None if stage == "active" else deprecation_day(card),
            retires_on=None if stage == "active" else retirement_day(card),
            max_input_tokens=card.context_window,
            max_output_tokens=card.max_output,
        )


def is_anthropic_client(headers: Mapping[bytes, bytes]) -> bool:
    """Whether Anthropic's API is spoken: its clients send ``anthropic-version``; some send only ``x-api-key``."""
    return b"anthropic-version" in headers or (b"x-api-key" in headers and b"authorization" not in headers)


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())

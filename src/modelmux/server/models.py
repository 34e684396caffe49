"""The model list, in the shape of whoever asks: OpenAI's, or Anthropic's for clients that speak that."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Page

from modelmux.catalog import ModelCard
from modelmux.errors import GatewayError, InvalidRequest
from modelmux.gateway.dated_routes import RoutesToday
from modelmux.routing.routes import Route
from modelmux.wire.anthropic.models import ErrorBody, ErrorReply, ModelInfo, ModelPage
from modelmux.wire.openai.common import Model, ModelList, encode

_MOST: Final = 1000  # a page of Anthropic's; all we have fits, so that is the default too
_UNKNOWN_DAY: Final = date(1970, 1, 1)


class ModelPages:
    """Lists what is served today: configured names and aliases, or the catalog where none is configured.

    :param started: Unix seconds to show as creation of a model whose launch nobody knows.
    """

    def __init__(self, routes: RoutesToday, started: int) -> None:
        self._routes = routes
        self._started = started

    def pages(self) -> list[Page]:
        """The same with and without /v1: some clients leave it out of the base URL."""
        return [
            page
            for prefix in ("/v1", "")
            for page in (Page(f"{prefix}/models", self._list), Page(f"{prefix}/models/{{name:path}}", self._one))
        ]

    async def _list(self, request: Request) -> Response:
        listed = self._routes.current.listed
        if not speaks_anthropic(request):
            models = [self._openai(name, route) for name, route in listed.items()]
            return _json(encode(ModelList(data=models)))
        try:
            return _json(encode(_page([_anthropic(name, route) for name, route in listed.items()], request)))
        except GatewayError as error:
            return _refusal(error)

    async def _one(self, request: Request) -> Response:
        name = request.path_params["name"]
        routes = self._routes.current
        try:
            route = routes.find(name)
        except GatewayError as error:
            if not speaks_anthropic(request):
                raise
            return _refusal(error)
        shown = next((known for known in routes.listed if known.lower() == name.lower()), name)
        found = _anthropic(shown, route) if speaks_anthropic(request) else self._openai(shown, route)
        return _json(encode(found))

    def _openai(self, name: str, route: Route) -> Model:
        launched = _card(route).released_on
        return Model(id=name, created=_seconds(launched) if launched else self._started)


def speaks_anthropic(request: Request) -> bool:
    """Anthropic's clients send their version; some only their kind of key."""
    headers = request.headers
    return "anthropic-version" in headers or ("x-api-key" in headers and "authorization" not in headers)


def _anthropic(name: str, route: Route) -> ModelInfo:
    card = _card(route)
    return ModelInfo(
        id=name,
        display_name=name,
        created_at=_instant(card.released_on or _UNKNOWN_DAY),
        lifecycle="active" if card.retires_on is None else "deprecated",
        retires_at=_instant(card.retires_on) if card.retires_on else None,
        max_input_tokens=card.context_window,
        max_tokens=card.max_output,
    )


def _page(models: list[ModelInfo], request: Request) -> ModelPage:
    """The part of the list that ``limit``, ``after_id`` and ``before_id`` ask for.

    :raises InvalidRequest: a limit that is none, or an id that is not in the list.
    """
    query = request.query_params
    limit = _limit(query.get("limit"))
    start, end = 0, len(models)
    ids = [model.id for model in models]
    if "after_id" in query:
        start = _position(query["after_id"], ids, "after_id") + 1
    if "before_id" in query:
        end = _position(query["before_id"], ids, "before_id")
        start = max(start, end - limit)
    shown = models[start:end][:limit]
    more = start > 0 if "before_id" in query else end - start > limit
    return ModelPage(
        data=shown,
        has_more=more,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
    )


def _limit(text: str | None) -> int:
    if text is None:
        return _MOST
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= _MOST):
        raise InvalidRequest(f"limit has to be a number from 1 to {_MOST}.", param="limit")
    return int(text)


def _position(id: str, ids: list[str], param: str) -> int:
    if id not in ids:
        raise InvalidRequest(f"{param} names no model of this list.", param=param)
    return ids.index(id)


def _refusal(error: GatewayError) -> Response:
    kind = "not_found_error" if error.status == 404 else "invalid_request_error"
    body = encode(ErrorReply(error=ErrorBody(type=kind, message=error.public_message)))
    return Response(body, error.status, media_type="application/json")


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _card(route: Route) -> ModelCard:
    return route.deployments[0].card


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _instant(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"

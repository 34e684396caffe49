"""The models that a caller's key may use: a route is allowed by its own name, or as far as its models are."""

from __future__ import annotations

from modelmux.accounts.access import allowed_models
from modelmux.dialects.base import Caller
from modelmux.errors import NotPermitted
from modelmux.routing.model import Route


def permitted_route(route: Route, caller: Caller) -> Route:
    """The route with the deployments that the caller may use.

    :raises NotPermitted: none of them.
    """
    allowed = allowed_models(caller.models, route.name, (card.id for card in route.models))
    if allowed is None:
        return route
    permitted = route.limited_to(one for one in route.deployments if one.card.id in allowed)
    if not permitted.deployments:
        raise NotPermitted(
            f"This API key may not use the model {route.name!r}.",
            param="model",
            hint=f"It may use {', '.join(caller.models)}.",
        )
    return permitted


def may_use(route: Route, caller: Caller) -> bool:
    """Whether the caller may use a route, or a part of it."""
    if not caller.models:
        return True
    allowed = allowed_models(caller.models, route.name, (card.id for card in route.models))
    return allowed is None or bool(allowed)

"""The routes that a key may use, as far as it may: the one decision about models, for requests, lists and new keys.

A pattern of a key stands for the routes and models whose names it matches, and for the targets of aliases that it
matches. A route is allowed by its own name, or as far as its models are. Its fallbacks are routes of their own: each is
used as far as the key may use it, and only a key that may use something of the route itself may ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modelmux.accounts.access import allowed_models
from modelmux.accounts.name_pattern import matches_any
from modelmux.config.accounts_entries import KeyConfig
from modelmux.routing.model import Route
from modelmux.routing.routes import Routes


def permitted_route(routes: Routes, name: str, patterns: Iterable[str]) -> Route | None:
    """The route of a requested name with the deployments that a key may use.

    :param patterns: those of the key; not empty.
    :returns: None if it may use none of the route's own, or no route serves the name.
    """
    resolved = _resolved(routes, tuple(patterns))
    own = routes.find_own(name)
    permitted = None if own is None else _limited(own, resolved)
    if own is None or permitted is None:
        return None
    fallbacks = (_limited(target, resolved) for _, target in routes.fallbacks(own) if target is not None)
    return permitted.with_fallbacks(target for target in fallbacks if target is not None)


def may_use(routes: Routes, name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a key may use a route, or a part of it. :param patterns: those of the key; empty for all."""
    return not patterns or permitted_route(routes, name, patterns) is not None


def unmatched_patterns(routes: Routes, patterns: Iterable[str]) -> list[str]:
    """Those patterns by which a key may use nothing today."""
    names = dict.fromkeys([*routes.all_names, *(deployment.card.id for deployment in routes.deployments)])
    return [one for one in patterns if not any(permitted_route(routes, name, (one,)) for name in names)]


def key_warnings(routes: Routes, keys: Sequence[KeyConfig]) -> list[str]:
    """A sentence for each key of the configuration with models by which it may use nothing today."""
    unmatched = (unmatched_patterns(routes, dict.fromkeys(key.models)) for key in keys)
    return [
        f"accounts.keys[{index}].models: nothing that this configuration serves is called {', '.join(names)}"
        for index, names in enumerate(unmatched)
        if names
    ]


def _resolved(routes: Routes, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns, with the targets of the aliases that they match."""
    return (*patterns, *(target for alias, target in routes.alias_targets.items() if matches_any(alias, patterns)))


def _limited(route: Route, patterns: tuple[str, ...]) -> Route | None:
    """A part of a route; None if nothing of it is allowed."""
    allowed = allowed_models(patterns, route.name, (card.id for card in route.models))
    if allowed is None:
        return route
    deployments = [one for one in route.deployments if one.card.id in allowed]
    return route.limited_to(deployments) if deployments else None

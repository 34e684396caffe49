"""Where tokens may be counted: only few locations do it, and no call leaves the geography of its route."""

from __future__ import annotations

from modelmux.catalog import locations
from modelmux.catalog.locations import GLOBAL
from modelmux.routing.geography import contains
from modelmux.routing.model import Route


def other_count_locations(route: Route, own: str) -> list[str]:
    """The locations to ask if a deployment's own location does not count tokens, the most probable ones first.

    A route without a geography stays in that of the deployment's location. A call to ``global`` may be processed
    anywhere, so it may be counted anywhere.

    :param own: the deployment's location; "" if it is not known, which allows no other.
    """
    facts = locations()
    if not own:
        return []
    if route.geographies:
        return [location for location in facts.count_tokens_locations if location != own and route.allows(location)]
    named = [name for name in facts.geographies if contains(name, own, facts)]
    required = [] if own == GLOBAL else named or [own.partition("-")[0]]
    return [
        location
        for location in facts.count_tokens_locations
        if location != own and all(contains(geography, location, facts) for geography in required)
    ]

"""Declared geographies against the configured deployments: none may be outside (law 10).

A URL counts with all the locations it names: the one in its path and, for Google's hosts, the one of the host. A URL
that names none is outside every geography.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from modelmux.catalog import ModelCard, location_in_path, location_of_host
from modelmux.catalog import locations as catalog_locations
from modelmux.config.locations import ConfiguredLocation
from modelmux.routing.geography import closest_match, contains, locations_in
from modelmux.routing.model import Deployment, Route

#: Most locations that a message suggests.
_MAX_SUGGESTIONS: Final = 4


def geography_problem(geography: str | None) -> str | None:
    """What is wrong with a declared geography; None if nothing is."""
    if geography is None or locations_in(geography, catalog_locations()):
        return None
    known = catalog_locations()
    prefixes = dict.fromkeys(region.partition("-")[0] for region in known.regions)
    near = closest_match(geography, [*known.geographies, *prefixes])
    advice = f"did you mean {near!r}?" if near else "use us, eu or a prefix of region names, such as asia"
    return f"{geography!r} is not a geography; {advice}"


def violations(route: Route) -> Iterator[str]:
    """Where a route leaves its geographies, a sentence each."""
    for geography in route.geographies:
        for deployment in route.deployments:
            yield from _violations(deployment, geography)


def is_inside(deployments: Iterable[Deployment], geographies: Iterable[str]) -> bool:
    """Whether all deployments are in all geographies, by every location their URLs name."""
    declared = list(geographies)
    return not any(True for d in deployments for geography in declared for _ in _violations(d, geography))


def _violations(deployment: Deployment, geography: str) -> Iterator[str]:
    path = location_in_path(deployment.url)
    if path is None:
        yield f"the geography {geography} is declared, but its URL names no location; set the complete resource URL"
        return
    host = location_of_host(deployment.url)
    for location in dict.fromkeys([path, *([host] if host else [])]):
        if not contains(geography, location, catalog_locations()):
            yield f"{location} is outside the geography {geography}; use {suggestions(geography, deployment.card)}"


def default_violations(location: ConfiguredLocation, geography: str | None) -> list[str]:
    """The same for the models without an entry, which are served from the common location."""
    if geography is None or not locations_in(geography, catalog_locations()):
        return []
    names = dict.fromkeys((location.location, location.region))
    outside = [name for name in names if not contains(geography, name, catalog_locations())]
    return [
        f"vertex.geography: models without an entry are served from {name}, which is outside the geography "
        f"{geography}; set vertex.location to {suggestions(geography)}"
        for name in outside
    ]


def suggestions(geography: str, card: ModelCard | None = None) -> str:
    """A few locations in a geography that serve a model, as text."""
    served = [name for name in locations_in(geography, catalog_locations()) if card is None or card.served_in(name)]
    return _some(served) if served else "another model: no location in it serves this one"


def _some(words: Sequence[str]) -> str:
    more = ["another of its regions"] if len(words) > _MAX_SUGGESTIONS else []
    shown = [*words[:_MAX_SUGGESTIONS], *more]
    return f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else shown[0]

"""Declared geographies against the places that are configured: nothing may lie outside (law 10).

A URL counts with all that it says of its place: the location in its path and, for Google's hosts, the host's. One that
says nothing lies nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from modelmux.catalog import ModelCard, location_in_path, location_of_host
from modelmux.catalog import locations as facts
from modelmux.config.locations import Place
from modelmux.routing.geography import closest_match, contains, locations_in
from modelmux.routing.model import Deployment, Route


def geography_problem(geography: str | None) -> str | None:
    """What is wrong with a word that should be a geography; None where nothing is."""
    if geography is None or locations_in(geography, facts()):
        return None
    known = facts()
    prefixes = dict.fromkeys(region.partition("-")[0] for region in known.regions)
    near = closest_match(geography, [*known.geographies, *prefixes])
    meant = f"did you mean {near!r}?" if near else "use us, eu or the beginning of a region's name, such as asia"
    return f"{geography!r} is no geography; {meant}"


def escapes(route: Route) -> Iterator[str]:
    """Where a route leaves its geographies, a sentence each."""
    for geography in route.geographies:
        for deployment in route.deployments:
            yield from _escapes(deployment, geography)


def stays_inside(deployments: Iterable[Deployment], geographies: Iterable[str]) -> bool:
    """Whether all of some deployments lie in all of some geographies, by everything their URLs say."""
    fences = list(geographies)
    return not any(True for d in deployments for geography in fences for _ in _escapes(d, geography))


def _escapes(deployment: Deployment, geography: str) -> Iterator[str]:
    path = location_in_path(deployment.url)
    if path is None:
        yield f"the geography {geography} is declared, and no location can be read from its URL; give the resource URL"
        return
    host = location_of_host(deployment.url)
    for location in dict.fromkeys([path, *([host] if host else [])]):
        if not contains(geography, location, facts()):
            yield f"{location} lies outside the geography {geography}; use {right_places(geography, deployment.card)}"


def default_escapes(place: Place, geography: str | None) -> list[str]:
    """The same for the models that have no entry and are served from the common place."""
    if geography is None or not locations_in(geography, facts()):
        return []
    names = dict.fromkeys((place.location, place.region))
    wrong = [name for name in names if not contains(geography, name, facts())]
    return [
        f"vertex.geography: models without an entry of their own are served from {name}, which lies outside the "
        f"geography {geography}; set vertex.location to {right_places(geography)}"
        for name in wrong
    ]


def right_places(geography: str, card: ModelCard | None = None) -> str:
    """Locations in a geography, at most a few, that serve a model."""
    every = locations_in(geography, facts())
    served = [name for name in every if card is None or card.served_in(name)]
    return _some(served) if served else "another model: this one is served nowhere in it"


def _some(words: Sequence[str], most: int = 4) -> str:
    shown = [*words[:most], *(["another of its regions"] if len(words) > most else [])]
    return f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else shown[0]

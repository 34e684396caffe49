"""One model's settings -> its deployments: which project, which location, which host, which URL.

A table that sets ``region`` or ``location`` sets both. Where it sets both and they differ, ``location`` stands in the
path and ``region`` chooses the host, as in the 1.x program (``route_warnings`` speaks of it). A table that sets neither
takes both from the one above it. No decisions about names or geographies here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from modelmux.catalog import WIDE_LOCATIONS, Catalog, ModelCard, location_in_path, location_of_host, project_in_path
from modelmux.catalog import locations as facts
from modelmux.config.schema import Vertex, VertexDeployment, VertexModel
from modelmux.routing.geography import closest_match
from modelmux.routing.model import Deployment
from modelmux.wire.google import vertex as wire

_ANY: Final = "global, us, eu or a region such as europe-west1"


class Place(Struct, frozen=True):
    """Where a model is called.

    :param location: in the path of the URL.
    :param region: chooses the host.
    """

    location: str
    region: str


def place_of(table: Vertex | VertexModel) -> Place | None:
    """What a table says of the place; None if it says nothing."""
    location, region = table.location or table.region, table.region or table.location
    return Place(location, region) if location and region else None


def deployments_of(
    model: VertexModel, vertex: Vertex, catalog: Catalog, *, check_location: bool = True
) -> tuple[tuple[Deployment, ...], list[str]]:
    """All places that serve a model, and what is wrong with them, each problem with the model's name."""
    where = f"vertex.models {model.name!r}"
    problems = _contradictions(model)
    asked = model.model or (model_in(model.url) if model.url else None) or vertex.model or model.name
    made: list[Deployment] = []
    for entry, label in _entries(model):
        card = catalog.card(entry.model or (model_in(entry.url) if entry.url and not model.model else None) or asked)
        place = Place(entry.location, entry.location) if entry.location else place_of(model) or place_of(vertex)
        if entry.url:
            deployment = _by_url(model.name, wire.strip_verb(entry.url), card)
            found = _misplaced(card, location_of_host(entry.url)) if check_location else []
        else:
            project = entry.project or model.project or vertex.project
            found = [] if project else ["no Google Cloud project is set"]
            found += [] if place else ["no location is set"]
            if place and check_location:
                inherited = not entry.location and place_of(model) is None
                found += _misplaced(card, *_distinct(place), told=_unknown(vertex) if inherited else [])
            deployment = _by_parts(model, vertex, card, project or "", place or Place("", ""))
        problems += [f"{where}{label}: {problem}" for problem in found]
        most = model.max_in_flight if entry.max_in_flight is None else entry.max_in_flight
        made.append(replace(deployment, weight=entry.weight, order=entry.order, max_in_flight=most))
    problems += [f"{where}: one name is served by one model, not by {_listed(ids)}; give each a name of its own"
                 for ids in [sorted({deployment.card.id for deployment in made})] if len(ids) > 1]  # fmt: skip
    return _told_apart(made), problems


def _contradictions(model: VertexModel) -> list[str]:
    both = [key for key in ("url", "locations") if model.deployments and getattr(model, key)]
    both += ["locations"] if model.url and model.locations and not model.deployments else []
    other = "deployments" if model.deployments else "url"
    return [f"vertex.models {model.name!r}: {key} and {other} are both set; remove one" for key in both]


def _entries(model: VertexModel) -> Iterator[tuple[VertexDeployment, str]]:
    """The places of a model as entries of ``deployments``, with what tells them apart in a message."""
    if model.deployments:
        for index, entry in enumerate(model.deployments):
            yield entry, f" deployments[{index}]"
    elif model.url:
        yield VertexDeployment(url=model.url), ""
    elif model.locations:  # tried in this order
        for index, location in enumerate(model.locations):
            yield VertexDeployment(location=location, order=index), ""
    else:
        yield VertexDeployment(), ""


def _by_url(name: str, url: str, card: ModelCard) -> Deployment:
    return Deployment(f"{name}@url", url, project_in_path(url) or "", location_in_path(url) or "", card)


def _by_parts(model: VertexModel, vertex: Vertex, card: ModelCard, project: str, place: Place) -> Deployment:
    path = wire.model_path(project, place.location, model.publisher or vertex.publisher, card.id)
    base = vertex.base_url.rstrip("/").removesuffix("/v1") if vertex.base_url else wire.base_url(place.region)
    return Deployment(f"{model.name}@{place.location}", base + path, project, place.location, card)


def _told_apart(deployments: list[Deployment]) -> tuple[Deployment, ...]:
    """Every id once: two projects in one location would else be one in logs and metrics."""
    seen: dict[str, int] = {}
    apart = []
    for deployment in deployments:
        number = seen[deployment.id] = seen.get(deployment.id, 0) + 1
        apart.append(deployment if number == 1 else replace(deployment, id=f"{deployment.id}#{number}"))
    return tuple(apart)


def _distinct(place: Place) -> list[str]:
    return list(dict.fromkeys((place.location, place.region)))


def _misplaced(card: ModelCard, *locations: str | None, told: list[str] | tuple[str, ...] = ()) -> list[str]:
    """Locations that do not serve a model, each with those that do; but for what was ``told`` already."""
    problems = []
    for location in locations:
        if location is None or location in told or (card.served_in(location) and _known(location, card)):
            continue
        if _known(location, card):
            problems.append(f"{card.id} is not served in {location}; use {where_served(card)}")
            continue
        near = closest_match(location, [name for name in facts().names if card.served_in(name)])
        meant = f"did you mean {near!r}?" if near else f"use {where_served(card)}"
        problems.append(f"{location!r} is no location of Vertex AI; {meant}")
    return problems


def _known(location: str, card: ModelCard) -> bool:
    """Whether it is a location; an operator's card may name newer regions than our list."""
    return location in facts().names or location in (card.regions or ())


def _unknown(vertex: Vertex) -> list[str]:
    place = place_of(vertex)
    return [name for name in _distinct(place) if name not in facts().names] if place else []


def default_problems(vertex: Vertex, catalog: Catalog) -> list[str]:
    """What is wrong with the place that is common to all models."""
    every = [region for card in catalog.cards for region in card.regions or ()]
    problems = []
    for name in _unknown(vertex):
        if name in every:
            continue
        key = "location" if name == vertex.location else "region"
        near = closest_match(name, facts().names)
        meant = f"did you mean {near!r}?" if near else f"use {_ANY}"
        problems.append(f"vertex.{key}: {name!r} is no location of Vertex AI; {meant}")
    return problems


def where_served(card: ModelCard) -> str:
    """The locations that serve a model, for people."""
    regions = list(card.regions or ()) if card.regional else []
    return _listed([*WIDE_LOCATIONS, *(["a region"] if card.regional and card.regions is None else regions)], "or")


def _listed(words: list[str], last: str = "and") -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def model_in(url: str) -> str:
    """The model at the end of a resource URL."""
    return wire.strip_verb(url).rpartition("/")[2]

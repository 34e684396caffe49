"""One model's settings -> its deployments: which project, which location, which host, which URL.

A table that sets ``region`` or ``location`` sets both. If it sets both and they differ, the path has ``location`` and
``region`` selects the host, as in the 1.x program (``routing.warnings`` reports it). A table that sets neither inherits
both from the table above it. Not in this module: decisions about names and geographies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from modelmux.catalog import (
    MULTI_REGION_LOCATIONS,
    Catalog,
    ModelCard,
    location_in_path,
    location_of_host,
    project_in_path,
)
from modelmux.catalog import locations as catalog_locations
from modelmux.config.schema import VertexConfig, VertexDeployment, VertexModel
from modelmux.routing.geography import closest_match
from modelmux.routing.model import Deployment
from modelmux.wire.google import vertex as wire

_ANY: Final = "global, us, eu or a region such as europe-west1"


class ConfiguredLocation(Struct, frozen=True):
    """Where a model is called.

    :param location: in the path of the URL.
    :param region: selects the host.
    """

    location: str
    region: str


def location_of(table: VertexConfig | VertexModel) -> ConfiguredLocation | None:
    """The location that a table sets; None if it sets none."""
    location, region = table.location or table.region, table.region or table.location
    return ConfiguredLocation(location, region) if location and region else None


def deployments_of(
    model: VertexModel, vertex: VertexConfig, catalog: Catalog, *, check_location: bool = True
) -> tuple[tuple[Deployment, ...], list[str]]:
    """All deployments of an entry, and the problems with them, each with the entry's name.

    The id of a deployment names its model where that is not the first one's: ``fast@global``,
    ``fast/claude-haiku-4-5@global``.
    """
    where = f"vertex.models {model.name!r}"
    problems = _contradictions(model)
    default_id = model.model or (model_in(model.url) if model.url else None) or vertex.model or model.name
    deployments: list[Deployment] = []
    for entry, label in _entries(model):
        own_id = entry.model or (model_in(entry.url) if entry.url and not model.model else None)
        card = catalog.card(own_id or default_id)
        is_first_model = not deployments or card.id == deployments[0].card.id
        prefix = model.name if is_first_model else f"{model.name}/{card.base}"
        location = _own_location(entry) or location_of(model) or location_of(vertex)
        if entry.url:
            deployment = _by_url(prefix, wire.strip_verb(entry.url), card)
            entry_problems = _misplaced(card, [location_of_host(entry.url)]) if check_location else []
        else:
            project = entry.project or model.project or vertex.project
            entry_problems = [] if project else ["no Google Cloud project is set"]
            entry_problems += [] if location else ["no location is set"]
            if location and check_location:
                inherited = not entry.location and location_of(model) is None
                entry_problems += _misplaced(card, _distinct(location), ignore=_unknown(vertex) if inherited else [])
            deployment = _by_parts(
                prefix, model.publisher or vertex.publisher, vertex, card, project or "",
                location or ConfiguredLocation("", ""),
            )  # fmt: skip
        problems += [f"{where}{label}: {problem}" for problem in entry_problems]
        limit = model.max_in_flight if entry.max_in_flight is None else entry.max_in_flight
        deployments.append(replace(deployment, weight=entry.weight, order=entry.order, max_in_flight=limit))
    return _with_unique_ids(deployments), problems


def _own_location(entry: VertexDeployment) -> ConfiguredLocation | None:
    return ConfiguredLocation(entry.location, entry.location) if entry.location else None


def _contradictions(model: VertexModel) -> list[str]:
    both = [key for key in ("url", "locations") if model.deployments and getattr(model, key)]
    both += ["locations"] if model.url and model.locations and not model.deployments else []
    other = "deployments" if model.deployments else "url"
    return [f"vertex.models {model.name!r}: {key} and {other} are both set; remove one" for key in both]


def _entries(model: VertexModel) -> Iterator[tuple[VertexDeployment, str]]:
    """A model's locations as entries of ``deployments``, each with a label for messages."""
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


def _by_url(prefix: str, url: str, card: ModelCard) -> Deployment:
    return Deployment(f"{prefix}@url", url, project_in_path(url) or "", location_in_path(url) or "", card)


def _by_parts(
    prefix: str, publisher: str, vertex: VertexConfig, card: ModelCard, project: str, location: ConfiguredLocation
) -> Deployment:
    path = wire.model_path(project, location.location, publisher, card.id)
    base = vertex.base_url.rstrip("/").removesuffix("/v1") if vertex.base_url else wire.base_url(location.region)
    return Deployment(f"{prefix}@{location.location}", base + path, project, location.location, card)


def _with_unique_ids(deployments: list[Deployment]) -> tuple[Deployment, ...]:
    """Without a suffix, two projects in one location would be one deployment in logs and metrics."""
    seen: dict[str, int] = {}
    unique = []
    for deployment in deployments:
        number = seen[deployment.id] = seen.get(deployment.id, 0) + 1
        unique.append(deployment if number == 1 else replace(deployment, id=f"{deployment.id}#{number}"))
    return tuple(unique)


def _distinct(location: ConfiguredLocation) -> list[str]:
    return list(dict.fromkeys((location.location, location.region)))


def _misplaced(card: ModelCard, locations: Collection[str | None], ignore: Collection[str] = ()) -> list[str]:
    """Locations that do not serve a model, each with those that do.

    :param ignore: locations whose problem is reported elsewhere.
    """
    problems = []
    for location in locations:
        if location is None or location in ignore or (card.served_in(location) and _known(location, card)):
            continue
        if _known(location, card):
            problems.append(f"{card.id} is not served in {location}; use {where_served(card)}")
            continue
        near = closest_match(location, [name for name in catalog_locations().names if card.served_in(name)])
        advice = f"did you mean {near!r}?" if near else f"use {where_served(card)}"
        problems.append(f"{location!r} is not a location of Vertex AI; {advice}")
    return problems


def _known(location: str, card: ModelCard) -> bool:
    """Whether it is a location; an operator's card may name newer regions than our list."""
    return location in catalog_locations().names or location in (card.regions or ())


def _unknown(vertex: VertexConfig) -> list[str]:
    location = location_of(vertex)
    return [name for name in _distinct(location) if name not in catalog_locations().names] if location else []


def default_problems(vertex: VertexConfig, catalog: Catalog) -> list[str]:
    """What is wrong with the location common to all models."""
    regions = [region for card in catalog.cards for region in card.regions or ()]
    problems = []
    for name in _unknown(vertex):
        if name in regions:
            continue
        key = "location" if name == vertex.location else "region"
        near = closest_match(name, catalog_locations().names)
        advice = f"did you mean {near!r}?" if near else f"use {_ANY}"
        problems.append(f"vertex.{key}: {name!r} is not a location of Vertex AI; {advice}")
    return problems


def where_served(card: ModelCard) -> str:
    """The locations that serve a model, for people."""
    regions = list(card.regions or ()) if card.regional else []
    some_region = ["a region"] if card.regional and card.regions is None else regions
    return _listed([*MULTI_REGION_LOCATIONS, *some_region], "or")


def _listed(words: list[str], last: str = "and") -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def model_in(url: str) -> str:
    """The model at the end of a resource URL."""
    return wire.strip_verb(url).rpartition("/")[2]

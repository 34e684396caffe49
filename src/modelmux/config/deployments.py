"""Settings -> routes: which names are served, by which model, where."""

from __future__ import annotations

from typing import Final

from modelmux.catalog import Catalog, ModelCard
from modelmux.config.load import ConfigError
from modelmux.config.schema import Config, Vertex, VertexModel
from modelmux.routing.resolve import Deployment, Route, Routes
from modelmux.translate.context import Options
from modelmux.wire import vertex as wire

_WHERE: Final = (
    "`modelmux config init` writes a configuration; or set vertex.project and vertex.location (VERTEX_PROJECT and "
    "VERTEX_LOCATION in the environment). `modelmux demo` needs neither."
)


def build_routes(config: Config, catalog: Catalog) -> Routes:
    """All routes of a configuration.

    :raises ConfigError: a model without project or location, two models with one name, a model that is not served in
        its region, or nothing to serve at all. All problems at once.
    """
    vertex = config.vertex
    problems: list[str] = []
    routes: list[Route] = []
    for model in _models(vertex, catalog):
        try:
            routes.append(_route(model, vertex, catalog))
        except ConfigError as error:
            problems += error.problems
    names = [route.name.lower() for route in routes]
    problems += [f"vertex.models: the name {n!r} is used twice" for n in dict.fromkeys(names) if names.count(n) > 1]
    if problems:
        raise ConfigError(problems, hint=_WHERE if any(p.endswith(" is set") for p in problems) else None)
    location = _default_location(vertex)
    anywhere = vertex.project is not None and location is not None
    if not routes and not anywhere:
        raise ConfigError(["no model can be served: no Google Cloud project and location are set"], hint=_WHERE)

    def for_catalog(card: ModelCard) -> Route:
        return _route(VertexModel(name=card.base, model=card.id), vertex, catalog, check_location=False)

    default = next((r for r in routes if vertex.model or vertex.url), None)
    return Routes(
        routes,
        catalog=catalog,
        fallback=default if vertex.fallback_to_default else None,
        for_catalog=for_catalog if anywhere else None,
    )


def _models(vertex: Vertex, catalog: Catalog) -> list[VertexModel]:
    """The default model, if any, then the listed ones."""
    if vertex.url:
        model = vertex.model or _model_in(vertex.url)
        return [
            VertexModel(name=vertex.display_name or _display_name(model), model=model, url=vertex.url),
            *vertex.models,
        ]
    if vertex.model:
        card = catalog.find(vertex.model)
        name = vertex.display_name or _display_name(vertex.model)
        return [VertexModel(name=name, model=card.id if card else vertex.model), *vertex.models]
    return vertex.models


def _display_name(model: str) -> str:
    return model.partition("@")[0]


def _model_in(url: str) -> str:
    return wire.strip_verb(url).rpartition("/")[2]


def _default_location(vertex: Vertex) -> str | None:
    return vertex.location or vertex.region


def _route(model: VertexModel, vertex: Vertex, catalog: Catalog, *, check_location: bool = True) -> Route:
    where = f"vertex.models {model.name!r}"
    asked = model.model or (_model_in(model.url) if model.url else None) or vertex.model or model.name
    card = catalog.card(asked)
    if model.url:
        deployment = Deployment(f"{model.name}@url", wire.strip_verb(model.url), "", "", card)
        return Route(model.name, (deployment,), _options(model, vertex))
    project = model.project or vertex.project
    own = model.location or model.region
    locations = model.locations or ([own] if own else []) or [place for place in [_default_location(vertex)] if place]
    problems = []
    if not project:
        problems.append(f"{where}: no Google Cloud project is set")
    if not locations:
        problems.append(f"{where}: no location is set")
    if check_location:
        problems += [
            f"{where}: {card.id} is not served in {location}; use global, us or eu"
            for location in locations
            if not card.served_in(location)
        ]
    if problems or not project:
        raise ConfigError(problems)
    publisher = model.publisher or vertex.publisher
    deployments = tuple(
        Deployment(
            f"{model.name}@{location}",
            _base(vertex, location) + wire.model_path(project, location, publisher, card.id),
            project,
            location,
            card,
        )
        for location in locations
    )
    return Route(model.name, deployments, _options(model, vertex))


def _options(model: VertexModel, vertex: Vertex) -> Options:
    return Options(
        forced_tool_choice=model.forced_tool_choice or vertex.forced_tool_choice,
        prefill=model.prefill or vertex.prefill,
        caching=vertex.caching if model.caching is None else model.caching,
    )


def _base(vertex: Vertex, location: str) -> str:
    if vertex.base_url:
        return vertex.base_url.rstrip("/").removesuffix("/v1")
    return wire.base_url(location)

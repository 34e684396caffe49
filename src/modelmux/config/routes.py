"""Settings -> routes: which names are served, by which model, where. Puts together what the neighbours find out:
``places.py`` (project, location, URL), ``fences.py`` (geographies), ``aliases.py`` (further names)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final

from modelmux.catalog import Catalog, ModelCard, location_of_host
from modelmux.claude.options import Options
from modelmux.config.aliases import alias_problems, read_aliases, succession_problems
from modelmux.config.geography_check import default_escapes, escapes, geography_problem
from modelmux.config.load import ConfigError
from modelmux.config.locations import Place, default_problems, deployments_of, model_in, place_of, where_served
from modelmux.config.schema import Config, Vertex, VertexModel
from modelmux.config.timeouts import build_timeouts
from modelmux.routing.model import Route
from modelmux.routing.routes import Routes

_WHERE: Final = (
    "`modelmux config init` writes a configuration; or set vertex.project and vertex.location (VERTEX_PROJECT and "
    "VERTEX_LOCATION in the environment). `modelmux demo` needs neither."
)


def build_routes(config: Config, catalog: Catalog, *, today: date | None = None) -> Routes:
    """All routes of a configuration.

    :param today: the day the aliases are resolved for; the present one (UTC) if not given.
    :raises ConfigError: a model without project or location, a name used twice, a model that is not served in its
        region, an alias that leads nowhere, a place outside its geography, or nothing to serve at all. All problems at
        once.
    """
    vertex = config.vertex
    models = _models(vertex, catalog)
    place = place_of(vertex)
    common = place if vertex.project is not None else None
    problems = [*default_problems(vertex, catalog), *_geographies(vertex, models, common)]
    routes: list[Route] = []
    for model in models:
        route, found = _route(model, config, catalog)
        problems += found
        routes.append(route)
    problems += alias_problems(models, config.aliases, catalog, _unserved(routes, common, catalog))
    if problems:
        raise ConfigError(problems, hint=_WHERE if any(p.endswith(" is set") for p in problems) else None)
    if not routes and common is None:
        raise ConfigError(["no model can be served: no Google Cloud project and location are set"], hint=_WHERE)
    default = next((r for r in routes if vertex.model or vertex.url), None)
    made = Routes(
        routes,
        catalog=catalog,
        fallback=default if vertex.fallback_to_default else None,
        catalog_route=_maker(config, catalog) if common is not None else None,
        aliases=read_aliases(models, config.aliases),
        day=today or datetime.now(UTC).date(),
    )
    problems = succession_problems(made)
    if problems:
        raise ConfigError(problems)
    return made


def _models(vertex: Vertex, catalog: Catalog) -> list[VertexModel]:
    """The default model, if any, then the listed ones."""
    if vertex.url:
        model = vertex.model or model_in(vertex.url)
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


def _route(
    model: VertexModel, config: Config, catalog: Catalog, *, check_location: bool = True
) -> tuple[Route, list[str]]:
    """A model's route, and what is wrong with it."""
    vertex = config.vertex
    deployments, problems = deployments_of(model, vertex, catalog, check_location=check_location)
    geographies = tuple(dict.fromkeys(filter(None, (vertex.geography, model.geography))))
    clocks = build_timeouts(config, model.timeouts)
    route = Route(model.name, deployments, _options(model, vertex), geographies, clocks)
    if not problems and all(geography_problem(geography) is None for geography in geographies):
        problems = [f"vertex.models {model.name!r}: {problem}" for problem in escapes(route)]
    return route, problems


def _maker(config: Config, catalog: Catalog) -> Callable[[ModelCard], Route]:
    """Routes for the models of the catalog that have no entry, from the common place."""

    def make(card: ModelCard) -> Route:
        return _route(VertexModel(name=card.base, model=card.id), config, catalog, check_location=False)[0]

    return make


def _geographies(vertex: Vertex, models: list[VertexModel], common: Place | None) -> list[str]:
    """Words that are no geography, and a common place outside the common one."""
    given = [("vertex.geography", vertex.geography)]
    given += [(f"vertex.models {model.name!r}", model.geography) for model in models]
    problems = [f"{where}: {problem}" for where, word in given if (problem := geography_problem(word))]
    if common is not None:
        host = location_of_host(vertex.base_url) or common.location if vertex.base_url else common.region
        problems += default_escapes(Place(common.location, host), vertex.geography)
    return problems


def _unserved(routes: list[Route], common: Place | None, catalog: Catalog) -> Callable[[str], str | None]:
    """Says why a model of the catalog cannot be served here; None where it can."""
    configured = {deployment.card.id for route in routes for deployment in route.deployments}

    def why(model: str) -> str | None:
        card = catalog.card(model)
        if model in configured:
            return None
        if common is None:
            return f"{model} has no entry in vertex.models, and vertex.project and vertex.location are not both set"
        if not card.served_in(common.location):
            return (
                f"{model} is not served in {common.location}, the common location; give it an entry in vertex.models "
                f"with one of {where_served(card)}"
            )
        return None

    return why


def _options(model: VertexModel, vertex: Vertex) -> Options:
    return Options(
        forced_tool_choice=model.forced_tool_choice or vertex.forced_tool_choice,
        prefill=model.prefill or vertex.prefill,
        caching=vertex.caching if model.caching is None else model.caching,
    )

"""Settings -> routes: which names are served, by which model, where.

It combines ``locations.py`` (project, location, URL), ``geography_check.py`` and ``aliases.py`` (further names).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

from msgspec.structs import replace

from modelmux.catalog import Catalog, ModelCard, location_of_host
from modelmux.claude.options import Options
from modelmux.config.aliases import WhyNotServed, alias_problems, read_aliases, succession_problems
from modelmux.config.errors import ConfigError
from modelmux.config.fallbacks import fallback_problems, useless_fallbacks
from modelmux.config.geography_check import default_violations, geography_problem, violations
from modelmux.config.locations import (
    ConfiguredLocation,
    default_problems,
    deployments_of,
    location_of,
    model_in,
    where_served,
)
from modelmux.config.schema import Config, VertexConfig, VertexModel
from modelmux.config.timeouts import build_timeouts
from modelmux.routing.model import Route
from modelmux.routing.routes import Routes

#: What to do where a project, a location, or both are missing.
_INIT: Final = "`modelmux config init` writes a configuration; or set "
_HINT_BOTH: Final = (
    f"{_INIT}vertex.project and vertex.location (VERTEX_PROJECT and VERTEX_LOCATION in the environment). "
    "`modelmux demo` needs neither."
)
_HINT_PROJECT: Final = f"{_INIT}vertex.project (VERTEX_PROJECT in the environment). `modelmux demo` needs none."
_HINT_LOCATION: Final = f"{_INIT}vertex.location (VERTEX_LOCATION in the environment). `modelmux demo` needs none."


def build_routes(config: Config, catalog: Catalog, today: date) -> Routes:
    """All routes of a configuration.

    :param today: the day for which aliases are resolved, and on which retired models are not offered.
    :raises ConfigError: a model without project or location, a name used twice, a model that is not served in its
        region, an alias or a fallback without a target, a deployment outside its geography, or nothing to serve. All
        problems at once.
    """
    vertex = config.vertex
    models = _models(vertex, catalog)
    common = location_of(vertex) if vertex.project is not None else None
    problems = [*default_problems(vertex, catalog), *_geographies(vertex, models, common)]
    routes: list[Route] = []
    for model in models:
        route, route_problems = _route(model, config, catalog)
        problems += route_problems
        routes.append(route)
    why_not_served = _why_not_served(routes, common, catalog)
    problems += alias_problems(models, config.aliases, catalog, why_not_served)
    problems += fallback_problems(models, config.aliases, catalog, why_not_served)
    if problems:
        raise ConfigError(problems, hint=_hint(vertex) if any(p.endswith(" is set") for p in problems) else None)
    if not routes and common is None:
        raise ConfigError([_nothing_to_serve(vertex)], hint=_hint(vertex))
    built = _assemble(routes, config, catalog, today)
    problems = [*succession_problems(built), *useless_fallbacks(built, today)]
    if problems:
        raise ConfigError(problems)
    if config.retries.max == 0:  # falling back would be a retry
        return _assemble([replace(route, fallbacks=()) for route in routes], config, catalog, today)
    return built


def _nothing_to_serve(vertex: VertexConfig) -> str:
    if vertex.project is not None:
        return "no model can be served: no location is set"
    if location_of(vertex) is not None:
        return "no model can be served: no Google Cloud project is set"
    return "no model can be served: no Google Cloud project and location are set"


def _hint(vertex: VertexConfig) -> str:
    if vertex.project is not None:
        return _HINT_LOCATION
    return _HINT_PROJECT if location_of(vertex) is not None else _HINT_BOTH


def _assemble(routes: list[Route], config: Config, catalog: Catalog, day: date) -> Routes:
    vertex = config.vertex
    default = next((r for r in routes if vertex.model or vertex.url), None)
    has_common_location = location_of(vertex) is not None and vertex.project is not None
    return Routes(
        routes,
        catalog=catalog,
        default_route=default if vertex.default_for_unknown_models else None,
        catalog_route=_catalog_route_factory(config, catalog) if has_common_location else None,
        aliases=read_aliases(_models(vertex, catalog), config.aliases),
        day=day,
    )


def _models(vertex: VertexConfig, catalog: Catalog) -> list[VertexModel]:
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
    timeouts = build_timeouts(config, model.timeouts)
    options, fallbacks = _options(model, config), tuple(model.fallbacks)
    route = Route(model.name, deployments, options, geographies, timeouts, fallbacks)
    if not problems and all(geography_problem(geography) is None for geography in geographies):
        problems = [f"vertex.models {model.name!r}: {problem}" for problem in violations(route)]
    return route, problems


def _catalog_route_factory(config: Config, catalog: Catalog) -> Callable[[ModelCard], Route]:
    """Routes of the catalog's models without an entry, from the common location."""

    def build(card: ModelCard) -> Route:
        return _route(VertexModel(name=card.base, model=card.id), config, catalog, check_location=False)[0]

    return build


def _geographies(vertex: VertexConfig, models: list[VertexModel], common: ConfiguredLocation | None) -> list[str]:
    """Unknown geographies, and a common location outside the common geography."""
    declared = [("vertex.geography", vertex.geography)]
    declared += [(f"vertex.models {model.name!r}", model.geography) for model in models]
    problems = [f"{where}: {problem}" for where, word in declared if (problem := geography_problem(word))]
    if common is not None:
        host = location_of_host(vertex.base_url) or common.location if vertex.base_url else common.region
        problems += default_violations(ConfiguredLocation(common.location, host), vertex.geography)
    return problems


def _why_not_served(routes: list[Route], common: ConfiguredLocation | None, catalog: Catalog) -> WhyNotServed:
    """A function: model of the catalog -> why it cannot be served here; None if it can."""
    configured = {deployment.card.id for route in routes for deployment in route.deployments}

    def why(model: str) -> str | None:
        card = catalog.card(model)
        if model in configured:
            return None
        if common is None:
            return f"{model} has no entry in vertex.models, and vertex.project and vertex.location are not both set"
        if not card.served_in(common.location):
            return (
                f"{model} is not served in {common.location}, the common location; add an entry in vertex.models "
                f"with one of {where_served(card)}"
            )
        return None

    return why


def _options(model: VertexModel, config: Config) -> Options:
    vertex = config.vertex
    return Options(
        forced_tool_choice=model.forced_tool_choice or vertex.forced_tool_choice,
        prefill=model.prefill or vertex.prefill,
        caching=vertex.prompt_caching if model.prompt_caching is None else model.prompt_caching,
        unknown_betas=config.messages.unknown_betas,
        web_search=config.messages.web_search,
        reply_model=config.messages.reply_model,
        strict_location=vertex.strict_location,
    )

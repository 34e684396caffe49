"""Models: what is served from where, which setting says so, and what will be retired soon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from modelmux.cli.doctor.accounts import check_prices
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.sanitize import redact_userinfo
from modelmux.config import Config, ConfigError, Loaded, build_routes
from modelmux.config.paths import KeyPath
from modelmux.routing.warnings import route_warnings, unknown_models

_SET_PROJECT: Final = "set vertex.project and vertex.location, or run `modelmux config init`"


def check_origins(context: DoctorContext) -> Iterator[Result]:
    """The source of the values that can be set in many places."""
    loaded = context.loaded
    if loaded is None:
        return
    vertex = loaded.config.vertex
    for name, value, keys in (
        ("project", vertex.project, [("vertex", "project")]),
        ("location", vertex.location or vertex.region, [("vertex", "location"), ("vertex", "region")]),
        ("base_url", vertex.base_url, [("vertex", "base_url")]),
    ):
        origin = next((o for o in map(loaded.origin, keys) if o != "default"), None)
        if value is not None:
            yield Result(name, "ok", f"{redact_userinfo(value)} ({origin})")
        elif name != "base_url" and not (vertex.models or vertex.url):
            yield Result(name, "warn", "not set", _SET_PROJECT)


def check_models(context: DoctorContext, today: date) -> Iterator[Result]:
    """Builds the routes as ``serve`` does, and shows the URL of each deployment."""
    loaded = context.loaded
    if loaded is None:
        return
    try:
        catalog = loaded.config.build_catalog()
        routes = build_routes(loaded.config, catalog, today)
    except ConfigError as error:
        for problem in error.problems:
            yield Result("models", "fail", problem, error.hint or "correct the entry as the message says")
        return
    context.routes = routes
    entries = {d.url: route.name for route in reversed(routes.configured) for d in route.deployments}
    context.served += [(routes.find(name), bool(routes.configured)) for name in routes.default_names]
    for deployment, _ in context.deployments():
        entry = entries.get(deployment.url)
        origin = _origin(loaded, entry) if entry is not None else "catalog"
        yield Result(deployment.id, "ok", f"{redact_userinfo(deployment.url)} ({origin})")
    remedy = "use a newer model for this name; `modelmux models` lists them"
    yield from (Result(name, "warn", sentence, remedy) for name, sentence in route_warnings(routes, today))
    remedy = "correct the name, or describe the model as docs/configuration.md says under [[catalog]]"
    yield from (Result(name, "warn", sentence, remedy) for name, sentence in unknown_models(routes, catalog))
    yield from check_prices(context, today)


def _origin(loaded: Loaded, name: str) -> str:
    return next(
        (origin for origin in map(loaded.origin, _origins_of(loaded.config, name)) if origin != "default"), "default"
    )


def _origins_of(config: Config, name: str) -> Iterator[KeyPath]:
    """The settings that may define a route: its entry in the list, else those of the default model."""
    for index, model in enumerate(config.vertex.models):
        if model.name == name:
            yield ("vertex", "models", index)
    yield from (("vertex", "url"), ("vertex", "model"))

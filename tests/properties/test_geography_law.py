"""Geography law: no call leaves a declared geography, whatever is configured; otherwise nothing starts."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from modelmux.catalog import builtin, location_in_path, location_of_host, locations
from modelmux.config import Config, ConfigError, build_routes
from modelmux.errors import ModelNotFound
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.routing.geography import contains
from modelmux.routing.model import Route
from modelmux.routing.routes import Routes
from modelmux.wire.google.vertex import host_for

DAYS = (date(2026, 11, 30), date(2026, 12, 1))
NAMES = ("a", "b", "c", "chat", "unknown", *(card.base for card in builtin().cards))

#: Where tokens are counted.
COUNTING = VertexClaude().counting

WORLD = ("eu", "us", "global", "europe-west1", "europe-west2", "us-east5", "asia-east1")
#: Places and geographies to draw from: mostly such as go together, or nearly everything would be refused.
HOMES = (
    (("eu", "europe-west1", "europe-west4"), (None, "eu", "europe")),
    (("eu", "europe-west1", "europe-west2"), (None, None, "europe", "eu")),
    (("us", "us-east5"), (None, "us")),
    (WORLD, (None, "eu", "europe", "us", "asia")),
)

FALLBACKS = {
    "a": [["b"], ["claude-haiku-4-5"], ["b", "claude-haiku-4-5"], ["chat"]],
    "b": [["a"], ["claude-haiku-4-5", "a"]],
}


def entry(
    name: str, location: st.SearchStrategy[str], geographies: st.SearchStrategy[str | None]
) -> st.SearchStrategy[dict[str, Any]]:
    path = "/v1/projects/p/locations/{}/publishers/anthropic/models/claude-sonnet-4-6"
    google = location.map(lambda p: f"https://{host_for(p)}{path.format(p)}")
    proxy = location.map(lambda p: f"https://proxy.example{path.format(p)}")
    where = st.one_of(
        st.just({}),
        st.fixed_dictionaries({"location": location}),
        st.fixed_dictionaries({"location": location, "region": location}),
        st.fixed_dictionaries({"locations": st.lists(location, min_size=1, max_size=2)}),
        st.fixed_dictionaries(
            {"deployments": st.lists(location.map(lambda p: {"location": p}), min_size=1, max_size=2)}
        ),
        st.fixed_dictionaries({"url": st.one_of(google, proxy, st.just("https://proxy.example/m"))}),
    )
    head = {
        "name": st.just(name),
        "model": st.just("claude-sonnet-4-6"),
        "geography": geographies,
        "fallbacks": st.sampled_from([[], [], *FALLBACKS[name]]),
    }
    return st.tuples(st.fixed_dictionaries(head), where).map(lambda parts: parts[0] | parts[1])


def vertex_in(home: tuple[tuple[str, ...], tuple[str | None, ...]]) -> st.SearchStrategy[dict[str, Any]]:
    locations_inside, geographies = st.sampled_from(home[0]), st.sampled_from(home[1])
    return st.fixed_dictionaries(
        {
            "location": st.one_of(locations_inside, locations_inside, st.just("global")),
            "geography": geographies,
            "default_for_unknown_models": st.booleans(),
            "model": st.sampled_from([None, "claude-sonnet-4-6"]),
            "models": st.tuples(
                entry("a", locations_inside, geographies), entry("b", locations_inside, geographies)
            ).map(list),
        }
    )


settings = st.sampled_from(HOMES).flatmap(vertex_in)
targets = st.sampled_from(["a", "b", "claude-sonnet-4-6"])


def reached(routes: Routes) -> dict[str, Route]:
    served = {}
    for name in NAMES:
        try:
            served[name] = routes.find(name)
        except ModelNotFound:
            continue
    return served


@given(settings, targets, targets)
def test_no_route_leads_outside(vertex: dict[str, Any], model: str, successor: str) -> None:
    alias = {"model": model, "successor": successor, "from": DAYS[1]}
    config = Config.from_dict({"vertex": {"project": "p", **vertex}, "aliases": {"chat": alias}})
    try:
        routes = build_routes(config, builtin(), DAYS[0])
    except ConfigError as error:
        assert error.problems
        event("refused")
        return
    event("served with a geography" if any(route.geographies for route in routes.routes) else "served")
    event("with fallbacks" if any(route.fallbacks for route in routes.routes) else "without fallbacks")
    declared = {entry["name"]: entry["geography"] for entry in vertex["models"]}
    chat_geographies = routes.find("chat").geographies
    for day in DAYS:
        for name, route in reached(routes.for_day(day)).items():
            geographies_to_hold = {
                vertex["geography"],
                declared.get(name),
                *(chat_geographies if name == "chat" else ()),
            } - {None}
            counting = [target for own in route.deployments for target in COUNTING.deployments(own, route)]
            for deployment in (*route.deployments, *counting):
                used = {location_in_path(deployment.url), location_of_host(deployment.url)} - {None}
                for geography in geographies_to_hold:
                    assert used
                    assert all(contains(geography, location_used, locations()) for location_used in used)

"""Risk: a key reaches a model that it may not use, by a fallback or another name, or not one that it may use."""

from __future__ import annotations

from datetime import date

import pytest

from modelmux.catalog import ModelCard, builtin
from modelmux.errors import ModelNotFound, NotPermitted
from modelmux.gateway.dated_routes import DatedRoutes
from modelmux.gateway.permitted_models import may_use, permitted_route, unmatched_patterns
from modelmux.routing.aliases import Alias
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes

CATALOG = builtin()
OPUS, SONNET, HAIKU = (CATALOG.card(name) for name in ("claude-opus-4-8", "claude-sonnet-4-5", "claude-haiku-4-5"))
DAY = 86_400


def route(name: str, *cards: ModelCard, fallbacks: tuple[str, ...] = ()) -> Route:
    deployments = (
        Deployment(f"{name}/{card.base}", f"https://h/{name}/{card.id}", "p", "global", card) for card in cards
    )
    return Route(name, tuple(deployments), fallbacks=fallbacks)


ROUTES = Routes(
    [
        route("fast", HAIKU, SONNET, fallbacks=("deep", "claude-sonnet-4-6")),
        route("deep", OPUS, fallbacks=("fast",)),
    ],
    catalog=CATALOG,
    catalog_route=lambda card: route(card.base, card),
    aliases=[
        Alias("best", "finest"), Alias("finest", "deep"), Alias("cheap", "claude-haiku-4-5"),
        Alias("chat", "claude-sonnet-4-6", "claude-sonnet-5", date(1970, 1, 3)), Alias("fast", "deep"),
    ],
)  # fmt: skip


def used(name: str, *patterns: str) -> list[str] | None:
    permitted = permitted_route(ROUTES, name, patterns)
    return None if permitted is None else [deployment.id for deployment in permitted.deployments]


WHOLE = ["fast/claude-haiku-4-5", "fast/claude-sonnet-4-5"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["fast"], WHOLE),
        (["FA*"], WHOLE),
        (["fast", "deep"], [*WHOLE, "deep/claude-opus-4-8"]),
        (["fast", "claude-opus-*"], [*WHOLE, "deep/claude-opus-4-8"]),
        (["fast", "best"], [*WHOLE, "deep/claude-opus-4-8"]),
        (["*"], [*WHOLE, "deep/claude-opus-4-8", "claude-sonnet-4-6/claude-sonnet-4-6"]),
        (["claude-sonnet-*"], ["fast/claude-sonnet-4-5", "claude-sonnet-4-6/claude-sonnet-4-6"]),
        (["deep"], None),
        (["claude-opus-4-8"], None),
        (["claude-sonnet-4-6"], None),
        (["nothing"], None),
    ],
)
def test_what_is_allowed_of_the_route_itself_decides_and_each_fallback_needs_its_own_right(
    patterns: list[str], expected: list[str] | None
) -> None:
    assert used("fast", *patterns) == expected
    assert may_use(ROUTES, "fast", tuple(patterns)) is (expected is not None)


@pytest.mark.parametrize(
    "pattern",
    [
        "cheap", "CHEAP", "ch*p", "claude-haiku-4-5", "claude-haiku-4.5", "claude-haiku-4-5-20251001",
        "claude-haiku-4-5@20251001", "anthropic/claude-haiku-4-5", "claude-haiku-4-5-latest", "claude-haiku-*-20251001",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["cheap", "claude-haiku-4-5", "fast"])
def test_a_pattern_is_compared_as_a_requested_name_is_resolved(pattern: str, name: str) -> None:
    assert used(name, pattern) == ["fast/claude-haiku-4-5"]


def test_an_alias_stands_for_its_target_by_way_of_others_and_not_where_a_route_has_its_name() -> None:
    assert used("best", "finest") == used("deep", "best") == ["deep/claude-opus-4-8"]
    assert used("deep", "fast") is None


def test_an_alias_follows_its_successor() -> None:
    clock = [0.0]
    dated = DatedRoutes(ROUTES, lambda: clock[0])
    assert dated.permitted("chat", ("chat",)).card.base == "claude-sonnet-4-6"
    assert dated.permitted("chat", ("chat",)) is dated.permitted("chat", ("chat",)), "it is worked out once"
    clock[0] = 3 * DAY
    assert dated.permitted("chat", ("chat",)).card.base == "claude-sonnet-5"
    with pytest.raises(NotPermitted, match="may not use the model 'claude-sonnet-4-6'") as raised:
        dated.permitted("claude-sonnet-4-6", ("chat", "cheap"))
    assert raised.value.hint == "It may use chat, cheap."


def test_names_that_no_route_serves_are_unknown_rather_than_refused() -> None:
    dated = DatedRoutes(ROUTES, lambda: 0.0)
    with pytest.raises(ModelNotFound):
        dated.permitted("gpt-x", ("gpt-x",))
    assert permitted_route(ROUTES, "gpt-x", ("gpt-x",)) is None


def test_unknown_names_have_the_rights_of_the_route_that_serves_them() -> None:
    routes = Routes([route("fast", HAIKU)], catalog=CATALOG, default_route=route("fast", HAIKU))
    assert permitted_route(routes, "gpt-x", ("fast",)) is not None
    assert permitted_route(routes, "gpt-x", ("gpt-x",)) is None


def test_patterns_that_match_nothing_are_named() -> None:
    patterns = ["fast", "best", "claude-haiku-4-5-20251001", "gpt-x", "claude-opus-9*", "*"]
    assert unmatched_patterns(ROUTES, patterns) == ["gpt-x", "claude-opus-9*"]

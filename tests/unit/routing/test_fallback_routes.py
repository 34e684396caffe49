"""Fallbacks of routes: what their names refer to, on which day, and that they add nothing where they must not."""

from __future__ import annotations

from datetime import date

from modelmux.catalog import ModelCard, builtin
from modelmux.routing.aliases import Alias
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes

CATALOG = builtin()
SONNET, OPUS, HAIKU = (CATALOG.card(n) for n in ("claude-sonnet-4-5", "claude-opus-4-8", "claude-haiku-4-5"))


def deployment(card: ModelCard, name: str) -> Deployment:
    return Deployment(f"{name}@global", f"https://h/{name}/{card.id}", "p", "global", card)


def route(name: str, *cards: ModelCard, fallbacks: tuple[str, ...] = ()) -> Route:
    return Route(name, tuple(deployment(card, name) for card in cards), fallbacks=fallbacks)


def catalog_route(card: ModelCard) -> Route:
    return Route(card.base, (deployment(card, "catalog"),))


def models(served: Route) -> list[str]:
    return [f"{d.id.partition('@')[0]} {d.card.base}" for d in served.deployments]


def routes(*configured: Route, aliases: tuple[Alias, ...] = (), day: date = date.min) -> Routes:
    return Routes(configured, catalog=CATALOG, catalog_route=catalog_route, aliases=aliases, day=day)


SMART = route("smart", OPUS, fallbacks=("Second", "claude-haiku-4-5", "chat"))
SECOND = route("second", SONNET, fallbacks=("claude-opus-5",))
CHAT = Alias("chat", "claude-sonnet-4-6", "claude-sonnet-5", date(2027, 1, 1))
ALL = ["smart claude-opus-4-8", "second claude-sonnet-4-5", "catalog claude-haiku-4-5", "catalog claude-sonnet-4-6"]


def test_configured_names_catalog_models_and_aliases_are_followed_but_not_a_fallbacks_own_fallbacks() -> None:
    served = routes(SMART, SECOND, aliases=(CHAT,))
    assert models(served.find("smart")) == ALL
    assert models(served.find("second")) == ["second claude-sonnet-4-5", "catalog claude-opus-5"]
    assert [r.name for r in served.routes] == ["smart", "second"]
    assert models(served.routes[0]) == ALL
    assert served.configured == (SMART, SECOND)
    assert [(name, target and target.name) for name, target in served.fallbacks(SMART)] == [
        ("Second", "second"), ("claude-haiku-4-5", "claude-haiku-4-5"), ("chat", "claude-sonnet-4-6")
    ]  # fmt: skip


def test_an_alias_is_resolved_for_the_day() -> None:
    before = routes(SMART, SECOND, aliases=(CHAT,), day=date(2026, 12, 31))
    assert models(before.find("smart")) == ALL
    after = before.for_day(date(2027, 1, 1))
    assert models(after.find("smart")) == [*ALL[:3], "catalog claude-sonnet-5"]
    assert models(before.find("smart")) == ALL


def test_every_name_of_a_route_has_its_fallbacks() -> None:
    served = routes(SMART, SECOND, aliases=(CHAT, Alias("best", "smart")))
    assert served.find("best") is served.find("smart") is served.find("claude-opus-4-8")
    assert served.visible_names["best"] is served.find("smart")
    default = Routes([SMART], catalog=CATALOG, default_route=SMART, catalog_route=catalog_route)
    assert default.find("anything") is default.find("smart")
    assert len(default.find("smart").deployments) == 2


def test_a_name_that_refers_to_nothing_adds_nothing() -> None:
    served = Routes([SMART], catalog=CATALOG)
    assert served.find("smart") is SMART
    assert served.fallbacks(SMART) == [("Second", None), ("claude-haiku-4-5", None), ("chat", None)]


def test_a_models_own_name_is_served_by_that_model_and_then_by_the_fallbacks() -> None:
    mixed = route("mixed", OPUS, SONNET, fallbacks=("claude-haiku-4-5",))
    served = routes(mixed)
    assert models(served.find("mixed")) == [
        "mixed claude-opus-4-8",
        "mixed claude-sonnet-4-5",
        "catalog claude-haiku-4-5",
    ]
    assert models(served.find("claude-opus-4-8")) == ["mixed claude-opus-4-8", "catalog claude-haiku-4-5"]
    assert models(served.find("claude-sonnet-4-5")) == ["mixed claude-sonnet-4-5", "catalog claude-haiku-4-5"]
    assert models(served.find("claude-haiku-4-5")) == ["catalog claude-haiku-4-5"]
    own = route("own", SONNET)
    assert models(routes(mixed, own).find("claude-sonnet-4-5")) == ["own claude-sonnet-4-5"]


def test_deployments_are_those_of_all_routes_once() -> None:
    served = routes(SMART, SECOND)
    assert len(served.deployments) == 2 + len(CATALOG.cards)
    assert all(deployment in served.deployments for deployment in SMART.deployments)


def test_the_own_route_of_a_name_has_no_fallbacks() -> None:
    served = routes(SMART, SECOND, aliases=(Alias("best", "smart"),))
    own = served.find_own("BEST")
    assert own is not None
    assert (own.name, models(own)) == ("smart", ALL[: len(SMART.deployments)])
    assert served.alias_targets == {"best": "smart"}
    assert Routes([SMART], catalog=CATALOG).find_own("nothing") is None
    default = Routes([SMART], catalog=CATALOG, default_route=SMART, catalog_route=catalog_route)
    assert default.find_own("anything") is SMART

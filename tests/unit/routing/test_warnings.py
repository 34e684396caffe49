"""Warnings about routes: retirements of configured models, each once, and URLs whose host and path disagree."""

from __future__ import annotations

from datetime import date

from modelmux.catalog import builtin, builtin_prices
from modelmux.routing.aliases import Alias
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes
from modelmux.routing.warnings import route_warnings, unknown_models, unpriced_models

TODAY = date(2026, 11, 29)
CATALOG = builtin()


def deployment(model: str, url: str = "https://h/x") -> Deployment:
    return Deployment(f"{model}@x", url, "p", "global", CATALOG.card(model))


def route(model: str, *urls: str) -> Route:
    return Route(model, tuple(deployment(model, url) for url in urls or ["https://h/x"]))


def warnings(*routes: Route, aliases: tuple[Alias, ...] = (), today: date = TODAY) -> list[tuple[str, str]]:
    snapshot = Routes(routes, catalog=CATALOG, catalog_route=lambda card: route(card.id), aliases=aliases, day=today)
    return route_warnings(snapshot, today)


def test_a_configured_model_near_retirement_is_reported_once() -> None:
    retiring = route("claude-sonnet-4-5", "https://a/x", "https://b/x")
    message = "claude-sonnet-4-5@20250929 may be retired from 2026-11-30 on, in 1 day; move to claude-sonnet-5-5"
    assert warnings(retiring, route("claude-opus-5-5")) == [("claude-sonnet-4-5", message)]
    assert warnings(retiring, aliases=(Alias("chat", "claude-sonnet-4-5"),)) == [("claude-sonnet-4-5", message)]


def test_a_retired_model_that_is_configured_or_an_aliass_target_is_reported() -> None:
    message = "claude-opus-4@20250514 was retired on 2026-09-14; move to claude-opus-5-5"
    assert warnings(route("claude-opus-4")) == [("claude-opus-4", message)]
    assert warnings(aliases=(Alias("chat", "claude-opus-4"),)) == [("chat", message)]
    assert warnings(aliases=(Alias("chat", "claude-opus-4"),), today=date(2026, 7, 1)) == []


def test_models_that_are_not_configured_are_not_reported() -> None:
    assert warnings() == []
    assert warnings(route("claude-opus-5-5")) == []


def test_aliases_are_reported_for_today_and_after_the_switch() -> None:
    chat = Alias("chat", "claude-opus-5-5", "claude-sonnet-4-5", date(2026, 12, 1))
    assert [name for name, _ in warnings(aliases=(chat, Alias("dangling", "unknown")))] == ["chat"]
    switched = Alias("chat", "claude-sonnet-4-5", "claude-opus-5-5", TODAY)
    assert warnings(aliases=(switched,)) == []


def test_a_mismatch_of_host_and_path_is_reported() -> None:
    path = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/m"
    google = "aiplatform.googleapis.com"
    mismatched, matching = f"https://europe-west1-{google}{path}", f"https://us-east5-{google}{path}"
    message = (
        "requests go to the host of europe-west1 with the location us-east5; give region and location the same value"
    )
    assert warnings(route("claude-opus-5-5", mismatched, matching, f"https://proxy{path}", f"https://{google}/x")) == [
        ("claude-opus-5-5", message)
    ]


def unknown(*routes: Route) -> list[tuple[str, str]]:
    return unknown_models(Routes(routes, catalog=CATALOG, day=TODAY), CATALOG)


def test_a_misspelt_model_is_reported_once_with_the_nearest_name_and_how_to_add_a_card() -> None:
    ((name, message),) = unknown(route("claude-sonet-4-6", "https://a/x", "https://b/x"), route("claude-opus-5-5"))
    assert name == "claude-sonet-4-6"
    assert "is not in the catalog, so it gets conservative limits; did you mean claude-sonnet-4-6?" in message
    assert 'add a card: [[catalog]] with id = "claude-sonet-4-6"' in message


def test_a_model_without_a_price_is_reported_once_with_what_to_set() -> None:
    routes = Routes(
        [route("claude-next", "https://a/x", "https://b/x"), route("claude-opus-5-5")], catalog=CATALOG, day=TODAY
    )
    ((name, message),) = unpriced_models(routes, builtin_prices(), TODAY)
    assert name == "claude-next"
    assert message.startswith("claude-next has no price, so the cost of its requests is unknown; set one in [accounts.")
    ((_, message),) = unpriced_models(routes, builtin_prices().with_default("claude-opus-5"), TODAY)
    assert message.startswith("claude-next has no price, so its requests cost what those of claude-opus-5 do; set one")


def test_a_model_that_resembles_none_is_reported_without_a_guess() -> None:
    ((_, message),) = unknown(route("something"))
    assert "did you mean" not in message
    assert "; add a card: [[catalog]]" in message


def test_a_retired_model_without_a_card_is_left_to_the_warning_about_its_retirement() -> None:
    assert unknown(route("claude-3-opus")) == []


def test_a_model_with_a_card_of_the_configuration_is_known() -> None:
    catalog = CATALOG.with_cards([{"id": "claude-next"}])
    mine = Deployment("claude-next@x", "https://h/x", "p", "global", catalog.card("claude-next"))
    assert unknown_models(Routes([Route("next", (mine,))], catalog=catalog, day=TODAY), catalog) == []

"""What an operator is told of the routes: retirements of what was chosen, each once, and places that contradict."""

from __future__ import annotations

from datetime import date

from modelmux.catalog import builtin
from modelmux.routing.aliases import Alias
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes
from modelmux.routing.warnings import route_warnings

TODAY = date(2026, 11, 23)
CATALOG = builtin()


def deployment(model: str, url: str = "https://h/x") -> Deployment:
    return Deployment(f"{model}@x", url, "p", "global", CATALOG.card(model))


def made(model: str, *urls: str) -> Route:
    return Route(model, tuple(deployment(model, url) for url in urls or ["https://h/x"]))


def warned(*routes: Route, aliases: tuple[Alias, ...] = (), today: date = TODAY) -> list[tuple[str, str]]:
    snapshot = Routes(routes, catalog=CATALOG, catalog_route=lambda card: made(card.id), aliases=aliases, day=today)
    return route_warnings(snapshot, today)


def test_what_is_chosen_and_near_its_end_is_told_once() -> None:
    old = made("claude-opus-4-5", "https://a/x", "https://b/x")
    said = "claude-opus-4-5@20251101 may be retired from 2026-11-24 on, in 1 day; move to claude-opus-5-5"
    assert warned(old, made("claude-opus-5")) == [("claude-opus-4-5", said)]
    assert warned(old, aliases=(Alias("chat", "claude-opus-4-5"),)) == [("claude-opus-4-5", said)]


def test_models_nobody_chose_are_not_told_of() -> None:
    assert warned() == []
    assert warned(made("claude-opus-5")) == []


def test_aliases_are_told_of_now_and_after_their_succession() -> None:
    chat = Alias("chat", "claude-opus-5", "claude-sonnet-4-5", date(2026, 12, 1))
    assert [name for name, _ in warned(aliases=(chat, Alias("gone", "nobody")))] == ["chat"]
    over = Alias("chat", "claude-sonnet-4-5", "claude-opus-5", TODAY)
    assert warned(aliases=(over,)) == []


def test_a_host_of_another_place_than_the_path_is_told_of() -> None:
    path = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/m"
    google = "aiplatform.googleapis.com"
    torn, whole = f"https://europe-west1-{google}{path}", f"https://us-east5-{google}{path}"
    said = "requests go to the host of europe-west1 with the location us-east5; give region and location the same value"
    assert warned(made("claude-opus-5", torn, whole, f"https://proxy{path}", f"https://{google}/x")) == [
        ("claude-opus-5", said)
    ]

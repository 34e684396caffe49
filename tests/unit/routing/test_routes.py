"""Names: every form people use finds its model, and one that is not served says what is."""

from __future__ import annotations

import tracemalloc
from datetime import date
from typing import Any

import msgspec
import pytest

from modelmux.catalog import Catalog, ModelCard, builtin
from modelmux.errors import ModelNotFound
from modelmux.routing.aliases import Alias
from modelmux.routing.routes import MAX_NAME, Deployment, Route, Routes

CATALOG = builtin()
SONNET, OPUS, HAIKU = (CATALOG.card(n) for n in ("claude-sonnet-4-5", "claude-opus-4-8", "claude-haiku-4-5"))


def deployment(card: ModelCard, location: str = "global") -> Deployment:
    return Deployment(f"{card.base}@{location}", "https://h/m", "secret-project", location, card)


def route(name: str, *cards: ModelCard) -> Route:
    return Route(name, tuple(deployment(card) for card in cards))


def made(card: ModelCard) -> Route:
    return Route(card.base, (deployment(card, "us-east5"),))


FAST, SMART = route("Fast", HAIKU), route("smart", OPUS, SONNET)


def routes(*configured: Route, **fields: Any) -> Routes:
    return Routes(configured, catalog=CATALOG, **fields)


FOUND: list[tuple[str, Route]] = [
    ("Fast", FAST),
    ("fast", FAST),
    ("FAST", FAST),
    ("smart", SMART),
    ("claude-opus-4-8", SMART),
    ("Claude-Sonnet-4-5", SMART),
    ("claude-sonnet-4-5@20250929", SMART),
    ("claude-sonnet-4-5-20250929", SMART),
    ("anthropic/claude-haiku-4-5", FAST),
    ("vertex_ai/claude-haiku-4-5@20251001", FAST),
    (" claude-opus-4-8@default ", SMART),
]


@pytest.mark.parametrize(("name", "expected"), FOUND)
def test_every_name_of_a_model_finds_its_route(name: str, expected: Route) -> None:
    assert routes(FAST, SMART).find(name) is expected


def test_the_first_configured_route_of_a_model_wins_and_a_route_of_the_name_before_all() -> None:
    other = route("other", OPUS, HAIKU)
    assert routes(SMART, other).find("claude-opus-4-8") is SMART
    assert routes(other, SMART).find("claude-opus-4-8") is other
    named = route("claude-opus-4-8", SONNET)
    assert routes(SMART, named).find("claude-opus-4-8") is named


def test_a_model_that_is_not_configured_is_made_only_where_it_can_be() -> None:
    assert routes(FAST, for_catalog=made).find("claude-opus-4-8").deployments[0].location == "us-east5"
    assert routes(FAST, for_catalog=made).find("claude-haiku-4-5") is FAST
    with pytest.raises(ModelNotFound):
        routes(FAST).find("claude-opus-4-8")


def test_an_unknown_name_goes_to_the_fallback_if_there_is_one() -> None:
    with_fallback = routes(FAST, SMART, fallback=SMART)
    assert with_fallback.find("gpt-4o") is SMART
    assert with_fallback.find("") is SMART
    assert with_fallback.find("fast") is FAST


HINTS: list[tuple[str, str]] = [
    ("fsat", "Did you mean 'Fast'?"),
    ("claude-opus-4-9", "Did you mean 'claude-opus-4-8'?"),
    ("zzz", "GET /v1/models lists the models served here."),
    ("", "GET /v1/models lists the models served here."),
]


@pytest.mark.parametrize(("name", "hint"), HINTS)
def test_a_name_nobody_serves_is_answered_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes(FAST, for_catalog=made).find(name)
    assert (caught.value.hint, caught.value.param, caught.value.status) == (hint, "model", 404)
    assert caught.value.message == f"The model '{name}' does not exist here."


def test_what_cannot_be_served_is_not_suggested() -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes(FAST).find("claude-opus-4-9")
    assert caught.value.hint == "GET /v1/models lists the models served here."


@pytest.mark.parametrize("name", ["x" * (MAX_NAME + 1), "claude-" * 4_000_000, "-20250101" * 3_000_000, "İ" * 300])
def test_an_endless_name_is_not_processed_and_never_served_by_the_fallback(name: str) -> None:
    subject = routes(FAST, fallback=FAST, for_catalog=made)
    tracemalloc.start()
    try:
        with pytest.raises(ModelNotFound) as caught:
            subject.find(name)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(caught.value.message) < 200
    assert peak < 1_000_000, "the name was copied"
    assert routes(FAST, fallback=FAST).find("x" * MAX_NAME) is FAST


def test_the_list_is_what_is_configured_or_else_all_that_can_be_reached() -> None:
    assert routes(FAST, SMART, for_catalog=made).names == ["Fast", "smart"]
    assert routes().names == []
    regional = routes(for_catalog=made).names
    assert "claude-sonnet-4-5" in regional
    assert "claude-opus-4-8" not in regional, "not served in that region"
    everywhere = routes(for_catalog=lambda card: Route(card.base, (deployment(card),))).names
    assert everywhere == [card.base for card in CATALOG.cards]


def test_no_project_shows_itself() -> None:
    for value in (deployment(OPUS), SMART, (SMART,), [deployment(OPUS)]):
        assert "secret-project" not in f"{value!r} {value!s}"
    assert "claude-opus-4-8@global" in repr(SMART)


def test_a_model_of_the_operators_own_is_found_whatever_its_case() -> None:
    catalog = Catalog([msgspec.structs.replace(OPUS, id="My-Model@1")])
    own = Routes([], catalog=catalog, for_catalog=made)
    assert own.find("my-model").deployments[0].card.id == "My-Model@1"
    assert own.find("MY-MODEL@1") is own.find("my-model")


def test_every_place_a_call_may_go_to_is_counted() -> None:
    own = routes(route("mine", OPUS), for_catalog=made)
    assert own.deployments == [deployment(OPUS), *(made(card).deployments[0] for card in CATALOG.cards)]


def test_names_that_clients_invent_are_remembered_within_bounds() -> None:
    with_fallback = routes(FAST, SMART, fallback=SMART)
    for _ in range(2):
        assert all(with_fallback.find(f"invented-{number}") is SMART for number in range(2000))
        assert with_fallback.find("fast") is FAST
    assert len(with_fallback._found) <= 512


def test_what_was_found_on_one_day_is_not_remembered_on_another() -> None:
    aliases = [Alias("chat", "smart", successor="Fast", since=date(2027, 1, 1))]
    before = routes(FAST, SMART, aliases=aliases, day=date(2026, 12, 31))
    assert before.find("chat") is SMART
    assert before.on(date(2027, 1, 1)).find("chat") is FAST
    assert before.find("chat") is SMART

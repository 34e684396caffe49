"""Model names: every common spelling resolves, and the error for an unknown name suggests a known one."""

from __future__ import annotations

import tomllib
from datetime import date
from typing import Any

import msgspec
import pytest

from modelmux.catalog import Catalog, ModelCard, builtin
from modelmux.errors import ModelNotFound
from modelmux.routing.aliases import Alias
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import MAX_NAME_LENGTH, Routes

CATALOG = builtin()
SONNET, OPUS, HAIKU = (CATALOG.card(n) for n in ("claude-sonnet-4-5", "claude-opus-4-8", "claude-haiku-4-5"))


def deployment(card: ModelCard, location: str = "global") -> Deployment:
    return Deployment(f"{card.base}@{location}", "https://h/m", "secret-project", location, card)


def route(name: str, *cards: ModelCard) -> Route:
    return Route(name, tuple(deployment(card) for card in cards))


def catalog_route(card: ModelCard) -> Route:
    return Route(card.base, (deployment(card, "us-east5"),))


FAST, SMART = route("Fast", HAIKU), route("smart", OPUS, SONNET)
SMART_OPUS, SMART_SONNET = SMART.of_model(OPUS.id), SMART.of_model(SONNET.id)


def routes(*configured: Route, **fields: Any) -> Routes:
    return Routes(configured, catalog=CATALOG, **fields)


NAMES: list[tuple[str, Route]] = [
    ("Fast", FAST),
    ("fast", FAST),
    ("FAST", FAST),
    ("smart", SMART),
    ("claude-opus-4-8", SMART_OPUS),
    ("Claude-Sonnet-4-5", SMART_SONNET),
    ("claude-sonnet-4-5@20250929", SMART_SONNET),
    ("claude-sonnet-4-5-20250929", SMART_SONNET),
    ("anthropic/claude-haiku-4-5", FAST),
    ("vertex_ai/claude-haiku-4-5@20251001", FAST),
    (" claude-opus-4-8@default ", SMART_OPUS),
]


@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_every_name_of_a_model_resolves_to_its_route(name: str, expected: Route) -> None:
    assert routes(FAST, SMART).find(name) == expected


def test_the_first_route_of_a_model_wins_unless_a_route_has_its_name() -> None:
    other = route("other", OPUS, HAIKU)
    assert routes(SMART, other).find("claude-opus-4-8") == SMART_OPUS
    assert routes(other, SMART).find("claude-opus-4-8") == other.of_model(OPUS.id)
    named = route("claude-opus-4-8", SONNET)
    assert routes(SMART, named).find("claude-opus-4-8") is named


def test_a_model_that_is_not_configured_is_served_only_if_it_can_be() -> None:
    assert routes(FAST, catalog_route=catalog_route).find("claude-opus-4-8").deployments[0].location == "us-east5"
    assert routes(FAST, catalog_route=catalog_route).find("claude-haiku-4-5") is FAST
    with pytest.raises(ModelNotFound):
        routes(FAST).find("claude-opus-4-8")


def test_an_unknown_name_resolves_to_the_fallback() -> None:
    with_fallback = routes(FAST, SMART, default_route=SMART)
    assert with_fallback.find("gpt-4o") is SMART
    assert with_fallback.find("") is SMART
    assert with_fallback.find("fast") is FAST


HINTS: list[tuple[str, str]] = [
    ("fsat", "Did you mean 'Fast'?"),
    ("claude-opus-4-9", "Did you mean 'claude-opus-4-8'?"),
    ("claude-opuss-4-8@20260101", "Did you mean 'claude-opus-4-8'?"),
    ("fsat@20260101", "Did you mean 'Fast'?"),
    ("zzz@20260101", "GET /v1/models lists the models served here."),
    ("zzz", "GET /v1/models lists the models served here."),
    ("", "GET /v1/models lists the models served here."),
]


@pytest.mark.parametrize(("name", "hint"), HINTS)
def test_the_error_for_an_unknown_name_suggests_the_most_similar_one(name: str, hint: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes(FAST, catalog_route=catalog_route).find(name)
    assert (caught.value.hint, caught.value.param, caught.value.status) == (hint, "model", 404)
    assert caught.value.message == f"The model '{name}' does not exist here."


@pytest.mark.parametrize("name", ["gpt-5.5", "GPT-4o-mini", "o3", "o4-mini", "chatgpt-latest", "gemini-3.5-pro"])
def test_a_default_of_another_makers_client_gets_the_line_that_serves_it(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes(FAST, SMART, catalog_route=catalog_route).find(name)
    assert caught.value.hint is not None
    line = tomllib.loads("[aliases]\n" + caught.value.hint.partition("[aliases] of its configuration: ")[2])
    assert line == {"aliases": {name: "Fast"}}
    alias = Alias(*next(iter(line["aliases"].items())))
    assert routes(FAST, SMART, aliases=[alias]).find(name).card is HAIKU


@pytest.mark.parametrize("name", ["o", "o1x", "opus-of-mine", 'gpt-" = 1', "gpt-\u2028x", "my-gpt-4"])
def test_other_names_get_no_such_line(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes(FAST).find(name)
    assert caught.value.hint == "GET /v1/models lists the models served here."


def test_where_nothing_is_served_there_is_no_line_to_add() -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes().find("gpt-5.5")
    assert caught.value.hint == "GET /v1/models lists the models served here."


def test_what_the_operator_named_comes_before_that_line() -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes(FAST, aliases=[Alias("gpt-5.5", "fast")]).find("gpt-5.4")
    assert caught.value.hint == "Did you mean 'gpt-5.5'?"


RETIRED = CATALOG.card("claude-opus-4")


def everywhere(card: ModelCard) -> Route:
    return Route(card.base, (deployment(card),))


@pytest.mark.parametrize(
    "name", ["claude-opus-4", "claude-opus-4-0", "claude-opus-4@20250514", "claude-opus-4-20250514"]
)
def test_a_retired_model_of_the_catalog_is_not_served_from_its_day_on(name: str) -> None:
    before = routes(catalog_route=everywhere, day=date(2026, 9, 13))
    assert before.find(name).card is RETIRED
    after = before.for_day(date(2026, 9, 14))
    assert "claude-opus-4" in before.default_names
    assert "claude-opus-4" not in after.default_names
    with pytest.raises(ModelNotFound) as caught:
        after.find(name)
    assert caught.value.hint == "claude-opus-4@20250514 was retired on 2026-09-14; move to claude-opus-5-5."
    assert after.for_day(date(2027, 1, 1)) is after, "nothing changes in between"
    with_default = routes(SMART, catalog_route=everywhere, default_route=SMART, day=date(2026, 9, 14))
    assert with_default.find(name) is SMART, "as every other name that nothing serves"


def test_a_model_without_a_card_is_known_to_be_retired() -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes(FAST, day=date(2026, 5, 11)).find("claude-3-7-sonnet-20250219")
    assert caught.value.hint == "claude-3-7-sonnet@20250219 was retired on 2026-05-11; move to claude-sonnet-5-5."
    with pytest.raises(ModelNotFound) as caught:
        routes(FAST, day=date(2026, 5, 10)).find("claude-3-7-sonnet-20250219")
    assert caught.value.hint == "GET /v1/models lists the models served here."


def test_a_retired_model_is_not_suggested() -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes(catalog_route=everywhere, day=date(2026, 9, 14)).find("claude-sonnet-4x")
    assert caught.value.hint == "Did you mean 'claude-sonnet-4-6'?"


def test_what_the_configuration_names_is_served_although_retired() -> None:
    old, day = route("old", RETIRED), date(2026, 12, 1)
    mine = routes(old, FAST, catalog_route=everywhere, day=day)
    assert mine.find("old") is mine.find("claude-opus-4") is old, "its own name too"
    assert list(mine.visible_names) == ["Fast"]
    assert list(mine.all_names) == ["old", "Fast"]
    alias = routes(FAST, catalog_route=everywhere, aliases=[Alias("chat", "claude-opus-4")], day=day)
    assert alias.find("chat").card is RETIRED
    assert list(alias.visible_names) == ["Fast"]
    with pytest.raises(ModelNotFound):
        alias.find("claude-opus-4")
    fallback = msgspec.structs.replace(FAST, fallbacks=("claude-opus-4",))
    elsewhere = msgspec.structs.replace(deployment(RETIRED), url="https://h/old")
    extended = routes(fallback, catalog_route=lambda card: Route(card.base, (elsewhere,)), day=day)
    assert [card.id for card in extended.find("fast").models] == [HAIKU.id, RETIRED.id]
    assert list(extended.visible_names) == ["Fast"], "one of its models is not retired"


def test_what_cannot_be_served_is_not_suggested() -> None:
    with pytest.raises(ModelNotFound) as caught:
        routes(FAST).find("claude-opus-4-9")
    assert caught.value.hint == "GET /v1/models lists the models served here."


@pytest.mark.parametrize(
    "name", ["x" * (MAX_NAME_LENGTH + 1), "claude-" * 4_000_000, "-20250101" * 3_000_000, "İ" * 300]
)
def test_a_very_long_name_is_truncated_before_processing_and_skips_the_fallback(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    processed: list[str] = []
    served = routes(FAST, default_route=FAST, catalog_route=catalog_route)
    for module in ("modelmux.routing.routes", "modelmux.catalog.models"):
        monkeypatch.setattr(f"{module}.normalise", lambda part: (processed.append(part), part)[1])
    with pytest.raises(ModelNotFound) as caught:
        served.find(name)
    assert len(caught.value.message) < 200
    assert [len(part) for part in processed] == [100], "only the shown part"
    assert routes(FAST, default_route=FAST).find("x" * MAX_NAME_LENGTH) is FAST


def test_default_names_are_the_configured_or_else_the_served_ones() -> None:
    assert routes(FAST, SMART, catalog_route=catalog_route).default_names == ["Fast", "smart"]
    assert routes().default_names == []
    regional = routes(catalog_route=catalog_route).default_names
    assert "claude-sonnet-4-5" in regional
    assert "claude-opus-4-8" not in regional, "not available in that region"
    everywhere = routes(catalog_route=lambda card: Route(card.base, (deployment(card),))).default_names
    assert everywhere == [card.base for card in CATALOG.cards]


def test_repr_does_not_contain_the_project() -> None:
    for value in (deployment(OPUS), SMART, (SMART,), [deployment(OPUS)]):
        assert "secret-project" not in f"{value!r} {value!s}"
    assert "claude-opus-4-8@global" in repr(SMART)


def test_a_custom_model_matches_case_insensitively() -> None:
    catalog = Catalog([msgspec.structs.replace(OPUS, id="My-Model@1")])
    custom = Routes([], catalog=catalog, catalog_route=catalog_route)
    assert custom.find("my-model").deployments[0].card.id == "My-Model@1"
    assert custom.find("MY-MODEL@1") is custom.find("my-model")


def test_deployments_include_those_of_the_catalog() -> None:
    custom = routes(route("mine", OPUS), catalog_route=catalog_route)
    assert custom.deployments == [deployment(OPUS), *(catalog_route(card).deployments[0] for card in CATALOG.cards)]


def test_the_cache_of_names_is_limited() -> None:
    with_fallback = routes(FAST, SMART, default_route=SMART)
    for _ in range(2):
        assert all(with_fallback.find(f"invented-{number}") is SMART for number in range(2000))
        assert with_fallback.find("fast") is FAST
    assert len(with_fallback._cache) <= 512


def test_the_cache_is_valid_for_one_day() -> None:
    aliases = [Alias("chat", "smart", successor="Fast", from_date=date(2027, 1, 1))]
    before = routes(FAST, SMART, aliases=aliases, day=date(2026, 12, 31))
    assert before.find("chat") is SMART
    assert before.for_day(date(2027, 1, 1)).find("chat") is FAST
    assert before.find("chat") is SMART


def test_whether_clients_can_ask_for_several_models() -> None:
    alone = route("a", OPUS)
    catalog = Catalog([OPUS, SONNET])
    assert not Routes([alone, msgspec.structs.replace(alone, name="b")], catalog=catalog).has_several_models
    assert Routes([alone, route("b", SONNET)], catalog=catalog).has_several_models
    assert Routes([alone], catalog=catalog, catalog_route=catalog_route).has_several_models

"""The catalog: facts that hold together, names that find them, and care with models nobody knows."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import msgspec
import pytest

from modelmux.catalog import Catalog, ModelCard, builtin, locations, normalise

CARDS = builtin().cards
EFFORTS = ("low", "medium", "high", "xhigh", "max")
GENERATION_5_5 = {"claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-1", "claude-fable-5-2"}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_the_facts_of_a_card_hold_together(card: ModelCard) -> None:
    assert card.known
    assert 0 < card.max_output <= card.context_window
    assert set(card.effort) <= set(EFFORTS)
    assert list(card.effort) == [e for e in EFFORTS if e in card.effort], "from low to high"
    assert card.effort_default in card.effort if card.effort else card.effort_default is None
    assert card.disabled_effort is None or set(card.disabled_effort) <= set(card.effort)
    assert card.thinking or card.thinking_default == "off"
    assert not card.effort or "low" in card.effort
    assert card.source
    assert card.id == normalise(card.id)
    assert card.retires_on is None or isinstance(card.retires_on, date)
    assert not ("enabled" in card.thinking and card.sampling == "reject")
    assert card.preserved_thinking == (card.id in GENERATION_5_5)
    assert re.fullmatch(r"Claude [A-Z][a-z]+ \d(\.\d)?", card.display_name)
    assert sorted(card.display_name.lower().replace(".", " ").split()) == sorted(card.base.split("-"))
    assert (card.beta_context_window is None) is (card.context_beta is None)
    assert card.beta_context_window is None or card.beta_context_window > card.context_window
    assert card.fast_mode is bool(card.fast_lineage)
    assert card.regions is None or (card.regional and set(card.regions) <= set(locations().regions))


#: The rows of the fact sheet that a wrong value turns into an upstream 400.
WHO: list[tuple[str, set[str]]] = [
    ("prefill", {"claude-opus-4-5@20251101", "claude-sonnet-4-5@20250929", "claude-haiku-4-5@20251001",
                 "claude-opus-4-1@20250805", "claude-opus-4@20250514", "claude-sonnet-4@20250514",
                 "claude-3-5-haiku@20241022"}),
    ("sampling", {"claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-4-5@20251101", "claude-sonnet-4-5@20250929",
                  "claude-haiku-4-5@20251001", "claude-opus-4-1@20250805", "claude-opus-4@20250514",
                  "claude-sonnet-4@20250514", "claude-3-5-haiku@20241022"}),
    ("unforced", {"claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "claude-fable-5-2"}),
    ("mid_system", {"claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-2", "claude-fable-5-1",
                    "claude-fable-5", "claude-opus-5", "claude-sonnet-5", "claude-opus-4-8"}),
]  # fmt: skip


def test_who_takes_what() -> None:
    found = {
        "prefill": {c.id for c in CARDS if c.prefill},
        "sampling": {c.id for c in CARDS if c.sampling == "accept"},
        "unforced": {c.id for c in CARDS if c.forced_tool_choice == "reject"},
        "mid_system": {c.id for c in CARDS if c.supports_mid_system},
    }
    assert found == dict(WHO)


def test_ids_and_undated_names_are_unique() -> None:
    assert len({card.id for card in CARDS}) == len({card.base for card in CARDS}) == len(CARDS) == 19


def test_the_newest_fable() -> None:
    newest, before = builtin().card("claude-fable-5-2"), builtin().card("claude-fable-5-1")
    assert (newest.released_on, newest.fast_mode, newest.fast_lineage) == (
        date(2026, 11, 9), True, "anthropic-claude-fable-fast",
    )  # fmt: skip
    same = {name: getattr(before, name) for name in ("id", "display_name", "released_on", "retires_on", "replacement",
                                                     "source", "fast_mode", "fast_lineage")}  # fmt: skip
    assert msgspec.structs.replace(newest, **same) == before, "otherwise as Fable 5.1"
    assert [card.base for card in CARDS if card.fast_mode] == ["claude-fable-5-2"]


def test_defaults_and_limits_that_were_wrong_once() -> None:
    haiku, sonnet = builtin().card("claude-haiku-5-5"), builtin().card("claude-sonnet-4-5")
    assert (haiku.thinking_default, haiku.effort_default, haiku.disabled_effort) == (
        "on", "medium", ("low", "medium", "high"),
    )  # fmt: skip
    assert builtin().card("claude-sonnet-4-6").max_output == 128_000
    assert builtin().card("claude-3-5-haiku").max_output == 8192
    assert (sonnet.context_window, sonnet.beta_context_window, sonnet.context_beta) == (
        200_000, 1_000_000, "context-1m-2025-08-07",
    )  # fmt: skip
    assert builtin().card("claude-sonnet-5-5").released_on == date(2026, 9, 28)
    assert builtin().card("claude-opus-4-7").released_on == date(2026, 4, 15)


NAMES: list[tuple[str, str]] = [
    ("claude-sonnet-4-5", "claude-sonnet-4-5"),
    ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929"),
    ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5@20250929"),
    ("claude-opus-4-8@default", "claude-opus-4-8"),
    (" Claude-Opus-4-8\n", "claude-opus-4-8"),
    ("anthropic/claude-opus-4-8", "claude-opus-4-8"),
    ("vertex_ai/claude-opus-4-8", "claude-opus-4-8"),
    ("vertex_ai/anthropic/claude-opus-4-8", "claude-opus-4-8"),
    ("publishers/anthropic/models/claude-opus-4-8", "claude-opus-4-8"),
    ("claude-3-5-haiku-20241022", "claude-3-5-haiku@20241022"),
    ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
    ("claude-opus-4.5", "claude-opus-4-5"),
    ("claude-sonnet-4-0", "claude-sonnet-4"),
    ("openrouter/anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
    ("claude-x-19990101", "claude-x-19990101"),
    ("claude-x-202501011", "claude-x-202501011"),
    ("-20250101", "-20250101"),
    ("", ""),
]


@pytest.mark.parametrize(("typed", "key"), NAMES)
def test_a_name_as_people_type_it(typed: str, key: str) -> None:
    assert normalise(typed) == key
    assert normalise(key) == key


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_a_card_is_found_by_all_its_names(card: ModelCard) -> None:
    first_party = card.id.replace("@", "-")
    for name in (card.id, card.base, first_party, card.id.upper(), f"anthropic/{card.id}", f"{card.base}@default"):
        assert builtin().find(name) is card
        assert builtin().card(name) is card


def test_a_date_nobody_knows_is_another_model() -> None:
    assert builtin().find("claude-sonnet-4-5@20990101") is None


def test_an_unknown_model_gets_only_what_every_model_takes() -> None:
    card = builtin().card("Claude-Tomorrow-9")
    assert (card.id, card.known, card.base) == ("Claude-Tomorrow-9", False, "Claude-Tomorrow-9")
    assert (card.sampling, card.prefill, card.supports_mid_system, card.web_search) == ("reject", False, False, False)
    assert (card.thinking, card.effort) == (("adaptive",), ("low", "medium", "high"))
    assert builtin().find("Claude-Tomorrow-9") is None


@pytest.mark.parametrize(
    ("name", "location", "served"),
    [
        ("claude-opus-4-8", "global", True),
        ("claude-opus-4-8", "us", True),
        ("claude-opus-4-8", "eu", True),
        ("claude-opus-4-8", "us-east5", False),
        ("claude-sonnet-4-5", "us-east5", True),
        ("claude-opus-4-6", "us-east5", True),
        ("claude-opus-4-6", "europe-west1", True),
        ("claude-opus-4-6", "asia-southeast1", True),
        ("claude-opus-4-6", "us-central1", False),
        ("claude-haiku-4-5", "europe-west4", False),
        ("claude-fable-5", "asia-southeast1", True),
        ("claude-fable-5", "us-east5", False),
        ("claude-fable-5-2", "asia-southeast1", False),
        ("claude-3-5-haiku", "asia-southeast1", False),
        ("claude-opus-4-1", "us-central1", True),
    ],
)
def test_where_a_model_is_served(name: str, location: str, served: bool) -> None:
    assert builtin().card(name).served_in(location) is served


def test_an_operators_card_replaces_fields_and_leaves_the_rest() -> None:
    changed = builtin().with_cards([{"id": "claude-sonnet-4-5", "max_output": 9, "regional": False}])
    card, before = changed.card("claude-sonnet-4-5-20250929"), builtin().card("claude-sonnet-4-5")
    assert card == msgspec.structs.replace(before, max_output=9, regional=False)
    assert len(changed.cards) == len(CARDS)
    assert builtin().card("claude-sonnet-4-5") is before, "the built-in one is not changed"


def test_an_operators_new_card_is_known_and_found_whatever_its_case() -> None:
    changed = builtin().with_cards([{"id": "My-Model@7", "context": 5, "known": False, "retires": date(2030, 1, 1)}])
    card = changed.card("my-model")
    assert (card.id, card.context_window, card.known, card.sampling) == ("My-Model@7", 5, True, "reject")
    assert changed.find("MY-MODEL@7") is card
    assert len(changed.cards) == len(CARDS) + 1
    twice = changed.with_cards([{"id": "my-model@7", "context": 6}])
    assert (twice.card("My-Model").context_window, len(twice.cards)) == (6, len(CARDS) + 1)


@pytest.mark.parametrize("name", ["claude-new-1", "claude-sonnet-4-5", "Claude-New@20270101"])
def test_later_fields_of_one_card_add_to_the_earlier(name: str) -> None:
    overrides = [{"id": name, "context": 5}, {"id": name.upper(), "max_output": 4}, {"id": name, "max_output": 3}]
    changed = builtin().with_cards(overrides)
    card = changed.card(name)
    assert (card.context_window, card.max_output, card.known) == (5, 3, True)
    assert len(changed.cards) == len(CARDS) + (name != "claude-sonnet-4-5")


def test_a_new_card_does_not_take_over_a_name_that_another_card_has() -> None:
    changed = builtin().with_cards([{"id": "claude-sonnet-4-5@20990101", "context": 5}])
    assert changed.card("claude-sonnet-4-5") is builtin().card("claude-sonnet-4-5")
    assert changed.card("claude-sonnet-4-5-20990101").context_window == 5


@pytest.mark.parametrize(
    "override", [{"id": "x", "nope": 1}, {"id": "x", "context": "many"}, {"id": "x", "thinking": 5}]
)
def test_a_card_that_is_none_is_refused(override: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        builtin().with_cards([override])


def test_the_first_dated_card_of_a_name_answers_to_it() -> None:
    first, second = (msgspec.structs.replace(CARDS[0], id=f"m@2025010{i}") for i in (1, 2))
    catalog = Catalog([first, second])
    assert (catalog.find("m"), catalog.find("m@20250102")) == (first, second)


def test_an_everyday_model_is_first_and_the_others_keep_their_order() -> None:
    first, *others = builtin().cards
    assert first.everyday
    assert not first.retired_on
    assert [card.id for card in others if "opus" in card.id][:2] == ["claude-opus-5-5", "claude-opus-5"]
    assert [card.everyday for card in builtin().cards].count(True) == 1
    mine = builtin().with_cards([{"id": first.id, "everyday": False}, {"id": "claude-haiku-5-5", "everyday": True}])
    assert mine.cards[0].id == "claude-haiku-5-5", "a configuration may choose another"


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("claude-sonet-5-5", "claude-sonnet-5-5"),
        ("vertex_ai/claude-opus-55", "claude-opus-5-5"),
        ("gpt-9", None),
        ("claude-sonet-4-5@20250929", "claude-sonnet-4-5@20250929"),
        ("claude-sonet-4-5-20250929", "claude-sonnet-4-5@20250929"),  # the form of Anthropic's API
        (
            "claude-opuss-4-1@20251101",
            "claude-opus-4-1@20250805",
        ),  # the date of another model does not outweigh the name
        ("claude-sonnet-4-5@20250101", "claude-sonnet-4-5@20250929"),
        ("claude-haiku-4-5@2025100", "claude-haiku-4-5@20251001"),
        ("claude-sonet-5-5@20260101", "claude-sonnet-5-5"),  # it has no versions
        ("gpt-4o@20250929", None),
    ],
)
def test_a_typing_error_has_a_nearest_name(typed: str, nearest: str | None) -> None:
    assert builtin().nearest(typed) == nearest


def test_of_several_versions_the_nearest_is_suggested() -> None:
    ids = ({"id": "claude-newest-9@20300101"}, {"id": "claude-newest-9@20310505"})
    assert builtin().with_cards(ids).nearest("claude-newst-9@20310506") == "claude-newest-9@20310505"

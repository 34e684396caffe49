"""Launch and retirement: said in time, not too early, and never more than is known."""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from modelmux.catalog import ModelCard, builtin, lifecycle_warning, locations

CARD = replace(builtin().card("claude-opus-5"), released_on=date(2026, 7, 24), retires_on=date(2027, 7, 24))
LAUNCHED = "claude-opus-5 is released on 2026-07-24; requests may fail until then"


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (date(2026, 7, 23), LAUNCHED),
        (date(2026, 7, 24), None),
        (date(2027, 5, 24), None),
        (date(2027, 5, 25), "claude-opus-5 may be retired from 2027-07-24 on, in 60 days; move to a newer model"),
        (date(2027, 7, 23), "claude-opus-5 may be retired from 2027-07-24 on, in 1 day; move to a newer model"),
        (date(2027, 7, 24), "claude-opus-5 may be retired since 2027-07-24; move to a newer model"),
        (date(2030, 1, 1), "claude-opus-5 may be retired since 2027-07-24; move to a newer model"),
    ],
)
def test_what_is_said_on_a_day(today: date, said: str | None) -> None:
    assert lifecycle_warning(CARD, today) == said
    assert lifecycle_warning(replace(CARD, released_on=None, retires_on=None), today) is None


@pytest.mark.parametrize("card", builtin().cards, ids=lambda card: card.id)
def test_the_dates_of_a_card_hold_together(card: ModelCard) -> None:
    catalog = builtin()
    if card.released_on is not None:
        dated = card.id.partition("@")[2]
        assert not dated or card.released_on >= date.fromisoformat(dated), "not out before its version was made"
        assert card.retires_on is None or card.released_on < card.retires_on
        assert lifecycle_warning(card, card.released_on) is None
    if card.replacement is not None:
        successor = catalog.find(card.replacement)
        assert successor is not None
        assert successor.retires_on is None
        assert (
            lifecycle_warning(card, date.max)
            == f"{card.id} may be retired since {card.retires_on}; move to {successor.base}"
        )


def test_later_generations_came_out_later() -> None:
    days = [
        builtin().card(f"claude-opus-{v}").released_on for v in ("4", "4-1", "4-5", "4-6", "4-7", "4-8", "5", "5-5")
    ]
    assert None not in days
    assert days == sorted(days, key=str)


def test_every_place_is_known_once_and_geographies_speak_of_known_places() -> None:
    facts = locations()
    assert len(set(facts.names)) == len(facts.names)
    for geography in facts.geographies.values():
        assert set(geography.locations) <= set(facts.multi_regions)
        assert set(geography.excluded) <= set(facts.regions)
        assert all(any(region.startswith(prefix) for region in facts.regions) for prefix in geography.prefixes)


def test_regions_are_taken_at_their_word_where_they_are_known() -> None:
    card = replace(CARD, regional=True, regions=("us-east5",))
    assert [card.served_in(place) for place in ("global", "us", "us-east5", "europe-west1")] == [
        True,
        True,
        True,
        False,
    ]
    assert not replace(card, regional=False).served_in("us-east5")

"""Launch and retirement: said in time, not too early, and never more than is known."""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from modelmux.catalog import (
    ModelCard,
    builtin,
    deprecation_day,
    lifecycle,
    lifecycle_warning,
    locations,
    missing_model_hint,
    retirement_day,
)

CARD = replace(
    builtin().card("claude-opus-5"), released_on=date(2026, 7, 24), retires_on=date(2027, 7, 24), replacement=None
)
LAUNCHED = "claude-opus-5 is released on 2026-07-24; requests may fail until then"


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (date(2026, 7, 23), LAUNCHED),
        (date(2026, 7, 24), None),
        (date(2027, 5, 24), None),
        (date(2027, 5, 25), "claude-opus-5 may be retired from 2027-07-24 on, in 60 days; move to a newer model"),
        (date(2027, 7, 23), "claude-opus-5 may be retired from 2027-07-24 on, in 1 day; move to a newer model"),
        (date(2027, 7, 24), "claude-opus-5 may be retired already (from 2027-07-24 on); move to a newer model"),
        (date(2030, 1, 1), "claude-opus-5 may be retired already (from 2027-07-24 on); move to a newer model"),
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
    assert card.retired_on is None or card.retires_on is None, "one date is enough once it is confirmed"
    assert card.retired_on is None or (card.replacement is not None and card.retired_on > date(2025, 1, 1))
    if card.replacement is not None:
        successor = catalog.find(card.replacement)
        assert successor is not None
        assert successor.replacement is None, "no move to a model that has to be left again"
        assert successor.retired_on is None
        day = card.retired_on or card.retires_on
        assert successor.retires_on is None or day is None or successor.retires_on > day
        state = f"was retired on {day}" if card.retired_on else f"may be retired already (from {day} on)"
        warning = f"{card.id} {state}; move to {successor.base}"
        assert lifecycle_warning(card, date.max) == (warning if day else None)


WILL_BE = "claude-opus-5 will be retired on 2027-07-24"
RETIRED = replace(CARD, retires_on=None, retired_on=date(2027, 7, 24), replacement="claude-opus-6")


@pytest.mark.parametrize(
    ("today", "stage", "message"),
    [
        (date(2027, 5, 24), "active", None),
        (date(2027, 5, 25), "deprecated", f"{WILL_BE}, in 60 days; move to claude-opus-6"),
        (date(2027, 7, 23), "deprecated", f"{WILL_BE}, in 1 day; move to claude-opus-6"),
        (date(2027, 7, 24), "retired", "claude-opus-5 was retired on 2027-07-24; move to claude-opus-6"),
        (date.max, "retired", "claude-opus-5 was retired on 2027-07-24; move to claude-opus-6"),
    ],
)  # fmt: skip
def test_a_confirmed_shutdown(today: date, stage: str, message: str | None) -> None:
    assert lifecycle(RETIRED, today) == stage
    assert RETIRED.is_retired(today) is (stage == "retired")
    assert lifecycle_warning(RETIRED, today) == missing_model_hint(RETIRED, today) == message
    assert (deprecation_day(RETIRED), retirement_day(RETIRED)) == (date(2027, 5, 25), date(2027, 7, 24))


def test_a_date_alone_never_makes_a_model_retired() -> None:
    assert [lifecycle(CARD, day) for day in (date(2027, 5, 24), date(2027, 5, 25), date.max)] == [
        "active", "deprecated", "deprecated",
    ]  # fmt: skip
    assert not CARD.is_retired(date.max)
    assert deprecation_day(replace(CARD, retires_on=None)) is retirement_day(replace(CARD, retires_on=None)) is None


def test_what_to_do_about_a_model_that_the_upstream_does_not_know() -> None:
    undated = replace(CARD, retires_on=None)
    assert missing_model_hint(undated, date.max) is None, "retirement is not a likely cause"
    replaced = replace(undated, replacement="claude-opus-6")
    assert (
        missing_model_hint(replaced, date(2026, 8, 1)) == "claude-opus-5 may have been retired; move to claude-opus-6"
    )
    assert missing_model_hint(replace(CARD, replacement="claude-opus-6"), date(2026, 8, 1)) is None
    assert lifecycle_warning(replaced, date.max) is None


#: The confirmed shutdowns.
GONE: dict[str, tuple[str, str]] = {
    "claude-opus-4": ("2026-09-14", "claude-opus-5-5"),
    "claude-sonnet-4": ("2026-09-14", "claude-sonnet-5-5"),
    "claude-3-5-haiku": ("2026-07-05", "claude-haiku-5-5"),
    "claude-3-7-sonnet": ("2026-05-11", "claude-sonnet-5-5"),
    "claude-3-haiku": ("2026-08-23", "claude-haiku-5-5"),
    "claude-3-opus": ("2026-01-05", "claude-opus-5-5"),
}


def test_which_models_are_retired() -> None:
    catalog, day = builtin(), date(2026, 11, 28)
    cards = {name: catalog.card(name) for name in GONE}
    assert {name: (str(card.retired_on), card.replacement) for name, card in cards.items()} == GONE
    assert {card.base for card in catalog.cards if card.is_retired(day)} == set(list(GONE)[:3])
    assert {model.id.partition("@")[0] for model in catalog.retired} == set(list(GONE)[3:])
    assert all(catalog.find(model.replacement) and model.source for model in catalog.retired)
    assert not catalog.card("claude-opus-4-1").is_retired(date.max), "callable: no source gives a day"


def test_an_operators_card_of_a_retired_model_keeps_its_retirement_unless_it_says_otherwise() -> None:
    changed = builtin().with_cards(
        [{"id": "claude-3-opus@20240229", "context": 5}, {"id": "claude-opus-4", "max_output": 6}]
    )
    assert changed.card("claude-3-opus-20240229").retired_on == date(2026, 1, 5)
    assert changed.card("claude-opus-4").retired_on == date(2026, 9, 14)
    still = changed.with_cards([{"id": "claude-opus-4", "retired": date(2030, 1, 1)}])
    assert not still.card("claude-opus-4").is_retired(date(2026, 11, 28))
    assert still.card("claude-3-haiku").retired_on == date(2026, 8, 23)


#: The earliest days of retirement, of the models that have one.
EARLIEST: dict[str, str] = {
    "claude-fable-5-2": "2027-11-09", "claude-fable-5-1": "2027-03-01", "claude-fable-5": "2027-06-08",
    "claude-opus-5": "2027-01-24", "claude-opus-4-8": "2027-05-28", "claude-opus-4-7": "2027-04-16",
    "claude-opus-4-6": "2027-02-05", "claude-opus-4-5": "2027-01-22", "claude-sonnet-5-5": "2027-09-28",
    "claude-sonnet-5": "2026-12-24", "claude-sonnet-4-5": "2026-11-30", "claude-haiku-5-5": "2027-10-07",
    "claude-haiku-4-5": "2026-10-15",
}  # fmt: skip


def test_the_earliest_days_of_retirement() -> None:
    assert {card.base: str(card.retires_on) for card in builtin().cards if card.retires_on} == EARLIEST


def test_where_tokens_can_be_counted() -> None:
    assert locations().count_tokens_locations == ("global", "us", "eu", "asia-southeast1")
    assert set(locations().count_tokens_locations) <= set(locations().names)
    assert {card.base for card in builtin().cards if not card.count_tokens} == {
        "claude-opus-4-1", "claude-opus-4", "claude-sonnet-4",
    }  # fmt: skip


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

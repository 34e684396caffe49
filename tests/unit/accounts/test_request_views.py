"""Rows as the API shows them: costs are exact, and what is not known is null."""

import json

import msgspec
from msgspec.structs import replace

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.price_views import price_views
from modelmux.accounts.request_views import request_view
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.uuid7 import format_id
from modelmux.catalog.prices import builtin_prices
from support.directories import budget, directory_of, key, person, secret, team
from support.ledgers import START, correction, full_entry, id_at

DIRECTORY = directory_of(
    key("key_a", "laptop"), secret("CANARY"), team("team_a"), team("team_b", "Sub", parent="team_a"), person(), budget()
)
ROW = replace(full_entry(7), key="key_a", team="team_a/team_b", person="usr_a")


def shown(entry: Entry, directory: Directory = DIRECTORY) -> dict[str, object]:
    fields: dict[str, object] = json.loads(msgspec.json.encode(request_view(directory, entry)))
    return fields


def test_a_row_has_names_and_exact_costs() -> None:
    view = shown(ROW)
    assert view["id"] == format_id(ROW.id)
    assert (view["key"], view["key_name"]) == ("key_a", "laptop")
    assert (view["team"], view["team_name"], view["team_path"]) == ("team_b", "Sub", ["team_a", "team_b"])
    assert (view["person"], view["person_email"]) == ("usr_a", "ann@example.com")
    assert view["cost"] == {"amount": "0.000000153", "currency": "USD"}
    assert (view["seconds"], view["first_content_seconds"]) == (4.321, 0.654)
    assert (view["in_doubt"], view["estimated"], view["recovered"]) == (False, True, True)
    assert (view["client_request_id"], view["upstream_id"]) == (ROW.client_request_id, ROW.upstream_id)
    assert "CANARY" not in json.dumps(view)


def test_nothing_is_zero_and_an_unknown_price_is_null() -> None:
    free, unknown = shown(replace(ROW, cost=Cost())), shown(replace(ROW, cost=None))
    assert free["cost"] == {"amount": "0", "currency": "USD"}
    assert (unknown["cost"], unknown["cost_components"]) == ({"amount": None, "currency": "USD"}, None)


def test_what_is_not_in_the_directory_has_no_name() -> None:
    view = shown(Entry(id=id_at(START, 1), at=START, key="static_1"), Directory())
    assert (view["key"], view["key_name"], view["team"], view["team_path"]) == ("static_1", None, None, [])
    assert (view["person"], view["person_email"], view["first_content_seconds"]) == (None, None, None)


def test_a_correction_names_its_row_and_budgets_have_their_unit() -> None:
    row = replace(correction(ROW, 3), kind="in_doubt")
    assert shown(row)["corrects"] == format_id(ROW.id)
    assert shown(row)["in_doubt"] is True
    debits = ((WindowKey("bud_a", "usr_a", 7), 9), (WindowKey("bud_gone", "", 7), 5))
    assert shown(replace(ROW, debits=debits))["budgets"] == [
        {"budget": "bud_a", "name": "Data", "subject": "usr_a", "amount": "0.000000009"},
        {"budget": "bud_gone", "name": None, "subject": None, "amount": "5"},
    ]


def test_attempts_that_reported_nothing_have_no_tokens() -> None:
    attempts = (AttemptEntry("a", "timeout"), AttemptEntry("b", "ok", TokenCounts(input=5)))
    first, second = shown(replace(ROW, attempts=attempts))["attempts"]  # type: ignore[misc]
    assert first["tokens"] is None
    assert second["tokens"]["input"] == 5


def test_prices_have_one_version_after_the_other() -> None:
    views = price_views(builtin_prices())
    assert len({view.id for view in views}) == len(views) == len(builtin_prices().prices)
    for model in {view.model for view in views}:
        rows = [view for view in views if view.model == model]
        assert rows[0].valid_from is None or len(rows) == 1
        assert [row.valid_until for row in rows] == [*(row.valid_from for row in rows[1:]), None]
    long = next(view for view in views if view.long_prompt is not None)
    assert long.long_prompt is not None
    assert long.rates.input != long.long_prompt.rates.input
    assert not any(view.own for view in views)

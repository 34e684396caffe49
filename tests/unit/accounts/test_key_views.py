"""What the holder of a key is shown: the budget that is short first, and nothing of others."""

import json
from datetime import UTC

from modelmux.accounts.budget_windows import WindowState, usable_zone_of_budget
from modelmux.accounts.directory import Changes
from modelmux.accounts.key_views import own_key_json, remaining, tightest_first
from modelmux.accounts.limits import LimitUse, limits_of_key
from modelmux.accounts.rates import Limit, Rates
from modelmux.accounts.windows import Window, WindowRule
from support.directories import NOW, budget, directory_of, key, person, secret, team

WINDOW = Window(NOW - 5, NOW + 5)


def state(limit: int, spent: int = 0, held: int = 0, subject: str = "") -> WindowState:
    return WindowState(subject=subject, window=WINDOW, limit=limit, spent=spent, held=held)


def names(*chain):  # type: ignore[no-untyped-def]
    return [one.name for one, _ in tightest_first(chain)]


def test_of_one_unit_the_budget_with_least_left_is_first() -> None:
    large = (budget("bud_1", "large", limit=10_000), state(10_000, 9_800))
    small = (budget("bud_2", "small", limit=100), state(100, 10))
    assert names(large, small) == ["small", "large"], "which refuses first, though it has more of its limit left"


def test_a_budget_that_refuses_nothing_is_behind_those_that_do() -> None:
    soft = (budget("bud_1", "soft", mode="soft"), state(50, 50))
    hard = (budget("bud_2", "hard"), state(50))
    assert names(soft, hard) == ["hard", "soft"]


def test_units_are_in_the_order_of_what_is_left_of_their_tightest_budget() -> None:
    money = (budget("bud_1", "money"), state(10**9, 5 * 10**8))
    tokens = (budget("bud_2", "tokens", unit="tokens"), state(1_000, 900))
    more_tokens = (budget("bud_3", "more tokens", unit="tokens"), state(10_000, 0))
    none = (budget("bud_4", "none", unit="requests"), state(0, 0))
    assert names(money, more_tokens, tokens, none) == ["none", "tokens", "more tokens", "money"]


def test_what_is_left_is_never_below_zero_and_the_parts_add_up() -> None:
    assert remaining(state(100, 60, 15)) == 25
    assert remaining(state(100, 90, 15)) == 0


def test_a_holder_sees_own_names_limits_and_budgets() -> None:
    mine = key(team="team_a", person="usr_a", models=("fast",), limits=Rates(rpm=60))
    directory = directory_of(
        mine, key("key_b", "other"), secret("CANARY"), person(), person("usr_b", "bob@example.com"),
        team(contact="boss@example.com"),
    )  # fmt: skip
    (applied,) = limits_of_key(directory, mine)
    shown = own_key_json(
        directory, mine, "sk-mmx-…abcd", [(budget(model="claude-*"), state(10**9, 5, 6))],
        [LimitUse(applied, "rpm", 60, 61)],
    )  # fmt: skip
    assert shown["team"] == {"id": "team_a", "name": "Data"}
    assert shown["person"] == {"id": "usr_a", "email": "ann@example.com"}
    assert (shown["hint"], shown["contact"], shown["expires_at"]) == ("sk-mmx-…abcd", "boss@example.com", None)
    assert shown["limits"] == [
        {"rate": "rpm", "holder": "key", "name": "laptop", "for": {}, "limit": 60, "used": 61, "remaining": 0}
    ]
    (one,) = shown["budgets"]
    assert (one["for"], one["remaining"], one["unit"]) == ({"model": "claude-*"}, "0.999999989", "usd")
    assert shown["tightest_budget"] == "bud_a"
    text = json.dumps(shown)
    assert "CANARY" not in text
    assert "bob@" not in text
    assert "other" not in text


def test_a_key_without_anything_has_no_tightest_budget() -> None:
    directory = directory_of(key())
    shown = own_key_json(directory, directory.keys["key_a"], "", [], [])
    assert (shown["team"], shown["person"], shown["budgets"], shown["tightest_budget"]) == (None, None, [], None)


def test_limits_of_a_key_are_those_for_a_model_too() -> None:
    directory = directory_of(key(team="team_a", person="usr_a"), team(), person()).updated(Changes(version=2, limits=[
        Limit(id="lim_1", name="opus", limits=Rates(tpm=5), applies_to=budget(model="claude-opus-*").applies_to),
        Limit(id="lim_2", name="users", limits=Rates(rpm=5), applies_to=budget(each="end_user").applies_to),
        Limit(id="lim_3", name="others", limits=Rates(rpm=5), applies_to=budget(key="key_b").applies_to),
        Limit(id="lim_4", name="people", limits=Rates(rpm=5), applies_to=budget(each="person").applies_to),
    ]))  # fmt: skip
    applied = limits_of_key(directory, directory.keys["key_a"])
    assert [(one.name, one.subject) for one in applied] == [("opus", ""), ("people", "usr_a")]
    shown = own_key_json(
        directory, directory.keys["key_a"], "", [], [LimitUse(applied[0], "tpm", 5, 2)]
    )["limits"]  # fmt: skip
    assert (shown[0]["for"], shown[0]["remaining"]) == ({"model": "claude-opus-*"}, 3)


def test_of_two_budgets_the_order_in_which_they_come_does_not_matter() -> None:
    one, other = (budget("bud_1", "one"), state(50, 10)), (budget("bud_2", "other"), state(50, 40))
    assert names(one, other) == names(other, one) == ["other", "one"]


def test_a_budget_whose_zone_is_lost_has_that_of_the_configuration() -> None:
    lost = budget(window=WindowRule(every="day", zone="Mars/Base"))
    assert usable_zone_of_budget(directory_of(lost), lost, UTC) is UTC
    known = budget(window=WindowRule(every="day", zone="Asia/Tokyo"))
    assert str(usable_zone_of_budget(directory_of(known), known, UTC)) == "Asia/Tokyo"

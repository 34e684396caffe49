"""Risk: a budget that cannot work is stored, loses its team, changes its unit, or fights with the configuration."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.amounts import MAX_AMOUNT
from modelmux.accounts.budget_edits import adjust, save_budget, set_budget_status, with_budget
from modelmux.accounts.budgets import Request, chain_of
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import save_key, save_team
from modelmux.accounts.fields import FieldError
from modelmux.accounts.find import find_budget
from modelmux.accounts.windows import WindowRule
from support.directories import NOW, adjustment, applied, budget, directory_of, key, person, secret, team


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": " "}, "name: '' is not a name"),
        ({"limit": 0}, "limit: 0 cannot be a limit; expected more than 0, and at most 1000000000"),
        ({"limit": -1}, "limit: -0.000000001 cannot be a limit"),
        ({"limit": MAX_AMOUNT + 1, "unit": "tokens"}, "limit: 1000000000000000001 cannot be a limit"),
        ({"key": "key_x"}, "applies_to.key: there is no key 'key_x'; create it first"),
        ({"team": "team_x"}, "applies_to.team: there is no team 'team_x'"),
        ({"person": "usr_x"}, "applies_to.person: there is no person 'usr_x'"),
        ({"model": "a b"}, "applies_to.model: 'a b' is not a model"),
        ({"route": ""}, "applies_to.route: '' is not a model"),
        ({"tag": "App=x"}, "applies_to.tag: 'App=x' is not a tag; expected app=chat, or app for any value"),
        ({"tag": "app="}, "applies_to.tag: 'app=' is not a tag"),
        ({"alerts": (0,)}, "alerts: 0 % is always reached; expected 1 to 100 percent of the limit of a hard budget"),
        ({"alerts": (101,)}, "alerts: 101 % cannot be reached"),
        ({"alerts": (1_001,), "mode": "soft"}, "expected 1 to 1000 percent of the limit of a soft budget"),
        ({"alerts": tuple(range(1, 12))}, "alerts: 11 entries; expected at most 10"),
        ({"window": WindowRule(every="day", zone="Berlin")}, "window.zone: 'Berlin' is not a time zone"),
        ({"window": WindowRule(every="hour", zone="Europe/Berlin")}, "window.zone: it means nothing for 'hour'"),
        ({"window": WindowRule(every="lifetime", hour=3)}, "window.hour: it means nothing for 'lifetime'"),
        ({"window": WindowRule(every="day", hour=24)}, "window.hour: 24 is not an hour of a day; expected 0 to 23"),
        ({"window": WindowRule(every="day", starts="sunday")}, "window.starts: it means nothing for 'day'"),
        ({"unit": "tokens", "metric": True}, "metric: metrics show a budget in USD that has one window"),
        ({"each": "key", "metric": True}, "metric: metrics show a budget in USD that has one window"),
        ({"unit": "requests", "on_short": "clamp"}, "on_short: fewer tokens do not help a budget of requests"),
    ],
)
def test_fields_of_budgets(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError) as raised:
        save_budget(Directory(), budget(**fields))
    assert message in str(raised.value)


def test_fields_are_stored_as_they_are_compared() -> None:
    directory = directory_of(team(), key(), person())
    record = budget(
        name=" Data ", alerts=(100, 50, 50), team="team_a", key="key_a", person="usr_a", each="end_user",
        model=" claude-* ", route="fast", tag="app",
        window=WindowRule(every="week", zone="Europe/Berlin", starts="sunday", hour=23),
    )  # fmt: skip
    (stored,) = save_budget(directory, record).budgets
    assert (stored.name, stored.alerts, stored.applies_to.model) == ("Data", (50, 100), "claude-*")
    assert save_budget(directory, budget(mode="soft", alerts=(150,))).budgets[0].alerts == (150,)
    assert save_budget(directory, budget(alerts=(), tag="app=chat")).budgets[0].alerts == ()


def test_names_are_unique_even_among_disabled_ones() -> None:
    directory = directory_of(budget(status="disabled"))
    with pytest.raises(FieldError, match="'DATA' is taken by bud_a"):
        save_budget(directory, budget("bud_b", "DATA"))


def test_what_is_there_already_is_not_written() -> None:
    directory = directory_of(budget())
    edit = save_budget(directory, budget())
    assert (edit.is_empty, edit.subject) == (True, "bud_a")
    changed = save_budget(directory, budget(limit=60))
    assert (changed.action, changed.budgets[0].limit, changed.is_empty) == ("budget.edit", 60, False)
    assert save_budget(Directory(), budget()).action == "budget.create"


def test_a_unit_stays() -> None:
    with pytest.raises(FieldError, match="unit: what was spent of 'Data' is counted in usd; disable it, and make"):
        save_budget(directory_of(budget()), budget(unit="tokens"))


def test_a_budget_of_a_team_that_is_renamed_stays_its() -> None:
    directory = directory_of(team(), budget(team="team_a"))
    directory = applied(directory, save_team(directory, team(name="Analytics")))
    request = Request(key="key_a", teams=("team_a",))
    assert [one.id for one, _ in chain_of(directory.budgets.values(), request)] == ["bud_a"]
    assert save_budget(directory, replace(directory.budgets["bud_a"], limit=60)).budgets[0].applies_to.team == "team_a"


def test_a_managed_one_is_changed_by_the_configuration_only() -> None:
    directory = directory_of(budget(managed=True))
    for change in (
        lambda: save_budget(directory, budget(limit=60)),
        lambda: set_budget_status(directory, "bud_a", "disabled"),
    ):
        with pytest.raises(FieldError, match="budget: 'Data' is managed; change it in the configuration file"):
            change()
    assert save_budget(directory, budget(limit=60), by_config=True).budgets[0].managed
    assert adjust(directory, adjustment()).adjustments, "a top-up is a record of its own"


def test_a_key_and_its_budget_are_one_change() -> None:
    directory = directory_of(budget(name="Laptop"), budget("bud_b", "laptop-2"))
    edit = save_key(directory, key(), secret())
    both = with_budget(directory, edit, budget("bud_c", "laptop", key="key_a"))
    assert (both.action, both.keys, both.secrets) == ("key.create", edit.keys, edit.secrets)
    assert [one.name for one in both.budgets] == ["laptop-3"]
    with pytest.raises(FieldError, match="there is no key 'key_b'"):
        with_budget(directory, edit, budget("bud_c", key="key_b"))


def test_enabling_and_disabling() -> None:
    directory = directory_of(budget())
    edit = set_budget_status(directory, "bud_a", "disabled")
    assert (edit.action, edit.budgets[0].status) == ("budget.disable", "disabled")
    directory = applied(directory, edit)
    assert set_budget_status(directory, "bud_a", "disabled").is_empty
    edit = set_budget_status(directory, "bud_a", "active")
    assert (edit.action, edit.budgets[0].status) == ("budget.enable", "active")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"amount": 0}, "amount: 0 cannot be the amount; expected more or less than 0"),
        ({"amount": -MAX_AMOUNT - 1}, "cannot be the amount"),
        ({"amount": MAX_AMOUNT + 1}, "cannot be the amount"),
        ({"kind": "override", "amount": -1}, "limit: -0.000000001 cannot be the limit; expected 0 or more"),
        ({"reason": "a\nb"}, "reason: it cannot be shown"),
        ({"reason": "x" * 257}, "reason: it cannot be shown; expected at most 256 printable"),
        ({"until": NOW}, "until: it is in the past; expected a time to come, such as 7d"),
        ({"until": 253_402_214_400_000_001}, "until: it is not between"),
        ({"subject": "usr_a"}, "subject: 'Data' has one window for all that it applies to; leave it out"),
        ({"subject": "usr_x", "budget": "bud_p"}, "subject: there is no person 'usr_x'"),
        ({"subject": "usr_a", "budget": "bud_k"}, "subject: there is no key 'usr_a'"),
    ],
)
def test_fields_of_adjustments(fields: dict[str, Any], message: str) -> None:
    directory = directory_of(person(), budget(), budget("bud_p", "P", each="person"), budget("bud_k", "K", each="key"))
    with pytest.raises(FieldError) as raised:
        adjust(directory, adjustment(**fields))
    assert message in str(raised.value)


def test_adjustments_are_known_by_budget_and_subject() -> None:
    directory = directory_of(person(), budget(each="person"), budget("bud_b", "E", each="end_user"))
    made = [
        adjustment(),
        adjustment("adj_b", subject="usr_a"),
        adjustment("adj_c", "override", 0, until=NOW + 1),
        adjustment("adj_d", budget="bud_b", subject="someone"),
    ]
    for one in made:
        edit = adjust(directory, one)
        assert edit.action == ("budget.override" if one.kind == "override" else "budget.top_up")
        before, directory = directory, applied(directory, edit)
        assert before.record("adjustment", one) is None
    assert sorted(one.id for one in directory.adjustments_of("bud_a")) == ["adj_a", "adj_b", "adj_c"]
    assert sorted(one.id for one in directory.adjustments_of("bud_a", "usr_b")) == ["adj_a", "adj_c"]
    assert sorted(one.id for one in directory.adjustments_of("bud_a", "usr_a")) == ["adj_a", "adj_b", "adj_c"]
    assert directory.adjustments_of("bud_a", "") == directory.adjustments_of("bud_a", "usr_b")
    assert directory.adjustments_of("bud_x") == []
    assert directory.record("adjustment", made[1]) == made[1]
    assert directory.record("budget", budget()) is directory.budgets["bud_a"]


def test_finding_budgets() -> None:
    directory = directory_of(budget(status="disabled"))
    assert find_budget(directory, "data") is find_budget(directory, "bud_a")
    with pytest.raises(FieldError, match="there is no budget 'x'; list them with `modelmux budget list`"):
        find_budget(directory, "x")

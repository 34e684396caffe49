"""Risk: a change is left out of what people are shown before they apply it, or a hash of a secret is in it."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass

from msgspec.structs import replace

from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.managed import Wanted, plan
from modelmux.accounts.managed_diff import RecordChange, changes_of, counted
from modelmux.accounts.rates import Limit, Rates
from modelmux.accounts.records import Key, Person, Team
from modelmux.accounts.windows import WindowRule
from support.directories import NOW, applied, budget, directory_of, key, person, secret, team

KEY = Key(id="", name="ci", team="data", person="ada@example.com", models=("fast",), expires=NOW)
BUDGET = Budget(
    id="", name="data", limit=5 * 10**9, window=WindowRule(every="week", starts="sunday"),
    applies_to=Selector(team="data", key="ci", person="ada@example.com", model="m*"),
)  # fmt: skip
ALL = Wanted(
    teams=(Team(id="", name="Top"), Team(id="", name="Data", parent="top", limits=Rates(rpm=5))),
    people=(Person(id="", email="ada@example.com", name="Ada"),),
    keys=((KEY, secret("one", "", created=0)),),
    budgets=(BUDGET,),
    limits=(Limit(id="", name="all", limits=Rates(tpm=9)),),
)
_numbers = itertools.count(1)


@dataclass
class Step:
    before: Directory
    changes: list[RecordChange]
    after: Directory


def step(before: Directory, wanted: Wanted) -> Step:
    edit = plan(before, wanted, lambda prefix: f"{prefix}{next(_numbers)}", NOW)
    return Step(before, changes_of(before, edit), applied(before, edit))


def test_what_is_new_has_all_that_it_says_with_names() -> None:
    made = step(Directory(), ALL)
    assert [(one.action, one.kind, one.name, one.id) for one in made.changes] == [
        ("add", "team", "Data", None), ("add", "team", "Top", None), ("add", "person", "ada@example.com", None),
        ("add", "key", "ci", None), ("add", "budget", "data", None), ("add", "limit", "all", None),
    ]  # fmt: skip
    shown = {(one.kind, one.name): one.after for one in made.changes}
    assert shown["team", "Data"] == {
        "name": "Data", "parent": "Top", "limits": {"rpm": 5}, "status": "active", "managed": True,
    }  # fmt: skip
    assert shown["key", "ci"] == {
        "name": "ci", "team": "Data", "person": "ada@example.com", "models": ["fast"], "secret": "one",
        "expires": "2026-11-29T12:00:00Z", "status": "active", "managed": True,
    }  # fmt: skip
    assert (shown["budget", "data"]["limit"], shown["budget", "data"]["applies_to"]) == (
        "5", {"key": "ci", "team": "Data", "person": "ada@example.com", "model": "m*"},
    )  # fmt: skip
    assert shown["budget", "data"]["window"] == {"every": "week", "starts": "sunday"}
    assert shown["limit", "all"]["limits"] == {"tpm": 9}
    assert counted(made.changes) == {"add": 6, "change": 0, "remove": 0}
    assert step(made.after, ALL).changes == []


def test_only_what_differs_is_shown() -> None:
    first = step(Directory(), ALL)
    changed = replace(ALL, keys=((replace(KEY, models=(), team=None), secret("one", "", created=0)),))
    (one,) = step(first.after, changed).changes
    assert (one.action, one.kind, one.id) == ("change", "key", next(iter(first.after.keys)))
    assert (one.before, one.after) == ({"team": "Data", "models": ["fast"]}, {"team": None, "models": []})


def test_another_secret_is_a_change_even_if_people_see_the_same_of_it() -> None:
    first = step(Directory(), ALL)
    for hint in ("one", "two"):
        other = replace(secret("two", "", created=0), hint=hint)
        second = step(first.after, replace(ALL, keys=((KEY, other),)))
        (one,) = second.changes
        assert (one.action, one.before, one.after) == ("change", {"secret": "one"}, {"secret": hint})
        digests = [each.digest.hex() for each in second.after.all_secrets()]
        assert not [digest for digest in digests if digest[:8] in json.dumps([one.before, one.after])]


def test_what_was_made_by_hand_is_taken_over_and_what_is_not_named_is_let_go() -> None:
    known = directory_of(
        team("team_a", "Top"), key("key_a", "ci"), person("usr_a"), budget("bud_a", "old", managed=True)
    )
    changes = {(one.kind, one.name): one for one in step(known, ALL).changes}
    assert changes["team", "Top"].action == "change"
    assert (changes["team", "Top"].before, changes["team", "Top"].after) == ({"managed": False}, {"managed": True})
    assert changes["key", "ci"].before["secret"] is None
    gone = changes["budget", "old"]
    assert (gone.action, gone.id) == ("remove", "bud_a")
    assert (gone.before, gone.after) == (
        {"status": "active", "managed": True},
        {"status": "disabled", "managed": False},
    )
    assert ("person", "ann@example.com") not in changes


def test_records_that_are_gone_are_shown_by_their_ids() -> None:
    lost = directory_of(
        budget("bud_a", "b", key="key_x", team="team_x", person="usr_x", managed=True),
        key("key_a", person="usr_x", managed=True),
    )
    edit = plan(lost, Wanted(), str, NOW)
    assert [one.action for one in changes_of(lost, edit)] == ["remove", "remove"]

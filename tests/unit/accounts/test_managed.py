"""Risk: the configuration and the directory fight: a start changes what it should not, or a removed key lives on."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import revoke_key, save_key
from modelmux.accounts.managed import Wanted, WantedError, plan
from modelmux.accounts.records import Key, Person, Secret, Team
from support.directories import NOW, applied, budget, directory_of, key, person, secret, team

ADA = Person(id="", email="ada@example.com", name="Ada")
TOP, DATA = Team(id="", name="Top"), Team(id="", name="Data", parent="top")
LATER = NOW + 1_000_000


def ci(text: str = "one", **fields: Any) -> tuple[Key, Secret]:
    return Key(id="", **({"name": "ci", "team": "data", "person": "ada@example.com"} | fields)), secret(
        text, "", created=0
    )


ALL = Wanted(teams=(TOP, DATA), people=(ADA,), keys=(ci(),))
_numbers = itertools.count(1)


def after(directory: Directory, wanted: Wanted, now: int = NOW) -> Directory:
    return applied(directory, plan(directory, wanted, lambda prefix: f"{prefix}{next(_numbers)}", now))


def test_everything_is_made_and_managed() -> None:
    directory = after(Directory(), ALL)
    (made,) = directory.keys.values()
    assert (made.name, made.managed, made.created, made.created_by) == ("ci", True, NOW, "configuration")
    assert [one.name for one in directory.team_path(made.team)] == ["Top", "Data"]
    assert directory.people[made.person or ""] == replace(ADA, id=made.person, managed=True)
    assert directory.secret(secret().digest) == replace(secret(), key=made.id)


def test_a_second_start_writes_nothing() -> None:
    assert plan(after(Directory(), ALL), ALL, str, LATER).is_empty
    assert plan(Directory(), Wanted(), str, NOW).is_empty


def test_only_what_changed_is_written() -> None:
    before = after(Directory(), ALL)
    edit = plan(before, replace(ALL, keys=(ci(models=("fast",)),)), str, LATER)
    assert ([one.models for one in edit.keys], list(edit.teams), list(edit.people), list(edit.secrets)) == (
        [("fast",)], [], [], [],
    )  # fmt: skip


def test_another_secret_takes_the_place_of_the_old_one() -> None:
    before = after(Directory(), ALL)
    directory = after(before, replace(ALL, keys=(ci("two"),)), LATER)
    (made,) = directory.keys.values()
    assert [(one.hint, one.valid_until) for one in directory.secrets_of(made.id)] == [("one", LATER), ("two", None)]
    assert made.id in before.keys, "the budgets and the usage of the key stay"
    back = after(directory, ALL, LATER + 5)
    assert back.secret(secret().digest) == replace(secret(), key=made.id, created=LATER + 5)


def test_a_key_that_is_not_named_any_more_is_disabled_until_it_is_back() -> None:
    directory = after(after(Directory(), ALL), replace(ALL, keys=()))
    (left,) = directory.keys.values()
    assert (left.status, left.managed) == ("disabled", False)
    assert plan(directory, replace(ALL, keys=()), str, LATER).is_empty
    (back,) = after(directory, ALL).keys.values()
    assert (back.id, back.status, back.managed) == (left.id, "active", True)


@pytest.mark.parametrize("status", ["active", "disabled"])
def test_a_key_that_is_not_named_any_more_can_be_ended_and_its_name_used_again(status: str) -> None:
    directory = after(after(Directory(), replace(ALL, keys=(ci(status=status),))), replace(ALL, keys=()))
    (left,) = directory.keys.values()
    directory = applied(directory, revoke_key(directory, left.id, LATER))
    assert directory.keys[left.id].status == "revoked"
    directory = applied(directory, save_key(directory, key("key_new", "ci"), secret("new", "key_new")))
    assert plan(directory, replace(ALL, keys=()), str, LATER).is_empty, "the file has no say in it"


def secrets_by_name(directory: Directory) -> dict[str, list[str]]:
    """Name of a key -> hints of its current secrets."""
    return {
        one.name: [each.hint for each in directory.secrets_of(one.id) if each.valid_until is None]
        for one in directory.keys.values()
    }


def test_a_key_with_another_name_and_the_same_secret_is_the_same_key() -> None:
    before = after(Directory(), ALL)
    directory = after(before, replace(ALL, keys=(ci(name="ci2"), ci("owt", name="other"))), LATER)
    (id,) = before.keys
    assert directory.keys[id] == replace(before.keys[id], name="ci2")
    assert directory.secret(secret().digest) == before.secret(secret().digest)
    assert secrets_by_name(directory) == {"ci2": ["one"], "other": ["owt"]}


def test_keys_may_change_their_secrets_with_each_other() -> None:
    before = after(Directory(), replace(ALL, keys=(ci(), ci("two", name="b"))))
    swapped = replace(ALL, keys=(ci("two"), ci(name="b")))
    directory = after(before, swapped, LATER)
    assert directory.keys == before.keys
    assert secrets_by_name(directory) == {"ci": ["two"], "b": ["one"]}
    assert plan(directory, swapped, str, LATER + 1).is_empty


def test_a_secret_goes_to_the_key_that_names_it_now() -> None:
    before = after(Directory(), replace(ALL, keys=(ci(), ci("two", name="b"))))
    directory = after(before, replace(ALL, keys=(ci(name="b"),)), LATER)
    assert secrets_by_name(directory) == {"ci": [], "b": ["one"]}
    assert {one.name: one.status for one in directory.keys.values()} == {"ci": "disabled", "b": "active"}


def test_a_secret_of_a_key_that_the_file_does_not_manage_is_refused_with_the_ways_out() -> None:
    directory = directory_of(key("key_a", "laptop"), secret())
    with pytest.raises(WantedError, match="that of the key 'laptop'; give it its own, or call the entry 'laptop'"):
        after(directory, Wanted(keys=(ci(team=None, person=None),)))


def test_a_key_that_has_expired_stops_no_start() -> None:
    wanted = replace(ALL, keys=(ci(expires=NOW - 1),))
    directory = after(Directory(), wanted)
    (made,) = directory.keys.values()
    assert made.expires == NOW - 1
    assert plan(directory, wanted, str, LATER).is_empty


@pytest.mark.parametrize("turned", [False, True])
def test_the_order_of_teams_does_not_matter(turned: bool) -> None:
    def listed(*teams: Team) -> Wanted:
        return Wanted(teams=teams[::-1] if turned else teams)

    def path(directory: Directory, name: str) -> list[str]:
        id = next(one.id for one in directory.teams.values() if one.name == name)
        return [one.name for one in directory.team_path(id)]

    low = Team(id="", name="Low", parent="Data")
    before = after(Directory(), listed(TOP, DATA, low))
    assert path(before, "Low") == ["Top", "Data", "Low"]
    directory = after(
        before, listed(replace(TOP, parent="data"), replace(DATA, parent="Low"), replace(low, parent=None))
    )
    assert path(directory, "Top") == ["Low", "Data", "Top"]
    assert set(directory.teams) == set(before.teams)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_teams_above_each_other_in_a_circle_are_refused(length: int) -> None:
    teams = tuple(Team(id="", name=f"t{one}", parent=f"t{(one + 1) % length}") for one in range(length))
    with pytest.raises(WantedError, match=r"teams\[0\]\.parent: (.* is below this team|teams would be more than 3)"):
        after(Directory(), Wanted(teams=teams))


def test_teams_too_deep_are_refused() -> None:
    teams = (TOP, DATA, Team(id="", name="a", parent="Data"), Team(id="", name="b", parent="a"))
    for order in (teams, teams[::-1]):
        with pytest.raises(WantedError, match=r"teams\[.\]\.parent: teams would be more than 3 deep"):
            after(Directory(), Wanted(teams=order))


def test_teams_and_people_that_are_not_named_any_more_can_be_edited() -> None:
    directory = after(after(Directory(), ALL), Wanted())
    assert [one.managed for one in (*directory.teams.values(), *directory.people.values())] == [False] * 3


def test_what_was_made_by_hand_is_taken_over_and_the_rest_is_left_alone() -> None:
    mine = directory_of(team("team_a", "DATA"), person("usr_a", "ada@example.com"), key("key_a", "CI"), secret("old"),
                        key("key_b", "other"), secret("b", "key_b"))  # fmt: skip
    directory = after(mine, replace(ALL, keys=(ci(team=None),)))
    assert directory.keys["key_a"].managed
    assert directory.keys["key_a"].created == NOW
    assert directory.teams["team_a"].managed
    assert directory.people["usr_a"].name == "Ada"
    assert directory.keys["key_b"] == key("key_b", "other")
    assert directory.secret(secret("old").digest).valid_until == NOW  # type: ignore[union-attr]


def test_a_revoked_key_is_not_revived() -> None:
    directory = directory_of(key("key_a", "ci"), secret())
    directory = applied(directory, revoke_key(directory, "key_a", NOW))
    with pytest.raises(WantedError, match=r"keys\[0\]\.secret: it is that of the key 'ci'"):
        after(directory, replace(ALL, keys=(ci(),)))
    new = after(directory, replace(ALL, keys=(ci("two"),)))
    assert sorted(one.status for one in new.keys.values()) == ["active", "revoked"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(teams=(DATA,)), r"teams\[0\]\.parent: there is no parent 'top'"),
        (Wanted(teams=(TOP, Team(id="", name=" TOP "))), r"teams\[1\]\.name: it is named twice"),
        (Wanted(people=(ADA, ADA)), r"people\[1\]\.email: it is named twice"),
        (Wanted(keys=(ci(),)), r"keys\[0\]\.team: there is no team 'data'"),
        (Wanted(keys=(ci(team=None),)), r"keys\[0\]\.person: there is no person 'ada@example\.com'"),
        (Wanted(keys=(ci(team=None, person=None, apis=("x",)),)), r"keys\[0\]\.apis: 'x' is not an API"),
        (
            Wanted(keys=(ci(team=None, person=None), ci(name="b", team=None, person=None))),
            r"keys\[1\]\.secret: it is that of the key 'ci'",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_entry(wanted: Wanted, message: str) -> None:
    with pytest.raises(WantedError, match=message):
        after(Directory(), wanted)


TEAM_BUDGET = budget("", "data", 50, team="DATA", key="ci", person="ada@example.com")
WITH_BUDGET = replace(ALL, budgets=(TEAM_BUDGET,))


def test_a_budget_names_what_it_applies_to() -> None:
    directory = after(Directory(), WITH_BUDGET)
    (made,) = directory.budgets.values()
    chosen = made.applies_to
    assert (made.managed, made.id[:4]) == (True, "bud_")
    assert directory.teams[chosen.team or ""].name == "Data"
    assert directory.keys[chosen.key or ""].name == "ci"
    assert directory.people[chosen.person or ""].name == "Ada"
    assert plan(directory, WITH_BUDGET, str, LATER).is_empty
    edit = plan(directory, replace(ALL, budgets=(replace(TEAM_BUDGET, limit=60),)), str, LATER)
    assert ([one.limit for one in edit.budgets], list(edit.keys)) == ([60], [])


def test_a_budget_by_hand_is_taken_over_with_its_id() -> None:
    (made,) = after(directory_of(budget(name="Data", limit=5)), Wanted(budgets=(budget("", "data"),))).budgets.values()
    assert (made.id, made.name, made.limit, made.managed) == ("bud_a", "data", 50, True)


def test_a_budget_that_is_not_named_any_more_is_disabled_until_it_is_back() -> None:
    directory = after(after(Directory(), WITH_BUDGET), ALL)
    (left,) = directory.budgets.values()
    assert (left.status, left.managed) == ("disabled", False)
    assert plan(directory, ALL, str, LATER).is_empty
    (back,) = after(directory, WITH_BUDGET).budgets.values()
    assert (back.id, back.status, back.managed) == (left.id, "active", True)


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ((budget("", team="daat"),), "budgets[0].applies_to.team: there is no team 'daat'; did you mean 'Data'?"),
        ((budget("", "one"), budget("", "ONE")), "budgets[1].name: it is named twice"),
        ((budget("", person="x@example.com"),), "budgets[0].applies_to.person: there is no person"),
        ((budget("", key="x"),), "budgets[0].applies_to.key: there is no key"),
        ((budget("", limit=0),), "budgets[0].limit: 0 cannot be a limit"),
    ],
)
def test_a_budget_that_cannot_be_used(wanted: Any, path: str) -> None:
    with pytest.raises(WantedError) as raised:
        plan(after(Directory(), ALL), replace(ALL, budgets=wanted), str, NOW)
    assert path in str(raised.value)

"""Which limits apply to a request, and changes of them.

Risk: a limit of a team above, of the person or of a model is left out; a limit is stored that limits nothing.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.budgets import Request, Selector, depends_on_request
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.edits import save_key, save_person, save_team
from modelmux.accounts.fields import FieldError
from modelmux.accounts.find import find_limit
from modelmux.accounts.limit_edits import save_limit, set_limit_status
from modelmux.accounts.limits import limits_of
from modelmux.accounts.managed import Wanted, plan
from modelmux.accounts.rates import MAX_RATE, Limit, Rates, changed_rates
from modelmux.accounts.records import Key, Person, Team

R = Rates(rpm=60)
KEY = Key(id="key_a", name="ci", team="team_b", person="usr_a", limits=Rates(rpm=1, concurrent=2))
DIRECTORY = Directory().updated(
    Changes(
        version=1,
        teams=(Team(id="team_a", name="top", limits=R), Team(id="team_b", name="low", parent="team_a", limits=R)),
        people=(Person(id="usr_a", email="ann@example.com", limits=Rates(tpm=9)),),
        keys=(KEY, Key(id="key_b", name="free")),
        limits=(
            Limit(id="lim_a", name="opus", limits=R, applies_to=Selector(model="claude-opus-*")),
            Limit(id="lim_b", name="each", limits=R, applies_to=Selector(each="person")),
            Limit(id="lim_c", name="off", limits=R, status="disabled"),
        ),
    )
)
REQUEST = Request(key="key_a", teams=("team_a", "team_b"), person="usr_a", model="claude-opus-5-5", route="deep")


def test_all_limits_of_the_chain_apply() -> None:
    applied = [(one.holder, one.id, one.subject) for one in limits_of(DIRECTORY, REQUEST)]
    assert applied == [
        ("key", "key_a", ""), ("person", "usr_a", ""), ("team", "team_b", ""), ("team", "team_a", ""),
        ("limit", "lim_a", ""), ("limit", "lim_b", "usr_a"),
    ]  # fmt: skip
    assert limits_of(DIRECTORY, REQUEST)[0].rates.items() == [("rpm", 1), ("concurrent", 2)]
    assert limits_of(DIRECTORY, REQUEST)[1].name == "ann@example.com"


def test_of_a_limit_for_each_end_user_clients_make_up_the_subjects() -> None:
    limits = (
        Limit(id=f"lim_{each}", name=each, limits=R, applies_to=Selector(each=each)) for each in ("key", "end_user")
    )
    directory = Directory().updated(Changes(version=1, limits=tuple(limits)))
    applied = limits_of(directory, replace(REQUEST, end_user="ann"))
    assert [(one.name, one.subject, one.is_claim) for one in applied] == [
        ("key", "key_a", False), ("end_user", "ann", True),
    ]  # fmt: skip


def test_nothing_limits_a_key_without_limits() -> None:
    assert limits_of(DIRECTORY, Request(key="key_b", model="claude-haiku-4-5")) == []
    assert limits_of(DIRECTORY, Request(key="static_1", teams=("team_gone",), model="claude-haiku-4-5")) == []


def test_some_selectors_look_at_each_request() -> None:
    chosen = [Selector(tag="app"), Selector(each="end_user"), Selector(each="person"), Selector(key="key_a")]
    assert [depends_on_request(one) for one in chosen] == [True, True, False, False]


@pytest.mark.parametrize("wrong", [Rates(rpm=0), Rates(tpm=-1), Rates(concurrent=MAX_RATE + 1)])
def test_a_limit_is_a_number_above_zero(wrong: Rates) -> None:
    ((rate, _),) = wrong.items()
    for change in (
        lambda: save_key(DIRECTORY, replace(KEY, limits=wrong)),
        lambda: save_team(DIRECTORY, Team(id="team_n", name="new", limits=wrong)),
        lambda: save_person(DIRECTORY, Person(id="usr_n", email="bob@example.com", limits=wrong)),
        lambda: save_limit(DIRECTORY, Limit(id="lim_n", name="new", limits=wrong)),
    ):
        with pytest.raises(FieldError) as caught:
            change()
        assert caught.value.field == rate


def test_limits_that_limit_nothing_are_none() -> None:
    assert save_key(DIRECTORY, replace(KEY, limits=Rates())).keys[0].limits is None
    assert changed_rates(None, {"rpm": 5}) == Rates(rpm=5)
    assert changed_rates(Rates(rpm=5, tpm=7), {"rpm": None}) == Rates(tpm=7)
    assert changed_rates(Rates(rpm=5), {"rpm": None}) is None
    with pytest.raises(FieldError, match="nothing is limited"):
        save_limit(DIRECTORY, Limit(id="lim_n", name="new", limits=Rates()))


def test_a_limit_is_created_changed_and_left_as_it_is() -> None:
    new = Limit(id="lim_n", name=" new ", limits=R, applies_to=Selector(team="team_a"))
    edit = save_limit(DIRECTORY, new)
    assert (edit.action, edit.limits[0].name) == ("limit.create", "new")
    after = DIRECTORY.updated(Changes(version=2, limits=edit.limits))
    assert save_limit(after, edit.limits[0]).is_empty
    assert save_limit(after, replace(edit.limits[0], limits=Rates(rpm=7))).action == "limit.edit"
    assert find_limit(after, "NEW").id == "lim_n"
    for field, wrong in (("name", "opus"), ("applies_to", Selector(team="team_gone"))):
        with pytest.raises(FieldError):
            save_limit(DIRECTORY, replace(new, **{field: wrong}))


def test_a_limit_is_disabled_and_enabled() -> None:
    edit = set_limit_status(DIRECTORY, "lim_a", "disabled")
    assert (edit.action, edit.limits[0].status) == ("limit.disable", "disabled")
    assert set_limit_status(DIRECTORY, "lim_c", "disabled").is_empty
    assert set_limit_status(DIRECTORY, "lim_c", "active").action == "limit.enable"


def test_a_managed_limit_is_changed_by_the_configuration_only() -> None:
    wanted = Wanted(limits=(Limit(id="", name="Opus", limits=R, applies_to=Selector(person="ann@example.com")),))
    edit = plan(DIRECTORY, wanted, lambda prefix: f"{prefix}new", 0)
    (limit,) = edit.limits
    assert (limit.id, limit.managed, limit.applies_to) == ("lim_a", True, Selector(person="usr_a"))
    after = DIRECTORY.updated(Changes(version=2, limits=edit.limits))
    assert plan(after, wanted, lambda prefix: f"{prefix}new", 0).is_empty
    for change in (lambda: save_limit(after, limit), lambda: set_limit_status(after, "lim_a", "disabled")):
        with pytest.raises(FieldError, match="managed"):
            change()
    (freed,) = plan(after, Wanted(), lambda prefix: f"{prefix}new", 0).limits
    assert (freed.id, freed.managed, freed.status) == ("lim_a", False, "disabled")


def test_the_directory_knows_records_of_limits() -> None:
    like: Any = DIRECTORY.limits["lim_a"]
    assert DIRECTORY.record("limit", like) is like

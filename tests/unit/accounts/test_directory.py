"""Risk: a change is compared with another record than the one that it replaces, so that the audit is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.records import Membership
from modelmux.accounts.windows import WindowRule
from support.directories import directory_of, key, person, secret, team


@pytest.mark.parametrize(
    ("kind", "record"), [("team", team()), ("person", person()), ("key", key()), ("secret", secret())]
)
def test_the_record_that_another_one_replaces(kind: str, record: Any) -> None:
    directory = directory_of(team(), person(), key(), secret())
    assert directory.record(kind, record) is not None
    assert type(directory.record(kind, record)) is type(record)
    assert Directory().record(kind, record) is None


def test_a_membership_is_known_by_person_and_team() -> None:
    assert directory_of(team(), person()).record("membership", Membership(person="usr_a", team="team_a")) is None


def test_the_budgets_of_a_request_are_those_that_may_apply_to_it() -> None:
    """Not the budgets of all other keys: a thousand of these would cost each request more than all else."""
    selectors = {
        "all": Selector(), "model": Selector(model="claude-*"), "key": Selector(key="key_a"),
        "both": Selector(key="key_a", team="team_b"), "person": Selector(person="usr_a", team="team_a"),
        "team": Selector(team="team_a", each="key"), "other": Selector(key="key_b"),
    }  # fmt: skip
    budgets = [
        Budget(id=name, name=name, limit=1, window=WindowRule(every="day"), applies_to=selector)
        for name, selector in selectors.items()
    ]
    directory = Directory().updated(Changes(version=1, budgets=budgets))
    ids = [one.id for one in directory.budgets_of(("key_a", None, "team_a"))]
    assert ids == ["all", "model", "key", "both", "team"]
    assert [one.id for one in directory.budgets_of(("", "usr_a"))] == ["all", "model", "person"]
    moved = [Budget(id="key", name="key", limit=1, window=WindowRule(every="day"), applies_to=Selector(key="key_c"))]
    later = directory.updated(Changes(version=2, budgets=moved))
    assert [one.id for one in later.budgets_of(("key_a",))] == ["all", "model", "both"]
    assert [one.id for one in later.updated(Changes(version=3)).budgets_of(("key_c",))] == ["all", "model", "key"]


def test_a_person_is_found_by_the_address_of_now() -> None:
    before = directory_of(person("usr_a"), person("usr_b", "bob@example.com"))
    emails = {one.id: one.email for one in before.people.values()}
    after = before.updated(Changes(version=2, people=[person("usr_a", email="New@example.com")]))
    assert after.person_of("new@example.com") == after.people["usr_a"]
    assert after.person_of(emails["usr_a"]) is None
    assert before.person_of(emails["usr_a"]) == before.people["usr_a"], "as it was"
    assert before.person_of("new@example.com") is None


def test_people_by_address_follow_each_change() -> None:
    one = directory_of(person("usr_a"), person("usr_b", "bob@example.com"))
    email_a, email_b = (one.people[id].email for id in ("usr_a", "usr_b"))
    assert one.person_of("none@example.com") is None
    changed = (
        [], [person("usr_a", email=email_b), person("usr_b", email=email_a)], [person("usr_c", email="c@example.com")],
        [person("usr_c", email="d@example.com")], [person("usr_b", email=email_a, status="disabled")],
    )  # fmt: skip
    for number, people in enumerate(changed):
        one = one.updated(Changes(version=number + 10, people=people))
        by_email = {person.email: one.person_of(person.email) for person in one.people.values()}
        assert by_email == {person.email: person for person in one.people.values()}, people
    assert one.person_of(email_a) == one.people["usr_b"]
    assert one.person_of("c@example.com") is None


class Counted(dict[str, Any]):
    """:ivar scans: how often it was gone through."""

    scans = 0

    def values(self) -> Any:
        self.scans += 1
        return super().values()


def test_people_are_gone_through_once_for_their_addresses() -> None:
    directory = directory_of(person("usr_a"))
    people = directory.people = Counted(directory.people)
    for _ in range(5):
        assert directory.person_of("none@example.com") is None
        directory = directory.updated(Changes(version=directory.version + 1, people=[person("usr_b", email="b@x.com")]))
    assert people.scans == 1

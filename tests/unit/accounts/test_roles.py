"""Roles: what is not allowed is denied, and a scope shows and changes its own records only."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.rates import Limit, Rates
from modelmux.accounts.records import Membership
from modelmux.accounts.roles import PERMISSIONS, ROLES, Principal, Scope, may, may_give
from support.directories import budget, key, person, team

TEAMS = [
    team("team_top", "top"), team("team_own", "own", parent="team_top"), team("team_low", "low", parent="team_own"),
    team("team_other", "other", parent="team_top"),
]  # fmt: skip
KEYS = [
    key("key_own", "own", team="team_own", person="usr_own"), key("key_service", "service", team="team_own"),
    key("key_low", "low", team="team_low"), key("key_top", "top", team="team_top"), key("key_free", "free"),
    key("key_other", "other", team="team_other", person="usr_other"),
]  # fmt: skip
PEOPLE = [person("usr_own", "own@example.com"), person("usr_other", "other@example.com"), person("usr_left", "l@e.com")]
BUDGETS = [
    budget("bud_all"), budget("bud_each", each="person"), budget("bud_top", team="team_top"),
    budget("bud_own", team="team_own"), budget("bud_low", team="team_low"), budget("bud_other", team="team_other"),
    budget("bud_key", key="key_own"), budget("bud_key_other", key="key_other"), budget("bud_person", person="usr_own"),
    budget("bud_low_person", team="team_low", person="usr_own"), budget("bud_both", key="key_own", team="team_low"),
    budget("bud_both_own", key="key_own", team="team_own"), budget("bud_lost", key="key_lost"),
]  # fmt: skip


@pytest.fixture
def directory() -> Directory:
    members = [
        Membership(person="usr_own", team="team_low"), Membership(person="usr_other", team="team_other"),
        Membership(person="usr_left", team="team_own", role=None),
    ]  # fmt: skip
    return Directory().updated(
        Changes(version=1, teams=TEAMS, people=PEOPLE, keys=KEYS, budgets=BUDGETS, memberships=members)
    )


def _principal(role: Any, **fields: Any) -> Principal:
    return Principal(name="p", role=role, **fields)


TEAM_ADMIN = _principal("team_admin", teams=("team_own", "team_gone"))
MEMBER = _principal("member", person="usr_own")


def test_an_unknown_role_may_nothing() -> None:
    for role in ("", "root", "OWNER"):
        assert not any(may(_principal(role), permission) for permission in PERMISSIONS["owner"])


def test_each_role_may_less_than_the_owner() -> None:
    assert not may(_principal("admin"), "owners.write")
    for role in ROLES[1:]:
        assert PERMISSIONS[role] < PERMISSIONS["owner"]
    assert PERMISSIONS["auditor"] == {"self.read", "audit.read"}
    assert not [one for one in PERMISSIONS["viewer"] if one.endswith((".write", ".use"))]


def test_a_role_is_given_by_who_may_do_all_that_it_may() -> None:
    given = {role: {other for other in ROLES if may_give(_principal(role), other)} for role in ROLES}
    assert given["owner"] == set(ROLES)
    assert given["admin"] == set(ROLES) - {"owner"}
    assert not {"owner", "admin"} & (given["team_admin"] | given["member"] | given["viewer"] | given["auditor"])
    assert not any(may_give(_principal("root"), role) for role in ROLES)


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_some_see_and_change_all(directory: Directory, role: str) -> None:
    scope = Scope(directory, _principal(role))
    for record in (*TEAMS, *KEYS, *PEOPLE, *BUDGETS):
        assert scope.sees(record)
        assert scope.changes(record)


@pytest.mark.parametrize(
    ("principal", "seen"),
    [
        (TEAM_ADMIN, {"key_own", "key_service", "key_low", "team_own", "team_low", "usr_own", "bud_own", "bud_low",
                      "bud_key", "bud_low_person", "bud_both", "bud_both_own"}),
        (_principal("team_admin"), set()),
        (_principal("team_admin", teams=("team_gone",)), set()),
        (MEMBER, {"key_own", "bud_key", "bud_person", "bud_low_person", "bud_both", "bud_both_own"}),
        (_principal("member"), set()),
        (_principal("member", key="key_service"), {"key_service"}),
        (_principal("member", teams=("team_own",)), set()),
        (_principal("viewer"), {one.id for one in BUDGETS}),
        (_principal("auditor"), set()),
        (_principal("root", teams=("team_own",), person="usr_own", key="key_own"), set()),
    ],
)  # fmt: skip
def test_a_scope_sees_its_own_records(directory: Directory, principal: Principal, seen: set[str]) -> None:
    scope = Scope(directory, principal)
    kinds: tuple[list[Any], ...] = (TEAMS, KEYS, PEOPLE, BUDGETS)
    assert {one.id for records in kinds for one in scope.seen(records)} == seen


@pytest.mark.parametrize(
    ("principal", "changed"),
    [
        (TEAM_ADMIN, {"key_own", "key_service", "key_low", "team_low", "bud_low", "bud_key", "bud_both"}),
        (MEMBER, {"key_own"}),
        (_principal("viewer"), set()),
        (_principal("auditor"), set()),
        (_principal("root", teams=("team_own",)), set()),
    ],
)
def test_a_scope_changes_less_than_it_sees(directory: Directory, principal: Principal, changed: set[str]) -> None:
    scope = Scope(directory, principal)
    records: list[Any] = [*TEAMS, *KEYS, *PEOPLE, *BUDGETS]
    assert {one.id for one in records if scope.changes(one)} == changed
    assert all(scope.sees(one) for one in records if scope.changes(one))


def test_limits_are_as_budgets(directory: Directory) -> None:
    low, own = (
        Limit(id="lim_a", name="a", limits=Rates(rpm=1), applies_to=budget(team=team).applies_to)
        for team in ("team_low", "team_own")
    )
    scope = Scope(directory, TEAM_ADMIN)
    assert (scope.sees(own), scope.changes(own), scope.changes(low)) == (True, False, True)


def test_two_teams_in_one_line_are_both_its_own(directory: Directory) -> None:
    scope = Scope(directory, _principal("team_admin", teams=("team_own", "team_low")))
    assert [one.id for one in TEAMS if scope.changes(one)] == []


def test_a_viewer_is_shown_numbers_and_not_whose_they_are() -> None:
    assert [role for role in ROLES if not Principal(name="a", role=role).sees_subjects] == ["viewer"]

"""Risk: a role sees what others have used."""

import pytest

from modelmux.accounts.roles import ROLES, Principal, Role
from modelmux.accounts.usage_scope import dimensions, is_visible, visible
from support.directories import directory_of, team
from support.ledgers import entry

DIRECTORY = directory_of(team("team_a"), team("team_b", "Sub", parent="team_a"), team("team_c", "Other"))
ROWS = {
    "own team": entry(1, key="key_a", person="usr_a", team="team_a"),
    "below": entry(2, key="key_b", person="usr_b", team="team_a/team_b"),
    "other team": entry(3, key="key_c", person="usr_c", team="team_c"),
    "name alike": entry(4, key="key_d", team="team_ab"),
    "no team": entry(5, key="key_e"),
}


def seen(**principal: object) -> set[str]:
    where = visible(DIRECTORY, Principal(name="x", **principal))  # type: ignore[arg-type]
    return {name for name, row in ROWS.items() if is_visible(where, row)}


@pytest.mark.parametrize("role", ["owner", "admin", "viewer"])
def test_some_see_all(role: Role) -> None:
    assert seen(role=role) == set(ROWS)


def test_a_team_admin_sees_its_teams_and_those_below() -> None:
    assert seen(role="team_admin", teams=("team_a",)) == {"own team", "below"}
    assert seen(role="team_admin", teams=("team_b", "team_gone")) == {"below"}


def test_a_member_sees_its_own() -> None:
    assert seen(role="member", person="usr_b") == {"below"}
    assert seen(role="member", key="key_e") == {"no team"}


@pytest.mark.parametrize("role", ROLES)
def test_without_anything_of_its_own_a_role_sees_nothing(role: Role) -> None:
    if role not in ("owner", "admin", "viewer"):
        assert seen(role=role) == set()
        assert seen(role=role, teams=("team_gone",)) == set()


def test_a_viewer_sees_numbers_and_not_people() -> None:
    assert dimensions(Principal(name="x", role="viewer")) == ("team", "model")
    assert "person" in dimensions(Principal(name="x", role="team_admin"))

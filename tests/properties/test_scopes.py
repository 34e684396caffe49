"""Risk: a list shows what another list hides, or a role gives away more than it has. Any teams, any principal."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.budgets import Request, chain_of
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.records import MAX_DEPTH, Membership
from modelmux.accounts.roles import ROLES, Principal, Scope
from support.directories import budget, key, person, team

_NUMBERS = range(5)
_TEAM = st.sampled_from([f"team_{n}" for n in _NUMBERS])
_PERSON = st.sampled_from([f"usr_{n}" for n in _NUMBERS])
_PEOPLE = [person(f"usr_{n}", f"{n}@example.com") for n in _NUMBERS]


@st.composite
def directories(draw: st.DrawFn) -> Directory:
    parents: list[str | None] = []
    depths: list[int] = []
    for _ in _NUMBERS:
        above = draw(st.none() | st.sampled_from([n for n, depth in enumerate(depths) if depth < MAX_DEPTH] or [None]))
        parents.append(None if above is None else f"team_{above}")
        depths.append(1 if above is None else depths[above] + 1)
    teams = [team(f"team_{n}", str(n), parent=parents[n]) for n in _NUMBERS]
    keys = [key(f"key_{n}", str(n), team=draw(st.none() | _TEAM), person=draw(st.none() | _PERSON)) for n in _NUMBERS]
    budgets = [
        budget(
            f"bud_{n}", str(n), team=draw(st.none() | _TEAM), person=draw(st.none() | _PERSON),
            key=draw(st.none() | st.sampled_from([one.id for one in keys])),
        )
        for n in _NUMBERS
    ]  # fmt: skip
    members = draw(st.lists(st.builds(lambda p, t: Membership(person=p, team=t), _PERSON, _TEAM), max_size=5))
    changes = Changes(
        version=1, teams=teams, keys=keys, people=_PEOPLE, budgets=budgets, memberships=members
    )  # fmt: skip
    return Directory().updated(changes)


_PRINCIPALS = st.builds(
    lambda role, teams, person: Principal(name="p", role=role, teams=tuple(teams), person=person),
    st.sampled_from(ROLES), st.lists(_TEAM, max_size=2), st.none() | _PERSON,
)  # fmt: skip


def _all(directory: Directory) -> list[Any]:
    return [
        *directory.teams.values(), *directory.keys.values(), *directory.people.values(), *directory.budgets.values(),
    ]  # fmt: skip


@given(directories(), _PRINCIPALS)
def test_what_is_changed_is_seen(directory: Directory, principal: Principal) -> None:
    scope = Scope(directory, principal)
    for record in _all(directory):
        assert scope.sees(record) or not scope.changes(record)


@given(directories(), _PRINCIPALS)
def test_a42_keys_are_seen_by_their_team_and_their_person_alone(directory: Directory, principal: Principal) -> None:
    seen = {one.id for one in Scope(directory, principal).seen(directory.keys.values())}
    for one in directory.keys.values():
        path = {above.id for above in directory.team_path(one.team)}
        expected = {
            "owner": True, "admin": True, "team_admin": bool(path & set(principal.teams)),
            "member": one.person is not None and one.person == principal.person,
        }.get(principal.role, False)  # fmt: skip
        assert (one.id in seen) == expected


@given(directories(), st.lists(_TEAM, min_size=1, max_size=2))
def test_what_limits_a_team_admin_is_not_its_own_to_change(directory: Directory, teams: list[str]) -> None:
    """A budget that applies to all of its own team, and so to more than single keys or the teams below. What is above
    one team of its own may be below another one."""
    scope = Scope(directory, Principal(name="p", role="team_admin", teams=tuple(teams)))
    for own in teams:
        path = tuple(one.id for one in directory.team_path(own))
        if set(path[:-1]).intersection(teams):
            continue
        for each, _ in chain_of(directory.budgets.values(), Request(key="key_new", teams=path)):
            assert not scope.changes(each)

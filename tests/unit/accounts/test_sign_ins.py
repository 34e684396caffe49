"""Risk: a link is good twice or too long, or a session goes on after the person has lost the role."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts import sign_ins
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.records import Membership
from modelmux.accounts.sign_ins import LINK_LIFETIME, OWNER, SESSION_LIFETIME, SignIns, Subject
from support.directories import NOW, directory_of, person, team

ANN = Subject(person="usr_a", role="member")


def member(directory: Directory, role: Any, team: str = "team_a") -> Directory:
    one = Membership(person="usr_a", team=team, role=role)
    return directory.updated(Changes(version=directory.version + 1, memberships=[one]))


def test_a_link_is_good_for_ten_minutes() -> None:
    state = sign_ins.with_link(SignIns(), "d", ANN, NOW)
    last = NOW + LINK_LIFETIME
    assert LINK_LIFETIME == 600_000_000
    assert sign_ins.find_link(state, "d", last - 1) is not None
    assert sign_ins.find_link(state, "d", last) is None
    assert sign_ins.find_link(state, "e", NOW) is None


def test_a_link_becomes_one_session_of_twelve_hours() -> None:
    state = sign_ins.with_link(SignIns(), "d", ANN, NOW)
    link = sign_ins.find_link(state, "d", NOW)
    assert link is not None
    state = sign_ins.redeemed(state, link, "s", "bound", NOW)
    assert sign_ins.find_link(state, "d", NOW) is None
    session = sign_ins.find_session(state, "s", NOW + SESSION_LIFETIME - 1)
    assert session is not None
    assert (session.subject, session.binding, SESSION_LIFETIME) == (ANN, "bound", 12 * 3600 * 1_000_000)
    assert sign_ins.find_session(state, "s", NOW + SESSION_LIFETIME) is None
    assert sign_ins.find_session(state, "d", NOW) is None, "a link is not a session"


def test_what_is_over_is_forgotten_and_the_rest_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_ins, "MAX_LINKS", 2)
    state = SignIns()
    for digest in "abc":
        state = sign_ins.with_link(state, digest, ANN, NOW)
    assert [one.digest for one in state.links] == ["b", "c"]
    state = sign_ins.redeemed(state, state.links[1], "s", "", NOW)
    assert sign_ins.with_link(state, "z", ANN, NOW + SESSION_LIFETIME) == sign_ins.with_link(
        SignIns(), "z", ANN, NOW + SESSION_LIFETIME
    )


def test_either_ends_by_its_digest() -> None:
    state = sign_ins.with_link(sign_ins.with_link(SignIns(), "d", ANN, NOW), "e", OWNER, NOW)
    state = sign_ins.redeemed(state, state.links[0], "s", "", NOW)
    assert sign_ins.without(state, "s", NOW).sessions == ()
    assert sign_ins.without(state, "e", NOW).links == ()
    assert sign_ins.without(state, "x", NOW) == state


def test_the_role_of_a_person() -> None:
    directory = directory_of(person(), team(), team("team_b", "b"), team("team_c", "c", status="disabled"))
    assert sign_ins.subject_of(directory, "usr_a") == ANN
    assert sign_ins.subject_of(directory, "usr_x") is None
    directory = member(member(directory, "team_admin", "team_b"), "member")
    subject = Subject(person="usr_a", role="team_admin", teams=("team_b",))
    assert sign_ins.subject_of(directory, "usr_a") == subject
    assert sign_ins.subject_of(member(directory, "team_admin", "team_c"), "usr_a") == subject, "a disabled team"


def test_the_configuration_gives_another_role() -> None:
    directory = directory_of(person(), team())
    email = directory.people["usr_a"].email
    for role in ("owner", "admin", "viewer", "auditor"):
        subject = Subject(person="usr_a", role=role)  # type: ignore[arg-type]
        assert sign_ins.subject_of(directory, "usr_a", {email: role}) == subject  # type: ignore[dict-item]
        assert sign_ins.is_current(directory, subject, {email: role})  # type: ignore[dict-item]
        assert not sign_ins.is_current(directory, subject), "the role was taken away"
        assert not sign_ins.is_current(directory, ANN, {email: role})  # type: ignore[dict-item]
    assert sign_ins.subject_of(directory, "usr_a", {"other@example.com": "owner"}) == ANN
    disabled = directory.updated(Changes(version=9, people=[person(status="disabled")]))
    assert sign_ins.subject_of(disabled, "usr_a", {email: "owner"}) is None


def test_a_person_of_an_address() -> None:
    directory = directory_of(person(), person("usr_k", email="kim@example.com", status="disabled"))
    for email in ("kim@example.com", " KIM@Example.com "):
        found = sign_ins.person_of_email(directory, email)
        assert found is not None
        assert found.id == "usr_k"
    for email in ("", " ", "usr_k", "im@example.com", "\u212aim@example.com", "kim@example.com,"):
        assert sign_ins.person_of_email(directory, email) is None


def test_a_subject_is_compared_with_that_of_now() -> None:
    directory = directory_of(person(), team())
    assert sign_ins.is_current(directory, OWNER)
    assert sign_ins.is_current(directory, ANN)
    assert not sign_ins.is_current(member(directory, "team_admin"), ANN)
    disabled = directory.updated(Changes(version=9, people=[person(status="disabled")]))
    assert not sign_ins.is_current(disabled, ANN)
    assert not sign_ins.is_current(directory, replace(ANN, role="owner"))
    assert not sign_ins.is_current(directory, Subject(person=None, role="member")), (
        "nobody is a member without a person"
    )

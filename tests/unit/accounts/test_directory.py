"""Risk: a change is compared with another record than the one that it replaces, so that the audit is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.records import Membership
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

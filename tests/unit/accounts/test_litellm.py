"""Risk: an import opens a key that was limited or blocked, or makes one twice, or drops what it cannot carry over."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.litellm import Imported, import_from_litellm, read_lists
from support.directories import NOW, applied, directory_of, key, team

TOKEN = hashlib.sha256(b"sk-1234567890").hexdigest()
TEAM = {
    "team_id": "t1", "team_alias": "Data", "models": ["fast"], "max_budget": 100.0, "blocked": False,
    "members_with_roles": [
        {"role": "admin", "user_id": "u1", "user_email": "Ann@example.com"}, {"role": "user", "user_id": "u2"},
    ],
}  # fmt: skip


def entry(token: str = TOKEN, **fields: Any) -> dict[str, Any]:
    base = {"token": token, "key_name": "sk-...7890", "key_alias": "laptop", "models": [], "spend": 1.5}
    return {**base, "created_at": "2026-01-01T00:00:00Z", **fields}


def imported(*keys: dict[str, Any], teams: Any = (TEAM,), directory: Directory | None = None) -> Imported:
    numbers = itertools.count(1)
    return import_from_litellm(directory or Directory(), keys, teams, lambda prefix: f"{prefix}{next(numbers)}", NOW)


def test_clients_keep_their_keys() -> None:
    made = imported(entry(team_id="t1", user_id="u1", expires="2027-01-01T00:00:00+00:00"))
    directory = applied(Directory(), made.edit)
    secret = directory.secret(hashlib.sha256(b"sk-1234567890").digest())
    assert secret is not None
    assert (secret.kind, secret.hint) == ("sha256", "sk-...7890")
    record = directory.keys[secret.key]
    assert (record.name, record.status, record.models) == ("laptop", "active", ("fast",))
    assert record.expires == 1_798_761_600_000_000
    assert directory.teams[record.team or ""].name == "Data"
    assert directory.people[record.person or ""].email == "ann@example.com"
    assert [one.role for one in directory.members_of(record.team or "")] == ["team_admin"]
    assert made.notices == (
        "max_budget of teams is not carried over (1)",
        "user_id of keys and members: no e-mail address is known for it (1)",
    )


@pytest.mark.parametrize(
    ("fields", "models"),
    [
        ({"models": ["gpt-x", "claude-*"]}, ("gpt-x", "claude-*")),
        ({"models": ["all-proxy-models"]}, ()),
        ({"models": ["no-default-models"]}, ("no-default-models",)),
        ({"models": [], "team_id": "t1"}, ("fast",)),
        ({"models": ["all-team-models"], "team_id": "t1"}, ("fast",)),
        ({"models": ["deep"], "team_id": "t1"}, ("deep",)),
    ],
)
def test_models(fields: dict[str, Any], models: tuple[str, ...]) -> None:
    assert imported(entry(**fields)).edit.keys[0].models == models


@pytest.mark.parametrize(
    ("routes", "apis"),
    [
        (None, ()),
        (["llm_api_routes"], ()),
        (["/v1/chat/completions", "/chat/completions"], ("chat",)),
        (["/v1/messages", "/embeddings"], ("messages",)),
    ],
)
def test_routes(routes: list[str] | None, apis: tuple[str, ...]) -> None:
    assert imported(entry(allowed_routes=routes)).edit.keys[0].apis == apis


def test_a_key_for_routes_that_do_not_exist_here_is_not_opened_for_all() -> None:
    with pytest.raises(FieldError, match=r"allowed_routes: \['/embeddings'\] has no counterpart here"):
        imported(entry(allowed_routes=["/embeddings"]))


def test_what_is_blocked_stays_so() -> None:
    made = imported(entry(blocked=True), teams=[{**TEAM, "blocked": True}]).edit
    assert (made.keys[0].status, made.teams[0].status) == ("disabled", "disabled")


def test_a_repeated_import_adds_what_is_new() -> None:
    directory = applied(Directory(), imported(entry(team_id="t1")).edit)
    other = hashlib.sha256(b"sk-other").hexdigest()
    again = imported(entry(team_id="t1"), entry(other, team_id="t1"), directory=directory).edit
    assert [one.name for one in again.keys] == ["laptop-2"]
    assert again.teams == []
    assert again.keys[0].team == next(iter(directory.teams))


def test_names_that_are_taken_get_a_number() -> None:
    directory = directory_of(team("team_x", "data"), key("key_x", "LAPTOP"))
    made = imported(entry(), entry(hashlib.sha256(b"2").hexdigest()), directory=directory).edit
    assert [one.name for one in made.keys] == ["laptop-2", "laptop-3"]


def test_what_cannot_be_carried_over_is_counted() -> None:
    limits = {"max_budget": 5, "tpm_limit": 10, "rpm_limit": None, "aliases": {}}
    notices = imported(entry(**limits), entry(hashlib.sha256(b"2").hexdigest(), **limits), entry("sk-...")).notices
    assert "max_budget of keys is not carried over (2)" in notices
    assert "tpm_limit of keys is not carried over (2)" in notices
    assert "keys without the hash of their secret are left out (1)" in notices
    assert not [notice for notice in notices if "rpm" in notice or "aliases" in notice]


def test_a_team_that_is_missing_is_told() -> None:
    made = imported(entry(team_id="t9"), teams=())
    assert made.edit.keys[0].team is None
    assert made.notices == ("team_id of keys: the file of /team/list lacks the team (1)",)


def test_lists_are_told_apart() -> None:
    keys, teams = read_lists([{"keys": [entry()], "total_count": 1}, [TEAM], {"teams": [TEAM]}, [entry(team_id="t1")]])
    assert (len(keys), len(teams)) == (2, 2)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"keys": ["a1b2"]}, "the keys are names only; ask LiteLLM for"),
        ({"data": []}, "expected the JSON of /key/list or of /team/list"),
        (7, "expected the JSON"),
        ([{"user_id": "u"}], "neither a key nor a team"),
        ([None], "neither a key nor a team"),
    ],
)
def test_other_documents_are_refused(document: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_lists([document])

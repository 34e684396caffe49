"""Risk: an import opens a key that was limited or blocked, or makes one twice, or drops what it cannot carry over."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.litellm import Imported, import_from_litellm
from modelmux.accounts.litellm_entries import read_lists
from modelmux.accounts.rates import Rates
from modelmux.accounts.unique_names import UniqueNames
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
    assert sorted(made.notices) == [
        "max_budget of teams is not carried over (1)",
        "user_id of keys and members: no e-mail address is known for it (1)",
    ]


@pytest.mark.parametrize(
    ("fields", "models"),
    [
        ({"models": ["gpt-x", "claude-*"]}, ("gpt-x", "claude-*")),
        ({"models": ["all-proxy-models"]}, ()),
        ({"models": ["no-default-models"]}, ("no-default-models",)),
        ({"models": [], "team_id": "t1"}, ("fast",)),
        ({"models": ["all-team-models"], "team_id": "t1"}, ("fast",)),
        ({"models": ["*"], "team_id": "t1"}, ("fast",)),
        ({"models": ["all-proxy-models"], "team_id": "t1"}, ("fast",)),
        ({"models": ["deep", "fast"], "team_id": "t1"}, ("fast",)),
        ({"models": ["deep"], "team_id": "t1"}, ("no-default-models",)),
        ({"models": ["f*", "all-team-models"], "team_id": "t1"}, ("fast",)),
    ],
)
def test_models(fields: dict[str, Any], models: tuple[str, ...]) -> None:
    assert imported(entry(**fields)).edit.keys[0].models == models


@pytest.mark.parametrize(
    ("key", "team", "models"),
    [
        (["a", "b"], [], ("a", "b")),
        (["a", "b"], None, ("a", "b")),
        (["a", "b"], ["all-proxy-models"], ("a", "b")),
        (["a", "b"], ["*"], ("a", "b")),
        ([], ["no-default-models"], ("no-default-models",)),
        (["a"], ["no-default-models"], ("no-default-models",)),
        (["claude-*"], ["claude-haiku-*", "gpt-x"], ("claude-haiku-*",)),
        (["claude-haiku-*", "claude-x", "gpt-x"], ["claude-*"], ("claude-haiku-*", "claude-x")),
        (["claude-*", "a"], ["claude-*", "a"], ("claude-*", "a")),
        (["claude-*-5"], ["claude-haiku-*"], ("no-default-models",)),
    ],
)
def test_a_key_may_use_what_its_team_may_use_too(key: list[str], team: Any, models: tuple[str, ...]) -> None:
    both = imported(entry(models=key, team_id="t1"), teams=[{**TEAM, "models": team}])
    assert both.edit.keys[0].models == models
    told = any(notice.endswith("have none in common (1)") for notice in both.notices)
    assert told is (models == ("no-default-models",))


def test_a_key_whose_limits_are_not_known_is_disabled() -> None:
    lost = imported(entry(team_id="t9", models=["fast"]), teams=())
    assert (lost.edit.keys[0].status, lost.edit.keys[0].team) == ("disabled", None)
    assert lost.notices == (
        "keys are disabled: the file of /team/list lacks their team, whose limits are not known (1)",
    )  # fmt: skip
    alone = imported(entry(models=["all-team-models"]), teams=())
    assert alone.edit.keys[0].status == "disabled"
    assert alone.notices == ("keys are disabled: they have all-team-models, and no team (1)",)
    deleted = imported(entry(team_id="t1"), teams=[{**TEAM, "deleted_at": "2026-01-01"}])
    assert (deleted.edit.keys[0].status, deleted.edit.teams) == ("disabled", [])
    assert deleted.left_out == ("team 'Data': deleted_at: it is deleted; its keys are disabled",)


def test_a_blocked_team_blocks_its_keys_where_a_team_of_its_name_is_active() -> None:
    directory = directory_of(team("team_x", "data"))
    made = imported(entry(team_id="t1"), teams=[{**TEAM, "blocked": True}], directory=directory)
    assert (made.edit.keys[0].status, made.edit.keys[0].team) == ("disabled", "team_x")
    assert any("team is blocked in LiteLLM" in notice for notice in made.notices)


def test_teams_of_one_name_stay_two() -> None:
    teams = [TEAM, {**TEAM, "team_id": "t2", "blocked": True, "members_with_roles": None}]
    first = imported(entry(team_id="t1"), teams=teams)
    assert [(one.name, one.status) for one in first.edit.teams] == [("Data", "active"), ("Data-2", "disabled")]
    directory = applied(Directory(), first.edit)
    again = imported(entry("b" * 64, team_id="t2"), teams=teams, directory=directory).edit
    assert again.teams == []
    assert directory.teams[again.keys[0].team or ""].name == "Data-2"


def test_models_of_users_are_not_known() -> None:
    notice = "keys of a user without a team may use all models: the models of users are not in these lists (1)"
    assert notice in imported(entry(user_id="ann@example.com")).notices
    assert notice not in imported(entry(user_id="ann@example.com", models=["a"])).notices


ODD_KEYS = [
    ({"models": "gpt-x"}, "Expected `array"),
    ({"models": ["a b"]}, "models: 'a b' is not a model"),
    ({"models": [f"m{i}" for i in range(101)]}, "models: 101 entries"),
    ({"blocked": "yes"}, "Expected `bool | null`"),
    ({"team_id": 7}, "Expected `str | null`"),
    ({"expires": "soon"}, "expires: 'soon' is not a time"),
    ({"expires": "9999-12-31T23:59:59"}, "expires: it is not between 1970 and 9999-12-31"),
    ({"created_at": "0001-01-01"}, "created_at: it is not between 1970"),
    ({"key_alias": "a\u202eb"}, "key_alias: 'a\\u202eb' is not a name"),
    ({"key_alias": "a\ud800"}, "key_alias: 'a\\ud800' is not a name"),
    ({"allowed_routes": ["/embeddings"]}, "allowed_routes: ['/embeddings'] has no counterpart here"),
    ({"token": "sk-..."}, "token: it is not the SHA-256 of a secret"),
    ({"token": None}, "Expected `str`"),
    ({"deleted_at": "2026-01-01T00:00:00Z"}, "deleted_at: it is deleted"),
]


@pytest.mark.parametrize(("fields", "why"), ODD_KEYS)
def test_an_odd_key_is_left_out_by_name_and_the_others_are_imported(fields: dict[str, Any], why: str) -> None:
    made = imported(entry("a" * 64), entry(**{"key_alias": "odd", **fields}), entry("b" * 64, key_alias="last"))
    assert [one.name for one in made.edit.keys] == ["laptop", "last"]
    (left_out,) = made.left_out
    name = fields.get("key_alias", "odd")
    assert left_out.startswith(f"key {name!r}: ")
    assert why in left_out


def test_an_odd_team_is_left_out_and_its_keys_are_disabled() -> None:
    odd = {**TEAM, "members_with_roles": [7]}
    made = imported(entry(team_id="t1"), entry("b" * 64, team_id="t2"), teams=[odd, {**TEAM, "team_id": "t2"}])
    assert made.left_out[0].startswith("team 'Data': Expected `object`")
    assert [(one.status, one.models) for one in made.edit.keys] == [("disabled", ()), ("active", ("fast",))]


def test_a_token_that_comes_twice_is_one_key() -> None:
    first = entry(models=["a"])
    made = imported(first, {**first, "spend": 99.0}, entry(models=[]), entry("a" * 64))
    assert [(one.name, one.models) for one in made.edit.keys] == [("laptop", ("a",)), ("laptop-2", ())]
    assert len(made.edit.secrets) == 2
    assert made.left_out == ("key 'laptop': entry: it is there twice, and the two differ; the first one counts",)
    twice = imported(entry(team_id="t1"), teams=[TEAM, TEAM, {**TEAM, "models": []}])
    assert (len(twice.edit.teams), twice.edit.keys[0].models, len(twice.left_out)) == (1, ("fast",), 1)


def test_a_hint_that_cannot_be_seen_is_dropped() -> None:
    assert imported(entry(key_name="sk-\ud800")).edit.secrets[0].hint == ""


class CountingSet(set[str]):
    lookups = 0

    def __contains__(self, name: object) -> bool:
        self.lookups += 1
        return super().__contains__(name)


def test_equal_names_are_numbered_in_as_many_steps() -> None:
    taken = CountingSet({"a", "a-3", *(f"b-{number}" for number in range(2, 500))})
    names = UniqueNames(taken)
    assert [names.take(name) for name in ("A", "a", "a-2", "a")] == ["A-2", "a-4", "a-2-2", "a-5"]
    for _ in range(1000):
        names.take("b")
    assert taken.lookups <= 6 + 500 + 1000
    long = names.take("x" * 128)
    assert len(long) < len(names.take("x" * 128)) <= 128


@pytest.mark.parametrize(
    ("routes", "apis"),
    [
        (None, ()),
        (["llm_api_routes"], ()),
        (["/v1/chat/completions", "/chat/completions"], ("chat",)),
        (["/v1/messages", "/embeddings"], ("messages",)),
        (["openai_routes"], ("chat", "responses")),
    ],
)
def test_routes(routes: list[str] | None, apis: tuple[str, ...]) -> None:
    assert imported(entry(allowed_routes=routes)).edit.keys[0].apis == apis


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
    limits = {"max_budget": 5, "model_tpm_limit": {"fast": 10}, "model_rpm_limit": None, "aliases": {}}
    notices = imported(entry(**limits), entry(hashlib.sha256(b"2").hexdigest(), **limits)).notices
    assert "max_budget of keys is not carried over (2)" in notices
    assert "model_tpm_limit of keys is not carried over (2)" in notices
    assert not [notice for notice in notices if "rpm" in notice or "aliases" in notice]


def test_limits_come_along() -> None:
    theirs = {"rpm_limit": 60, "tpm_limit": 100_000, "max_parallel_requests": 5}
    made = imported(entry(**theirs), teams=[TEAM | {"rpm_limit": 90, "tpm_limit": None}]).edit
    assert made.keys[0].limits == Rates(rpm=60, tpm=100_000, concurrent=5)
    assert made.teams[0].limits == Rates(rpm=90)
    assert imported(entry()).edit.keys[0].limits is None


@pytest.mark.parametrize("field", ["rpm_limit", "tpm_limit", "max_parallel_requests"])
def test_a_key_that_may_send_nothing_is_left_out(field: str) -> None:
    made = imported(entry(**{field: 0}), teams=[TEAM | {field: 0}])
    assert not made.edit.keys
    assert not made.edit.teams
    assert all(f"{field}: 0 allows nothing" in one for one in made.left_out)


def test_lists_are_told_apart() -> None:
    documents = [{"keys": [entry()], "total_count": 1}, [TEAM], {"teams": [TEAM]}, [entry(team_id="t1"), None, "x"]]
    lists = read_lists([(f"{number}.json", one) for number, one in enumerate(documents)])
    assert (len(lists.keys), len(lists.teams)) == (2, 2)
    assert lists.left_out == [f"entry {number} of 3.json: it is neither a key nor a team" for number in (2, 3)]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"keys": ["a1b2"]}, "the keys are names only; ask LiteLLM for"),
        ({"data": []}, "expected the JSON of /key/list or of /team/list"),
        (7, "expected the JSON"),
    ],
)
def test_other_documents_are_refused(document: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_lists([("keys.json", document)])

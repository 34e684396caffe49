"""Risk: a change that leaves the directory inconsistent, revives a revoked key, or fights with the configuration."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import replace_secret, revoke_key, rotate_key, save_key, save_person, save_team, set_member
from modelmux.accounts.fields import FieldError
from modelmux.accounts.find import find_key, find_person, find_team
from modelmux.accounts.records import MAX_DEPTH, Key, Team
from support.directories import NOW, applied, directory_of, key, person, secret, team


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (team(name=" "), "name: '' is not a name; expected 1 to 128 printable characters"),
        (team(name="a\nb"), "name: 'a\\nb' is not a name"),
        (team(name="x" * 129), "is not a name"),
        (team(zone="Berlin"), "zone: 'Berlin' is not a time zone; expected a name such as Europe/Berlin"),
        (team(zone="../etc/passwd"), "zone: '../etc/passwd' is not a time zone"),
        (team(parent="team_x"), "parent: there is no team 'team_x'; create it first"),
        (team(contact="\x1b[31m"), "contact: "),
    ],
)
def test_fields_of_teams(record: Team, message: str) -> None:
    with pytest.raises(FieldError) as raised:
        save_team(Directory(), record)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"models": ("a b",)}, "models: 'a b' is not a model; expected names such as fast or claude-haiku-*"),
        ({"models": tuple(map(str, range(101)))}, "models: 101 entries; expected at most 100"),
        ({"addresses": ("10.1.2.3/8",)}, "addresses: '10.1.2.3/8' is not a network; did you mean 10.0.0.0/8?"),
        ({"addresses": tuple(f"10.0.0.{i}" for i in range(101))}, "addresses: 101 entries; expected at most 100"),
        ({"addresses": ("here",)}, "addresses: 'here' is not a network; expected one such as 10.0.0.0/8"),
        ({"tags": (("App", "x"),)}, "tags: 'App=x' is not a tag; expected app=chat"),
        ({"tags": tuple((str(i), "x") for i in range(17))}, "tags: 17 tags; expected at most 16"),
        ({"apis": ("chat", "embeddings")}, "apis: 'embeddings' is not an API; expected some of chat, responses, "),
        ({"team": "team_x"}, "team: there is no team 'team_x'"),
        ({"person": "usr_x"}, "person: there is no person 'usr_x'"),
        ({"expires": NOW}, "expires: it is in the past; expected a time to come"),
        (
            {"expires": 253_402_214_400_000_001},
            "expires: it is not between 1970 and 9999-12-31; expected a time within",
        ),
        ({"expires": -1}, "expires: it is not between 1970 and"),
    ],
)
def test_fields_of_keys(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError) as raised:
        save_key(Directory(), key(**fields), secret())
    assert message in str(raised.value)
    assert raised.value.field == message.partition(":")[0]


#: Controls, marks of direction, what has no width, private use, half a surrogate pair: what argv has for a byte \xff.
UNSEEN = ["\x1b", "\x85", "\u202e", "\u2066", "\u200b", "\u200f", "\ufeff", "\u2028", "\ue000", "\udcff", "\U000e0041"]


@pytest.mark.parametrize("character", UNSEEN, ids=lambda one: f"U+{ord(one):04X}")
def test_names_have_only_what_can_be_seen(character: str) -> None:
    name = f"a{character}b"
    for save in (
        lambda: save_key(Directory(), key(name=name)),
        lambda: save_team(Directory(), team(name=name)),
        lambda: save_team(Directory(), team(contact=name)),
        lambda: save_person(Directory(), person(name=name)),
        lambda: save_person(Directory(), person(email=f"{name}@example.com")),
    ):
        with pytest.raises(FieldError) as raised:
            save()
        assert str(raised.value).isprintable()
    assert save_key(Directory(), key(name="Zoë's 笔记本 🦊")).keys


def test_a_person_may_have_no_name() -> None:
    assert save_person(Directory(), person(name="")).people[0].name == ""


def test_a_grace_ends_at_a_time_that_can_be_written() -> None:
    with pytest.raises(FieldError, match="grace: it is not between 1970 and 9999-12-31"):
        rotate_key(directory_of(key(), secret("one")), "key_a", secret("two"), 10**18)


def test_fields_are_stored_in_one_form() -> None:
    stored = save_key(Directory(), key(name=" laptop ", models=("fast ", "fast"), addresses=("10.0.0.7",))).keys[0]
    assert (stored.name, stored.models, stored.addresses) == ("laptop", ("fast",), ("10.0.0.7/32",))
    assert save_person(Directory(), person(email=" Ann@Example.COM ")).people[0].email == "ann@example.com"


@pytest.mark.parametrize("email", ["", "ann", "ann@", "a b@example.com", "a@b@c", "<ann@example.com>", "a@b\n"])
def test_addresses_of_people(email: str) -> None:
    if email == "a@b\n":  # spaces around it are left out
        assert save_person(Directory(), person(email=email)).people[0].email == "a@b"
        return
    with pytest.raises(FieldError, match="is not an e-mail address"):
        save_person(Directory(), person(email=email))


def test_names_are_unique_among_what_can_be_used() -> None:
    directory = directory_of(team(), person(), key())
    with pytest.raises(FieldError, match="name: 'DATA' is taken by team_a"):
        save_team(directory, team("team_b", "DATA"))
    with pytest.raises(FieldError, match=r"email: 'ann@example\.com' is taken by usr_a"):
        save_person(directory, person("usr_b", "ANN@example.com"))
    with pytest.raises(FieldError, match="name: 'Laptop' is taken by key_a"):
        save_key(directory, key("key_b", "Laptop"), secret("two", "key_b"))
    revoked = applied(directory, revoke_key(directory, "key_a", NOW))
    assert save_key(revoked, key("key_b", "Laptop"), secret("two", "key_b")).keys


def test_teams_are_a_tree_of_three_levels() -> None:
    directory = directory_of(
        team("team_1", "one"), team("team_2", "two", parent="team_1"), team("team_3", "three", parent="team_2")
    )
    with pytest.raises(FieldError, match="teams would be more than 3 deep"):
        save_team(directory, team("team_4", "four", parent="team_3"))
    with pytest.raises(FieldError, match="parent: 'three' is below this team"):
        save_team(directory, team("team_1", "one", parent="team_3"))
    with pytest.raises(FieldError, match="is below this team"):
        save_team(directory, team("team_1", "one", parent="team_1"))
    other = applied(directory, save_team(directory, team("team_5", "five")))
    with pytest.raises(FieldError, match="more than 3 deep"):  # with what is below it
        save_team(other, team("team_1", "one", parent="team_5"))


def test_a_revoked_key_stays_revoked() -> None:
    directory = directory_of(key(), secret())
    directory = applied(directory, revoke_key(directory, "key_a", NOW))
    assert directory.keys["key_a"] == replace(key(), status="revoked", revoked=NOW)
    assert revoke_key(directory, "key_a", NOW + 1).is_empty
    ended = applied(directory, revoke_key(directory, "key_a", NOW + 1, ends_requests=True))
    assert ended.keys["key_a"] == replace(directory.keys["key_a"], ends_requests=True), "revoked when it was"
    assert revoke_key(ended, "key_a", NOW + 2, ends_requests=True).is_empty
    for change in (
        lambda: save_key(directory, key(status="active")),
        lambda: rotate_key(directory, "key_a", secret("two"), 0),
    ):
        with pytest.raises(FieldError, match="is revoked for good; create another one"):
            change()


def test_a_rotation_ends_the_secrets_of_before_after_the_grace() -> None:
    directory = directory_of(key(), secret("one"))
    directory = applied(directory, rotate_key(directory, "key_a", secret("two", created=NOW + 10), 100))
    assert [(one.hint, one.valid_until) for one in directory.secrets_of("key_a")] == [("one", NOW + 110), ("two", None)]
    directory = applied(directory, rotate_key(directory, "key_a", secret("three", created=NOW + 20), 0))
    ends = {one.hint: one.valid_until for one in directory.secrets_of("key_a")}
    assert ends == {"one": NOW + 20, "two": NOW + 20, "three": None}


def test_a_secret_that_reached_no_client_is_replaced_at_once() -> None:
    directory = directory_of(key(), secret("one"))
    directory = applied(directory, rotate_key(directory, "key_a", secret("lost", created=NOW + 10), 100))
    edit = replace_secret(directory, "key_a", secret("lost").digest, secret("two", created=NOW + 20))
    directory = applied(directory, edit)
    assert [(one.hint, one.valid_until) for one in directory.secrets_of("key_a")] == [
        ("one", NOW + 110), ("lost", NOW + 20), ("two", None),
    ]  # fmt: skip
    for digest in (secret("one").digest, secret("lost").digest):
        with pytest.raises(FieldError, match="another secret since"):
            replace_secret(directory, "key_a", digest, secret("three", created=NOW + 30))
    with pytest.raises(FieldError, match="another secret since"):
        replace_secret(directory_of(key()), "key_a", secret("one").digest, secret("two"))


def test_a_rotation_never_makes_a_secret_last_longer() -> None:
    directory = directory_of(key(), secret("one", valid_until=NOW + 5))
    directory = applied(directory, rotate_key(directory, "key_a", secret("two"), 100))
    assert directory.secrets_of("key_a")[0].valid_until == NOW + 5


def test_what_is_managed_is_changed_by_the_configuration_only() -> None:
    directory = directory_of(team(managed=True), person(managed=True), key(managed=True), secret())
    for change in (
        lambda: save_team(directory, team(name="New", managed=True)),
        lambda: save_person(directory, person(name="New")),
        lambda: save_key(directory, key(name="New")),
        lambda: rotate_key(directory, "key_a", secret("two"), 0),
        lambda: revoke_key(directory, "key_a", NOW),
    ):
        with pytest.raises(FieldError, match=r"is managed; change it in the configuration file"):
            change()
    assert save_team(directory, team(name="New"), by_config=True).teams[0].managed
    assert not save_team(Directory(), team(managed=True)).teams[0].managed, "only the configuration manages"


def test_things_are_found_by_what_people_call_them() -> None:
    directory = directory_of(team(), person(), key(), key("key_b", "laptop", status="revoked"))
    assert find_team(directory, " data ").id == find_team(directory, "team_a").id == "team_a"
    assert find_person(directory, "Ann@example.com").id == "usr_a"
    assert find_key(directory, "LAPTOP").id == "key_a"
    assert find_key(directory, "key_b").status == "revoked"
    with pytest.raises(FieldError, match="key: there is no key 'labtop'; did you mean 'laptop'"):
        find_key(directory, "labtop")
    with pytest.raises(FieldError, match="person: there is no person 'x'; list them with `modelmux people list`"):
        find_person(directory, "x")


class Changing(RuleBasedStateMachine):
    """Any sequence of changes leaves a directory in which everything that is referred to exists."""

    keys = Bundle("keys")
    teams = Bundle("teams")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Directory()
        self.revoked: set[str] = set()
        self.count = 0

    def _next(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def _try(self, edit: Any) -> bool:
        try:
            self.directory = applied(self.directory, edit())
        except FieldError:
            return False
        return True

    @rule(target=teams, name=st.sampled_from("abc"), parent=teams | st.none())
    def add_team(self, name: str, parent: str | None) -> Any:
        new = self._next("team_")
        return new if self._try(lambda: save_team(self.directory, team(new, name, parent=parent))) else multiple()

    @rule(moved=teams, parent=teams | st.none())
    def move_team(self, moved: str, parent: str | None) -> None:
        self._try(lambda: save_team(self.directory, replace(self.directory.teams[moved], parent=parent)))

    @rule(target=keys, name=st.sampled_from("xyz"), of=teams | st.none())
    def add_key(self, name: str, of: str | None) -> Any:
        new = self._next("key_")
        record = Key(id=new, name=name, team=of)
        return new if self._try(lambda: save_key(self.directory, record, secret(new, new))) else multiple()

    @rule(rotated=keys, grace=st.integers(0, 100))
    def rotate(self, rotated: str, grace: int) -> None:
        one = secret(self._next("s"), rotated, created=NOW + self.count)
        assert self._try(lambda: rotate_key(self.directory, rotated, one, grace)) is (rotated not in self.revoked)

    @rule(ended=consumes(keys))
    def revoke(self, ended: str) -> None:
        assert self._try(lambda: revoke_key(self.directory, ended, NOW))
        self.revoked.add(ended)

    @rule(kept=keys, status=st.sampled_from(["active", "disabled"]))
    def edit(self, kept: str, status: Any) -> None:
        self._try(lambda: save_key(self.directory, replace(self.directory.keys[kept], status=status)))

    @invariant()
    def all_is_sound(self) -> None:
        teams = self.directory.teams
        assert all(one.parent is None or one.parent in teams for one in teams.values())
        assert all(self.directory.team_path(one)[-1].id == one for one in teams)
        assert all(self.directory.team_path(one)[0].parent is None for one in teams), f"deeper than {MAX_DEPTH}"
        assert len({one.name for one in teams.values()}) == len(teams)
        usable = [one for one in self.directory.keys.values() if one.status != "revoked"]
        assert len({one.name for one in usable}) == len(usable)
        for one in self.directory.keys:
            assert sum(each.valid_until is None for each in self.directory.secrets_of(one)) == 1
            assert (self.directory.keys[one].status == "revoked") == (one in self.revoked)


TestChanging = Changing.TestCase


def test_members_come_and_go() -> None:
    directory = directory_of(team(), person())
    directory = applied(directory, set_member(directory, "usr_a", "team_a", "team_admin"))
    assert [(one.person, one.role) for one in directory.members_of("team_a")] == [("usr_a", "team_admin")]
    directory = applied(directory, set_member(directory, "usr_a", "team_a", None))
    assert directory.members_of("team_a") == []

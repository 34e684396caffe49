"""Risk: a secret is printed where it is logged, or twice; a command changes what it does not name, or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.secret_format import is_secret
from modelmux.cli.accounts.directory import instant, listed, print_table, tag_pairs
from support.cli import CommandResult, run

ON = ("--set", "accounts.enabled=true", "--set", "vertex.project=p", "--set", "vertex.location=global")
NOW = 1_800_000_000_000_000


def modelmux(home: Path, *arguments: str) -> CommandResult:
    return run(*arguments, *ON, home=home)


def done(home: Path, *arguments: str) -> CommandResult:
    result = modelmux(home, *arguments)
    assert result.code == 0, result.stderr
    return result


def as_json(home: Path, *arguments: str) -> Any:
    return json.loads(done(home, *arguments, "--json").stdout)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    done(tmp_path, "teams", "create", "Research", "--contact", "boss@example.com", "--zone", "Europe/Berlin")
    done(tmp_path, "teams", "create", "Data", "--parent", "research")
    done(tmp_path, "people", "create", "Ann@example.com", "--name", "Ann")
    return tmp_path


def test_the_secret_alone_is_on_stdout(home: Path) -> None:
    made = done(home, "keys", "create", "--name", "laptop", "--team", "data", "--person", "ann@example.com")
    secret = made.stdout.strip()
    assert is_secret(secret)
    assert secret not in made.stderr
    assert "laptop (key_" in made.stderr
    for command in (("keys", "list"), ("keys", "show", "laptop"), ("keys", "show", "laptop", "--json")):
        shown = done(home, *command).stdout
        assert secret not in shown
        assert f"{secret[:11]}...{secret[-4:]}" in shown
    files = b"".join(path.read_bytes() for path in home.rglob("accounts.db*") if path.is_file())
    assert secret.encode() not in files


def test_what_a_key_may_do(home: Path) -> None:
    rights = ("--models", "fast, claude-haiku-*", "--apis", "chat,messages", "--addresses", "10.0.0.0/8,192.0.2.7",
              "--tags", "env=prod,app=chat", "--expires", "2027-01-02")  # fmt: skip
    done(home, "keys", "create", "--name", "ci", "--team", "Data", *rights)
    key = as_json(home, "keys", "show", "ci")
    assert key["models"] == ["fast", "claude-haiku-*"]
    assert key["apis"] == ["chat", "messages"]
    assert key["addresses"] == ["10.0.0.0/8", "192.0.2.7/32"]
    assert key["tags"] == {"app": "chat", "env": "prod"}
    assert key["expires_at"] == "2027-01-02T00:00:00Z"
    assert key["status"] == "active"
    shown = done(home, "keys", "show", "ci").stdout
    assert "Research / Data" in shown
    assert "tags       app=chat, env=prod" in shown


def test_an_edit_changes_what_it_names(home: Path) -> None:
    done(home, "keys", "create", "--name", "ci", "--team", "data", "--models", "fast", "--expires", "90d")
    before = as_json(home, "keys", "show", "ci")
    done(home, "keys", "edit", "ci", "--disable", "--expires", "never", "--team", "none")
    after = as_json(home, "keys", "show", "ci")
    assert after == {**before, "status": "disabled", "expires_at": None, "team": None}
    done(home, "keys", "edit", "CI", "--name", "build", "--enable", "--models", "All")
    assert as_json(home, "keys", "show", "build") == {**after, "status": "active", "models": [], "name": "build"}


def test_words_clear_what_limits(home: Path) -> None:
    limits = ("--models", "fast", "--apis", "chat", "--addresses", "10.0.0.0/8", "--tags", "app=ci")
    done(home, "keys", "create", "--name", "ci", "--person", "ann@example.com", *limits)
    limited = as_json(home, "keys", "edit", "ci", "--enable")
    words = ("--models", "all", "--apis", "all", "--addresses", "all", "--tags", "none", "--person", "none")
    after = as_json(home, "keys", "edit", "ci", *words)
    assert after == {**limited, "models": [], "apis": [], "addresses": [], "tags": {}, "person": None}
    team = as_json(home, "teams", "show", "data")
    given = as_json(home, "teams", "edit", "data", "--contact", "ann", "--zone", "Europe/Paris")
    assert given == {**team, "contact": "ann", "zone": "Europe/Paris"}
    cleared = as_json(home, "teams", "edit", "data", "--contact", "none", "--zone", "None", "--parent", "none")
    assert cleared == {**team, "parent": None}
    assert as_json(home, "people", "edit", "ann@example.com", "--name", "none")["name"] == ""


def test_a_key_that_has_expired_is_not_shown_as_active(home: Path) -> None:
    created = done(home, "keys", "create", "--name", "old", "--expires", "1ms")
    assert "note: it expires at 20" in created.stderr, "a number without a unit is seconds"
    assert done(home, "keys", "list").stdout.splitlines()[1].split()[1:3] == ["old", "expired"]
    assert "status     expired" in done(home, "keys", "show", "old").stdout
    assert as_json(home, "keys", "show", "old")["status"] == "active", "machines compare expires_at"


def test_a_file_that_a_gateway_may_not_use_is_told_of(home: Path) -> None:
    elsewhere = ("--set", f"accounts.store=sqlite:{home}/elsewhere/accounts.db")
    first = done(home, "keys", "create", "--name", "ci", *elsewhere)
    assert "elsewhere/accounts.db, and one was made; if the gateway runs as another user or a service" in first.stderr
    assert "was made" not in done(home, "keys", "create", "--name", "cd", *elsewhere).stderr


def test_models_that_match_nothing_are_warned_of(home: Path) -> None:
    aliases = ("--set", "aliases.best=claude-opus-4-8")
    models = "best,claude-haiku-4-5-20251001,fast,gpt-*"
    created = done(home, "keys", "create", "--name", "ci", "--models", models, *aliases)
    assert "warning: models: nothing that this configuration serves is called fast, gpt-*; `modelmux" in created.stderr
    edited = done(home, "keys", "edit", "ci", "--models", "claude-sonnet-5,best")
    assert "is called best; `modelmux models` lists" in edited.stderr
    assert "warning" not in done(home, "keys", "edit", "ci", "--name", "build").stderr
    nothing = run("keys", "create", "--name", "x", "--models", "fast", "--set", "accounts.enabled=true", home=home)
    assert "is called" not in nothing.stderr, "where nothing is configured, it is not known"


def test_a40_a_rotation_keeps_the_key(home: Path) -> None:
    first = done(home, "keys", "create", "--name", "ci").stdout.strip()
    before = as_json(home, "keys", "show", "ci")
    second = done(home, "keys", "rotate", "ci", "--grace", "1h").stdout.strip()
    assert is_secret(second)
    assert second != first
    after = as_json(home, "keys", "show", "ci")
    assert after["id"] == before["id"]
    old, new = after["secrets"]
    assert (old["hint"][-4:], new["hint"][-4:], new["valid_until"]) == (first[-4:], second[-4:], None)
    assert old["valid_until"] is not None


def test_a_revoked_key_is_listed_on_request(home: Path) -> None:
    done(home, "keys", "create", "--name", "ci")
    done(home, "keys", "revoke", "ci")
    assert as_json(home, "keys", "list") == []
    (key,) = as_json(home, "keys", "list", "--all")
    assert (key["status"], key["name"]) == ("revoked", "ci")
    assert key["revoked_at"] is not None
    done(home, "keys", "revoke", key["id"])
    failed = modelmux(home, "keys", "edit", key["id"], "--enable", "--name", "x")
    assert failed.code == 1
    assert "is revoked for good" in failed.stderr


def test_lists_can_be_limited(home: Path) -> None:
    done(home, "keys", "create", "--name", "a", "--team", "research")
    done(home, "keys", "create", "--name", "b", "--team", "data", "--person", "ann@example.com")
    done(home, "keys", "create", "--name", "c")

    def names(*options: str) -> list[str]:
        return [key["name"] for key in as_json(home, "keys", "list", *options)]

    assert names() == ["a", "b", "c"]
    assert names("--team", "research") == ["a", "b"], "with the teams below"
    assert names("--team", "data") == ["b"]
    assert names("--person", "ANN@example.com") == ["b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("keys", "create", "--name", "x", "--team", "dta"), "there is no team 'dta'\nhint: Did you mean 'Data'?\n"),
        (("keys", "create", "--name", "x", "--expires", "soon"), "'soon' is not a time such as 90d, 2026-12-31 or"),
        (("keys", "create", "--name", "x", "--expires", "0"), "expires: it is in the past"),
        (("keys", "create", "--name", "x", "--addresses", "10.1.1.1/8"), "Did you mean 10.0.0.0/8?"),
        (("keys", "create", "--name", "x", "--apis", "embeddings"), "'embeddings' is not an API"),
        (("keys", "create", "--name", "x", "--tags", "app"), "'app=' is not a tag"),
        (("keys", "create", "--name", "x", "--expires", "9999999d"), "'9999999d' is not a duration of at most 36500d"),
        (("keys", "create", "--name", "x", "--models", ""), "--models is empty; give it a value, or leave the option"),
        (("keys", "create", "--name", "x", "--expires", " "), "--expires is empty; give it a value, or leave"),
        (("keys", "create", "--name", "x", "--team", ""), "--team is empty"),
        (("keys", "create", "--name", "x", "--models", " ,"), "' ,' lists nothing; expected names with commas"),
        (("keys", "create", "--name", "x\udcff"), "name: 'x\\udcff' is not a name"),
        (("teams", "create", "x", "--parent", ""), "--parent is empty"),
        (("keys", "create", "--name", ""), "name: '' is not a name"),
        *(
            (("keys", "edit", "x", f"--{option}", ""), f"--{option} is empty; give it a value, or leave the option out")
            for option in ("name", "team", "person", "models", "apis", "addresses", "tags", "expires")
        ),
        *(
            (("teams", "edit", "data", f"--{option}", " "), f"--{option} is empty")
            for option in ("name", "parent", "zone", "contact")
        ),
        (("people", "edit", "ann@example.com", "--name", ""), "--name is empty"),
        (("people", "edit", "ann@example.com", "--email", ""), "--email is empty"),
        (("keys", "edit", "x"), "name what to change"),
        (("keys", "revoke", "x"), "there is no key 'x'"),
        (("keys", "rotate", "x", "--grace", "1 week"), "'1 week' is not a time such as 24h or 30d"),
        (("people", "create", "ann"), "email: 'ann' is not an e-mail address"),
        (("people", "create", "ann@example.com"), "is taken by usr_"),
        (("teams", "create", "DATA"), "name: 'DATA' is taken by team_"),
        (("teams", "edit", "research", "--parent", "data"), "parent: 'Data' is below this team"),
        (("teams", "edit", "research", "--zone", "Nowhere"), "zone: 'Nowhere' is not a time zone"),
        (("teams", "add", "data", "bob@example.com"), "there is no person 'bob@example.com'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(home: Path, arguments: tuple[str, ...], message: str) -> None:
    before = as_json(home, "keys", "list"), as_json(home, "teams", "list"), as_json(home, "people", "list")
    failed = modelmux(home, *arguments)
    assert failed.code in (1, 2)
    assert message in failed.stderr
    assert failed.stdout == ""
    assert (as_json(home, "keys", "list"), as_json(home, "teams", "list"), as_json(home, "people", "list")) == before


def test_teams_and_their_members(home: Path) -> None:
    done(home, "teams", "add", "data", "ann@example.com", "--admin")
    team = as_json(home, "teams", "show", "Data")
    assert as_json(home, "teams", "edit", "Data", "--zone", "Europe/Paris") == {**team, "zone": "Europe/Paris"}
    (person,) = as_json(home, "people", "list")
    assert team["members"] == [{"person": person["id"], "role": "team_admin"}]
    listed = done(home, "teams", "list").stdout.splitlines()
    assert [line.split()[1] for line in listed] == ["NAME", "Research", "Research/Data"]
    done(home, "teams", "remove", "data", "ann@example.com")
    assert as_json(home, "teams", "show", "Data")["members"] == []
    done(home, "people", "edit", "ann@example.com", "--disable", "--name", "Ann B.")
    assert as_json(home, "people", "list")[0] | {"id": ""} == {
        "id": "", "email": "ann@example.com", "name": "Ann B.", "status": "disabled", "limits": {}, "managed": False,
    }  # fmt: skip


def test_names_cannot_forge_lines_or_columns(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done(home, "keys", "create", "--name", "a  b")
    lines = done(home, "keys", "list").stdout.splitlines()
    assert len(lines) == 2
    assert len(lines[1].split()) == 7
    print_table(("NAME", "TEAM"), [("a\n\u202eb", None)])
    assert capsys.readouterr().out == "NAME        TEAM\na\\n\\u202eb  -\n"


def test_who_did_what_is_kept(home: Path) -> None:
    done(home, "keys", "create", "--name", "ci")
    connection = sqlite3.connect(next(home.rglob("accounts.db")))
    actions = [row[0] for row in connection.execute("SELECT action FROM audit ORDER BY number")]
    connection.close()
    assert actions == ["team.create", "team.create", "person.create", "key.create"]


def test_the_author_is_the_user_of_the_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "somebody-else")
    assert run("keys", "create", "--name", "ci", *ON, home=home, **forged).code == 0
    (row,) = as_json(home, "accounts", "audit", "--limit", "1")
    assert row["author"] == pwd.getpwuid(os.getuid()).pw_name != "somebody-else"
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # which has no name
    done(home, "keys", "create", "--name", "cd")
    assert as_json(home, "accounts", "audit", "--limit", "1")[0]["author"] == f"uid {2**31 - 7}"


def test_without_accounts_a_warning_says_that_the_keys_are_of_no_use(tmp_path: Path) -> None:
    result = run("keys", "create", "--name", "x", home=tmp_path)
    assert "warning: accounts.enabled is false" in result.stderr
    assert is_secret(result.stdout.strip())


def test_the_file_and_the_pepper_are_the_owners_alone(home: Path) -> None:
    done(home, "keys", "create", "--name", "x")
    files = {path.name: path.stat().st_mode & 0o777 for path in next(home.rglob("accounts.db")).parent.iterdir()}
    assert {mode for name, mode in files.items() if name.startswith("accounts.db")} == {0o600}
    assert "accounts.db.pepper" in files


@pytest.mark.parametrize("content", ["", "xyz", "00" * 31, "\xff"])
def test_a_pepper_that_is_none_is_named(home: Path, content: str) -> None:
    pepper = next(home.rglob("accounts.db")).with_name("accounts.db.pepper")
    pepper.write_text(content, "latin-1")
    failed = modelmux(home, "keys", "create", "--name", "x")
    assert failed.code == 1
    assert f"{pepper}: not a pepper" in failed.stderr
    assert "from a backup" in failed.stderr
    assert pepper.read_text("latin-1") == content, "it is never replaced"


def test_times_and_lists() -> None:
    assert instant("90d", NOW) == NOW + 90 * 86_400_000_000
    assert instant("2026-12-31T12:00+01:00", NOW) == 1_798_714_800_000_000
    assert instant(" Never ", NOW) is None
    assert (listed(" ALL "), listed(" a, b ,"), listed("none")) == ((), ("a", "b"), ("none",))
    assert (tag_pairs("a=b=c, d"), tag_pairs("none")) == ((("a", "b=c"), ("d", "")), ())


def test_keys_of_litellm_go_on_working(tmp_path: Path) -> None:
    token = hashlib.sha256(b"sk-1234567890").hexdigest()
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{"token": token, "key_alias": "laptop", "models": [], "max_budget": 5}]}))
    tried = done(tmp_path, "accounts", "import", "keys.json", "--dry-run")
    assert "would import: 1 keys, 0 teams, 0 people" in tried.stderr
    assert as_json(tmp_path, "keys", "list") == []
    result = done(tmp_path, "accounts", "import", "keys.json")
    assert "warning: max_budget of keys is not carried over (1)" in result.stderr
    assert [key["name"] for key in as_json(tmp_path, "keys", "list")] == ["laptop"]
    assert "imported: 0 keys" in done(tmp_path, "accounts", "import", "keys.json").stderr
    (row,) = as_json(tmp_path, "accounts", "audit")
    assert (row["action"], row["origin"], row["before"]) == ("accounts.import", "cli", {})
    done(tmp_path, "teams", "create", "Data")
    done(tmp_path, "people", "create", "ann@example.com")
    rows = [one.split() for one in done(tmp_path, "accounts", "audit").stdout.splitlines()]
    assert [row[-1] for row in rows[:3]] == ["NAME", "ann@example.com", "Data"]
    odd = [{"token": "b" * 64, "key_alias": "tablet"}, {"token": "c" * 64, "key_alias": "odd", "models": 7}, None]
    keys.write_text(json.dumps({"keys": odd}))
    failed = modelmux(tmp_path, "accounts", "import", "keys.json")
    assert failed.code == 1
    assert "imported: 1 keys" in failed.stderr
    assert "error: left out: key 'odd': Expected `array | null`" in failed.stderr
    assert "error: left out: entry 3 of keys.json: it is neither a key nor a team\n" in failed.stderr
    assert [key["name"] for key in as_json(tmp_path, "keys", "list")] == ["laptop", "tablet"]
    for content in ("{", "[]x", '{"a": 1}'):
        keys.write_text(content)
        failed = modelmux(tmp_path, "accounts", "import", "keys.json")
        assert failed.code == 1
        assert "error: " in failed.stderr


def files(home: Path) -> dict[str, bytes]:
    """All but the transient ones of SQLite."""
    paths = (path for path in home.rglob("accounts.db*") if not path.name.endswith(("-wal", "-shm", "-lock")))
    return {path.name: path.read_bytes() for path in paths}


def test_commands_that_read_create_nothing(tmp_path: Path) -> None:
    exported = tmp_path / "keys.json"
    exported.write_text('{"keys": []}')
    for command in (
        ("keys", "list"), ("teams", "list"), ("people", "list"), ("accounts", "audit"),
        ("accounts", "import", str(exported), "--dry-run"),
    ):  # fmt: skip
        result = done(tmp_path, *command)
        if command[-1] == "list":
            assert "accounts.db yet; if the gateway runs as another user or a service, pass the path" in result.stderr
    assert not [*tmp_path.rglob("accounts.db*")]


def test_only_secrets_need_a_pepper(home: Path) -> None:
    assert not [*home.rglob("*.pepper")]
    done(home, "keys", "create", "--name", "ci")
    assert len([*home.rglob("*.pepper")]) == 1


def test_a_lost_pepper_is_not_replaced(home: Path) -> None:
    done(home, "keys", "create", "--name", "ci")
    done(home, "keys", "create", "--name", "laptop")
    (pepper,) = home.rglob("*.pepper")
    lost = pepper.read_text()
    pepper.unlink()
    before = files(home)
    for command in (("keys", "create", "--name", "new"), ("keys", "rotate", "ci")):
        failed = modelmux(home, *command)
        assert failed.code == 1
        assert f"2 keys have secrets of the pepper in {pepper}, which is missing: 'ci', 'laptop'" in failed.stderr
        assert f"make a new one with `umask 077; openssl rand -hex 32 > {pepper}`, give each" in failed.stderr
    assert files(home) == before
    pepper.write_text(lost[::-1].strip() + "\n")  # the remedy
    done(home, "keys", "rotate", "ci")
    done(home, "keys", "revoke", "laptop")
    done(home, "keys", "create", "--name", "new")


def test_a_lost_database_is_not_replaced(home: Path) -> None:
    done(home, "keys", "create", "--name", "ci")
    (database,) = home.rglob("accounts.db")
    database.unlink()
    for command in (("keys", "list"), ("keys", "create", "--name", "new"), ("accounts", "audit")):
        failed = modelmux(home, *command)
        assert failed.code == 1
        assert f"{database} has no keys, but it had some" in failed.stderr
        assert f"put back its backup, or remove {database}.keyed to begin without keys" in failed.stderr
    assert not database.exists()


def test_a_key_opts_in_and_out_of_captures(home: Path) -> None:
    done(home, "keys", "create", "--name", "laptop", "--capture")
    done(home, "keys", "create", "--name", "quiet")
    assert as_json(home, "keys", "show", "laptop")["capture"]
    assert not as_json(home, "keys", "show", "quiet")["capture"]
    assert "bodies of its requests may be kept" in done(home, "keys", "show", "laptop").stdout
    assert "bodies" not in done(home, "keys", "show", "quiet").stdout
    assert as_json(home, "keys", "edit", "laptop", "--models", "fast")["capture"]  # what is not named stays
    assert not as_json(home, "keys", "edit", "laptop", "--no-capture")["capture"]
    assert as_json(home, "keys", "edit", "quiet", "--capture")["capture"]
    (change, *_) = as_json(home, "accounts", "audit")
    assert "capture" in json.dumps(change)


@pytest.mark.parametrize("arguments", [
    ("people", "create", "bob@example.com"), ("teams", "add", "data", "ann@example.com", "--admin"),
    ("keys", "create", "--name", "k", "--team", "data", "--person", "ann@example.com", "--rpm", "5", "--budget", "5"),
    ("budget", "set", "all", "--limit", "5", "--each", "end_user"), ("limits", "set", "one", "--rpm", "5"),
    ("webhooks", "create", "pager", "https://example.com/"), ("accounts", "audit"), ("accounts", "export"),
], ids=" ".join)  # fmt: skip
def test_a52_accounts_need_no_server_and_no_package(
    arguments: tuple[str, ...], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of the extras: a file is enough, whatever is used of them."""
    for package in ("asyncpg", "redis", "hiredis", "pyarrow"):
        monkeypatch.setitem(sys.modules, package, None)
    done(home, *arguments)

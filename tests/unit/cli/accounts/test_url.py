"""The commands over the admin API. Risk: they print something else than on the store, a lost reply makes a second key,
or what is wrong is not named.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from modelmux.accounts.secret_format import is_secret
from modelmux.cli.accounts.api.client import MOST_ATTEMPTS
from support.admin import Admin, organisation
from support.admin_server import TOKEN, AdminServer
from support.cli import CommandResult, run
from support.processes import free_port
from support.remote import done, local, remote

TEAM = ("teams", "create", "Data", "--zone", "Europe/Berlin", "--rpm", "100")
PERSON = ("people", "create", "ann@example.com", "--name", "Ann")
KEY = ("keys", "create", "--name", "ci", "--team", "data", "--person", "ann@example.com", "--models", "fast")
BUDGET = ("budget", "set", "monthly", "--limit", "50", "--team", "data", "--alerts", "50,100")
EACH = ("budget", "set", "each", "--limit", "5", "--each", "key", "--per", "week", "--starts", "sunday", "--soft")
SETUP = (TEAM, PERSON, KEY, BUDGET, EACH)
#: Whatever differs between two runs: ids, secrets and their hints, and times of making.
_VARYING = re.compile(
    r"\b(?:key|team|usr|bud|lim|adj)_[0-9a-z]{20,}|sk-mmx-[\w.-]+|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+\d\d:\d\d)|(?<=by )\w+"
)
_AUTHOR = re.compile(r'"(created_by|author|origin)": "[^"]*"')
READS: tuple[tuple[str, ...], ...] = (
    ("keys", "list"), ("keys", "list", "--all", "--team", "data"), ("keys", "list", "--person", "ann@example.com"),
    ("keys", "show", "ci"), ("teams", "list"), ("teams", "show", "data"), ("people", "list"), ("budget", "list"),
    ("budget", "show", "monthly"), ("budget", "show", "each"), ("budget", "show", "each", "--subject", "ci"),
    ("limits", "list"),
)  # fmt: skip
WRITES: tuple[tuple[str, ...], ...] = (
    ("keys", "create", "--name", "more", "--budget", "20/day", "--tags", "app=chat", "--apis", "chat"),
    ("keys", "create", "--name", "more", "--expires", "90d", "--addresses", "10.0.0.0/8"),
    ("keys", "edit", "ci", "--models", "all", "--rpm", "5", "--team", "none", "--expires", "2030-01-01"),
    ("keys", "edit", "ci", "--disable", "--name", "CI"),
    ("keys", "edit", "ci", "--models", "fast"),
    ("keys", "rotate", "ci", "--grace", "2h"), ("keys", "rotate", "ci", "--grace", "0"), ("keys", "rotate", "ci"),
    ("keys", "revoke", "ci"), ("keys", "revoke", "ci", "--now"),
    ("teams", "create", "Low", "--parent", "data"), ("teams", "edit", "data", "--contact", "bob", "--rpm", "none"),
    ("teams", "edit", "data", "--disable", "--zone", "none"),
    ("people", "create", "bob@example.com"), ("people", "edit", "ann@example.com", "--name", "none", "--tpm", "5"),
    ("budget", "set", "new", "--limit", "9", "--unit", "requests", "--person", "ann@example.com", "--alerts", "all"),
    ("budget", "set", "monthly", "--limit", "60", "--team", "", "--model", "claude-opus-*"),
    ("budget", "set", "monthly", "--limit", "50"), ("budget", "set", "each", "--per", "day", "--hour", "6"),
    ("budget", "disable", "monthly"), ("budget", "enable", "monthly"),
    ("budget", "top-up", "monthly", "-5", "--reason", "less"),
    ("budget", "override", "each", "7", "--subject", "ci", "--until", "7d"),
    ("limits", "set", "all", "--rpm", "60", "--tag", "app"),
)  # fmt: skip
PLAIN: tuple[tuple[str, ...], ...] = (("teams", "add", "data", "ann@example.com", "--admin"),)
WRONG: tuple[tuple[str, ...], ...] = (
    ("keys", "show", "cj"), ("keys", "create", "--name", "ci"), ("keys", "create", "--name", "x", "--team", "dat"),
    ("keys", "create", "--name", "x", "--apis", "telnet"), ("keys", "create", "--name", "x", "--team", ""),
    ("keys", "edit", "ci"), ("budget", "set", "x"), ("budget", "set", "x", "--limit", "-1"),
    ("budget", "show", "monthly", "--subject", "ci"), ("teams", "edit", "data", "--parent", "data"),
    ("limits", "set", "x"),
)  # fmt: skip


def shown(result: CommandResult, server: AdminServer) -> tuple[int, str, str]:
    """What it prints, without what differs between two runs and warnings of this machine's configuration."""
    texts = [_VARYING.sub(lambda match: f"<{len(match[0])}>" if "@" in match[0] else "<>", text) for text in (
        result.stdout, "".join(line for line in result.stderr.splitlines(True) if not line.startswith("warning:")),
    )]  # fmt: skip
    out, err = (_AUTHOR.sub(r'"\1": ""', re.sub(r"  +", "  ", text)) for text in texts)
    return result.code, out, err


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_what_is_read_is_what_the_store_shows(server: AdminServer, home: Path, json: tuple[str, ...]) -> None:
    for command in (*SETUP, ("budget", "top-up", "monthly", "5"), ("limits", "set", "all", "--rpm", "6"), *PLAIN):
        done(server, home, *command)
    done(server, home, "keys", "rotate", "ci", "--grace", "1h")
    for command in READS:
        over_http = remote(server, home, *command, *json)
        direct = local(server.admin.path, home, *command, *json)
        assert over_http.code == 0, over_http.stderr
        assert (over_http.stdout, over_http.stderr) == (direct.stdout, ""), command


@pytest.mark.parametrize("command", WRITES, ids=" ".join)
@pytest.mark.parametrize("json", [(), ("--json",)], ids=["text", "json"])
def test_changes_print_and_do_the_same(
    server: AdminServer, home: Path, tmp_path: Path, command: tuple[str, ...], json: tuple[str, ...]
) -> None:
    here = tmp_path / "accounts.db"
    for one in SETUP:
        done(server, home, *one)
        assert local(here, home, *one).code == 0
    over_http, direct = remote(server, home, *command, *json), local(here, home, *command, *json)
    assert over_http.code == 0, over_http.stderr
    assert shown(over_http, server) == shown(direct, server)
    for read in (
        ("keys", "list", "--all"),
        ("teams", "list"),
        ("people", "list"),
        ("budget", "list"),
        ("limits", "list"),
    ):
        after = [local(path, home, *read, "--json") for path in (server.admin.path, here)]
        assert shown(after[0], server) == shown(after[1], server), read


@pytest.mark.parametrize("command", WRONG, ids=" ".join)
def test_what_is_wrong_is_named_as_on_the_store(
    server: AdminServer, home: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    here = tmp_path / "accounts.db"
    for one in SETUP:
        done(server, home, *one)
        assert local(here, home, *one).code == 0
    over_http, direct = remote(server, home, *command), local(here, home, *command)
    assert over_http.code != 0
    assert shown(over_http, server) == shown(direct, server)


def test_the_secret_alone_is_on_stdout_and_works(server: AdminServer, home: Path) -> None:
    done(server, home, *TEAM)
    done(server, home, *PERSON)
    made = done(server, home, *KEY, "--budget", "5/day")
    secret = made.stdout.strip()
    assert is_secret(secret)
    assert secret not in made.stderr
    assert made.stderr.count("budget ci (bud_") == 1
    again = done(server, home, "keys", "rotate", "ci").stdout.strip()
    assert is_secret(again)
    assert again != secret
    key = json.loads(done(server, home, "keys", "show", "ci", "--json").stdout)
    assert [one["hint"][-4:] for one in key["secrets"]] == [secret[-4:], again[-4:]]
    assert [one["limit"] for one in key["budgets"]] == ["5"]


def test_the_grace_of_a_key_whose_secret_has_no_hint_is_that_of_the_command(server: AdminServer, home: Path) -> None:
    """One of LiteLLM that was imported: without its grace, the gateway keeps the old secret for a day."""
    (home / "keys.json").write_text(json.dumps({"keys": [{"token": "0b" * 32, "key_alias": "old"}]}))
    done(server, home, "accounts", "import", str(home / "keys.json"))
    result = done(server, home, "keys", "rotate", "old", "--grace", "0")
    assert "the old secret is not valid any more" in result.stderr
    secrets = json.loads(done(server, home, "keys", "show", "old", "--json").stdout)["secrets"]
    assert [one["hint"] for one in secrets] == [f"{result.stdout[:11]}...{result.stdout.strip()[-4:]}"]


def test_a_key_without_its_budget_is_named(server: AdminServer, home: Path) -> None:
    server.broken.add(("POST", "/admin/v1/budgets"))
    result = remote(server, home, "keys", "create", "--name", "ci", "--budget", "5/day")
    assert (result.code, result.stdout) == (1, "")
    (key,) = json.loads(done(server, home, "keys", "list", "--json").stdout)
    assert f"modelmux keys rotate {key['id']}" in result.stderr


def test_members_come_and_go(server: AdminServer, home: Path) -> None:
    for command in (TEAM, PERSON):
        done(server, home, *command)
    member = ("data", "ann@example.com")
    for what, role in (("add", "member"), ("add", "team_admin"), ("remove", None), ("remove", None)):
        options = ("--admin",) if role == "team_admin" else ()
        assert "ann@example.com" in done(server, home, "teams", what, *member, *options).stderr
        members = json.loads(done(server, home, "teams", "show", "data", "--json").stdout)["members"]
        assert [one["role"] for one in members] == ([role] if role else [])


def test_a_token_that_others_may_read_on_its_way_is_told_of(home: Path) -> None:
    url = f"http://0.0.0.0:{free_port()}"
    result = run("keys", "list", "--url", url, home=home, MODELMUX_ADMIN_TOKEN=TOKEN)
    assert "warning: the token and secrets of keys go to 0.0.0.0 without encryption" in result.stderr


def test_a_lost_reply_makes_no_second_key(server: AdminServer, home: Path) -> None:
    server.lose = 1
    secret = done(server, home, "keys", "create", "--name", "ci").stdout.strip()
    posts = [key for method, path, key in server.calls if (method, path) == ("POST", "/admin/v1/keys")]
    assert len(posts) == 2
    assert len(set(posts)) == 1
    (key,) = json.loads(done(server, home, "keys", "list", "--json", "--all").stdout)
    (valid,) = json.loads(done(server, home, "keys", "show", key["id"], "--json").stdout)["secrets"]
    assert valid["hint"][-4:] == secret[-4:], "the secret that is printed is the one that works"
    done(server, home, "keys", "create", "--name", "other")
    assert len({key for method, _, key in server.calls if method == "POST"}) == 2, "another change has another key"


def test_replies_that_stay_lost_end_the_command(server: AdminServer, home: Path) -> None:
    server.lose = 100
    result = remote(server, home, "keys", "create", "--name", "ci")
    assert result.code == 1
    assert "may have been made" in result.stderr
    assert result.stdout == ""
    assert sum(method == "POST" for method, _, _ in server.calls) == MOST_ATTEMPTS


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_gateway_is_asked_again(server: AdminServer, home: Path, status: int) -> None:
    server.answers = [(status, b"0")] * (MOST_ATTEMPTS - 1)
    done(server, home, "teams", "list")
    server.answers = [(status, b"0")] * MOST_ATTEMPTS
    result = remote(server, home, "teams", "list")
    assert (result.code, result.stderr) == (1, "error: Not now. Try again shortly\n")


@pytest.mark.parametrize(
    ("end", "token", "expected"),
    [
        ("", "token-of-another", "set MODELMUX_ADMIN_TOKEN"),
        ("", "", "MODELMUX_ADMIN_TOKEN is not set"),
        ("", "t\u00f6ken", "MODELMUX_ADMIN_TOKEN is not a token"),
        ("/elsewhere", TOKEN, "without /admin/v1"),
        ("?x=1", TOKEN, "contains a query"),
    ],
)
def test_a_wrong_token_or_url_is_named(server: AdminServer, home: Path, end: str, token: str, expected: str) -> None:
    for command in (("keys", "list"), ("usage",), ("accounts", "audit")):
        result = run(*command, "--url", server.url + end, home=home, MODELMUX_ADMIN_TOKEN=token)
        assert result.code == 1
        assert expected.lower() in result.stderr.lower()
        assert "hint: " in result.stderr


@pytest.mark.parametrize("end", ["/", "/admin/v1", "/admin/v1/"])
def test_the_path_of_the_api_may_be_named_too(server: AdminServer, home: Path, end: str) -> None:
    assert run("keys", "list", "--url", server.url + end, home=home, MODELMUX_ADMIN_TOKEN=TOKEN).code == 0


def test_where_nothing_listens(home: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run("keys", "list", "--url", url, home=home, MODELMUX_ADMIN_TOKEN=TOKEN)
    assert result.code == 1
    assert "nothing responds at" in result.stderr
    assert "admin.listen" in result.stderr


def test_the_variable_names_the_gateway_too(server: AdminServer, home: Path) -> None:
    variables = {"MODELMUX_ADMIN_URL": server.url, "MODELMUX_ADMIN_TOKEN": TOKEN}
    made = run("teams", "create", "Data", home=home, **variables)
    assert (made.code, made.stdout) == (0, ""), made.stderr
    assert "Data" in run("teams", "list", home=home, **variables).stdout
    assert not [path for path in home.rglob("*") if path.is_file()], "nothing is written on this machine"


@pytest.mark.parametrize(
    "command",
    [
        ("accounts", "backup", "x.db"),
        ("accounts", "apply"),
        ("accounts", "diff"),
        ("accounts", "export"),
    ],
)
def test_commands_that_need_the_files_of_the_gateway_say_so(home: Path, command: tuple[str, ...]) -> None:
    url = "http://127.0.0.1:1"
    forms: list[tuple[tuple[str, ...], dict[str, str]]] = [
        ((*command, "--url", url), {}), (command, {"MODELMUX_ADMIN_URL": url}),
    ]  # fmt: skip
    for arguments, variables in forms:
        result = run(*arguments, home=home, **variables)
        assert result.code == 1
        assert "works on the files of the gateway" in result.stderr


@pytest.mark.parametrize("options", [("--dry-run",), ()])
def test_an_import_does_and_prints_the_same(
    server: AdminServer, home: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    here = tmp_path / "accounts.db"
    keys = [
        {"token": f"{number:064x}", "key_alias": f"k{number}", "team_id": "t1", "models": ["fast"], "max_budget": 5}
        for number in range(1, 5)
    ]
    keys += [{"token": "not a hash", "key_alias": "bad"}, {"token": "f" * 64, "key_alias": "other", "team_id": "gone"}]
    (home / "keys.json").write_text(json.dumps({"keys": [*keys, "nothing"]}))
    (home / "teams.json").write_text(json.dumps([{"team_id": "t1", "team_alias": "Data", "models": ["fast", "deep"]}]))
    for _ in range(2):
        command = ("accounts", "import", "keys.json", "teams.json", *options)
        over_http, direct = remote(server, home, *command), local(here, home, *command)
        assert (over_http.code, over_http.stdout) == (direct.code, direct.stdout) == (1, "")
        of_this_machine = ("models: nothing that this configuration", "there is no file", "there was no file")
        told = [line for line in direct.stderr.splitlines() if not any(text in line for text in of_this_machine)]
        assert over_http.stderr.splitlines() == told
    lists = [shown(local(path, home, "keys", "list", "--json"), server) for path in (server.admin.path, here)]
    assert lists[0] == lists[1]
    assert lists[0][1].count('"name"') == (0 if options else 5)


def test_the_audit_log(server: AdminServer, home: Path) -> None:
    for command in (TEAM, PERSON, KEY):
        done(server, home, *command)
    for options in ((), ("--limit", "2"), ("--json",)):
        over_http, direct = (
            done(server, home, "accounts", "audit", *options),
            local(server.admin.path, home, "accounts", "audit", *options),
        )
        assert over_http.stdout == direct.stdout


def test_what_a_token_may_not_see_is_left_out(server: AdminServer, home: Path) -> None:
    for command in (*SETUP, ("teams", "create", "own"), ("keys", "create", "--name", "mine", "--team", "own")):
        done(server, home, *command)
    viewer = remote(server, home, "budget", "list", token="token-viewer")
    assert viewer.code == 0, viewer.stderr
    assert "monthly" in viewer.stdout
    assert remote(server, home, "budget", "show", "monthly", token="token-viewer").code == 0
    refused = remote(server, home, "keys", "list", token="token-viewer")
    assert (refused.code, refused.stdout) == (1, "")
    assert "viewer may not GET /admin/v1/keys" in refused.stderr
    refused = remote(server, home, "budget", "disable", "monthly", token="token-viewer")
    assert "may not PATCH" in refused.stderr


async def test_a_role_sees_its_part(server: AdminServer, home: Path) -> None:
    other = Admin(server.admin.path.parent)
    await organisation(other)
    await other.aclose()

    async def see(role: str, *command: str) -> str:
        result = await asyncio.to_thread(remote, server, home, *command, token=f"token-{role}")
        assert result.code == 0, result.stderr
        return result.stdout

    assert "own/low" in await see("team_admin", "teams", "list")
    assert "other" not in await see("team_admin", "keys", "list")
    assert "team_own" in await see("member", "keys", "list"), "a team without its name"
    assert "usr_own" in await see("member", "keys", "show", "own", "--json")
    await see("team_admin", "keys", "create", "--name", "new", "--team", "low")
    assert is_secret((await see("member", "keys", "rotate", "own")).strip())
    foreign = await asyncio.to_thread(
        remote, server, home, "keys", "create", "--name", "x", "--team", "other", token="token-team_admin"
    )
    assert (foreign.code, foreign.stdout) == (1, "")

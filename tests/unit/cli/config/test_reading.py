"""``config show``, ``validate`` and ``path``: what is said of settings from every place, and of none."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import pytest

from modelmux.config import parse
from support.cli import check_snapshot, run, run_process

SYSTEM = "[server]\nport = 4000\n"
USER = """\
[server]
api_keys = ["sk-very-secret"]
drain_timeout = "90s"

[auth]
service_account_file = "~/key.json"

[vertex]
project = "my-project"
base_url = "http://user:hunter2@localhost:1"

[[vertex.models]]
name = "fast"
model = "claude-haiku-4-5@20251001"
locations = ["eu", "us"]

[[vertex.models.deployments]]
location = "eu"
weight = 3

[aliases]
gpt-4o = "fast"
new = { model = "claude-opus-5", successor = "claude-opus-5-5", from = 2027-01-31 }

[[catalog]]
id = "claude-new"
context = 5
"""
WRONG = """\
[vertex]
project = "p"
location = "global"
base_url = "https://x"

[[vertex.models]]
name = "fast"
model = "claude-haiku-4-5@20251001"

[[vertex.models]]
name = "FAST"
model = "claude-opus-5"

[fetch]
allow = ["example.com", "https://no"]
allow_private = ["10.0.0.1/8"]

[[streaming.clients]]
contains = "x"
mode = "never"

[[catalog]]
id = "claude-new"
contxt = 5
"""


def user_file(home: Path, text: str = USER) -> Path:
    file = home / ".config" / "modelmux" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def test_nothing_configured(tmp_path: Path) -> None:
    check_snapshot(
        "config_nothing",
        *(run("config", *command, home=tmp_path) for command in (["show"], ["validate"], ["path"], ["show", "--json"])),
    )


def test_all_defaults(tmp_path: Path) -> None:
    said = run("config", "show", "--all", home=tmp_path)
    check_snapshot("config_show_all", said)
    parse(said.stdout)


def test_whose_bodies_are_captured_is_shown(tmp_path: Path) -> None:
    on = ("--set", "capture.enabled=true", "--set", f"server.state_dir={tmp_path}")
    said = run("config", "show", *on, "--set", "accounts.enabled=true", home=tmp_path)
    line = f"# Bodies are captured of virtual keys that opted in: in {tmp_path}/captures.db for 3 days."
    assert line in said.stdout.splitlines()
    parse(said.stdout)
    assert "Bodies" not in run("config", "show", "--set", "accounts.enabled=true", home=tmp_path).stdout
    assert "Bodies" not in run("config", "show", *on, home=tmp_path).stdout  # nobody could opt in
    wrong = run("config", "validate", *on, "--set", "vertex.project=p", "--set", "vertex.location=us", home=tmp_path)
    assert "no key can opt in" in wrong.stderr


def test_origins(tmp_path: Path) -> None:
    user_file(tmp_path)
    (tmp_path / ".env").write_text("VERTEX_LOCATION=eu\n")
    variables = {"MODELMUX_SERVER_PORT": "8080", "VERTEX_PROJECT": "other"}
    show = ["config", "show", "--set", "streaming.mode=never"]
    check_snapshot(
        "config_show_origin",
        run(*show, "--origin", home=tmp_path, **variables),
        run(*show, "--json", home=tmp_path, **variables),
    )


def test_what_is_shown_can_be_loaded_again_and_holds_no_secret(tmp_path: Path) -> None:
    user_file(tmp_path)
    for options in ([], ["--origin"], ["--all"], ["--json"]):
        said = run("config", "show", *options, home=tmp_path)
        assert "very-secret" not in said.stdout + said.stderr
        assert "hunter2" not in said.stdout + said.stderr
        assert "my-project" in said.stdout
        if "--json" in options:
            assert json.loads(said.stdout)["config"]["server"]["drain_timeout"] == 90.0
            continue
        config = parse(said.stdout)
        assert config.vertex.models == parse(USER).vertex.models
        assert config.aliases == parse(USER).aliases
        assert (config.server.drain_timeout, config.catalog) == (90, [{"id": "claude-new", "context": 5}])
    assert tomllib.loads(run("config", "show", home=tmp_path).stdout).keys() == tomllib.loads(USER).keys()


#: A metadata server may have credentials, whatever machine this is.
METADATA = {"GCE_METADATA_HOST": "metadata.test"}
NAMES = ("wrong", "bad", "good", "no")


def test_everything_wrong_at_once_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text(WRONG)
    (tmp_path / "bad.toml").write_text("[server]\nprot = 1\nport = 'x'\n[vertx]\n")
    (tmp_path / "good.toml").write_text("[vertex]\nproject = 'p'\nlocation = 'eu'\nmodel = 'claude-opus-5'\n")
    files = [run("config", "validate", f"{name}.toml", home=tmp_path, **METADATA) for name in NAMES]
    variables = METADATA | {"VERTEX_PROJECT": "p", "VERTEX_REGION": "eu", "PORT": "80", "MODELMUX_PROT": "1"}
    environment = run("config", "validate", home=tmp_path, **variables)
    counted = re.sub(r"\d+ models", "N models", environment.stdout)  # all of the catalog
    check_snapshot("config_validate", *files, dataclasses.replace(environment, stdout=counted))


def test_missing_credentials_are_a_warning_with_a_remedy(tmp_path: Path) -> None:
    said = run("config", "validate", home=tmp_path, MODELMUX_AUTH_SERVICE_ACCOUNT_FILE="/nonexistent/key.json",
               VERTEX_PROJECT="p", VERTEX_REGION="eu")  # fmt: skip
    assert said.code == 0
    assert "warning: it would serve, but not be ready: The Google credentials file does not exist" in said.stderr
    assert "Check auth.service_account_file" in said.stderr


def test_a_model_that_is_not_served_there_is_named_with_its_line(tmp_path: Path) -> None:
    text = "[vertex]\nproject = 'p'\nlocation = 'us-east5'\n[[vertex.models]]\nname = 'big'\nmodel = 'claude-opus-5'\n"
    (tmp_path / "c.toml").write_text(text)
    said = run("config", "validate", "c.toml", home=tmp_path)
    assert said.code == 1
    assert "error: c.toml:4: vertex.models 'big': " in said.stderr
    assert "us-east5" in said.stderr


VERTEX = "[vertex]\nproject = 'p'\nlocation = 'global'\n"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("tags = ['x']", "accounts.keys[0].tags: 'x=' is not a tag"),
        ("models = ['']", "accounts.keys[0].models: '' is not a model"),
        ("expires = 'tomorrow'", "accounts.keys[0].expires: 'tomorrow' is not a time"),
        ("sha256 = 'x'", "accounts.keys[0] needs either variable or sha256"),
        ("[[accounts.keys]]\nname = 'CI'\nvariable = 'D'", "accounts.keys[1].name: it is named twice"),
        ("[[accounts.keys]]\nname = 'b'\nvariable = 'C'", "accounts.keys[1].secret: it is that of the key 'ci'"),
        ("[[accounts.teams]]\nname = 'a'\nzone = 'x'", "accounts.teams[0].zone: 'x' is not a time zone"),
        ("[[accounts.teams]]\nname = 'a'\nparent = 'a'", "accounts.teams[0].parent: 'a' is below this team"),
    ],
)
def test_keys_and_teams_of_the_file_are_checked(tmp_path: Path, entry: str, problem: str) -> None:
    key = "[accounts]\nenabled = true\n[[accounts.keys]]\nname = 'ci'\nvariable = 'C'\n"
    (tmp_path / "c.toml").write_text(f"{VERTEX}{key}{entry}\n")
    checked = run("config", "validate", "c.toml", home=tmp_path)
    assert checked.code == 1
    assert problem in checked.stderr


@pytest.mark.parametrize("store", ["/var/lib/accounts.db", "mysql://host/db", "sqlite:"])
def test_where_the_accounts_are_is_checked(tmp_path: Path, store: str) -> None:
    accounts = f"[accounts]\nstore = '{store}'\n"
    for enabled, code in (("enabled = true\n", 1), ("", 0)):
        (tmp_path / "c.toml").write_text(f"{VERTEX}{accounts}{enabled}")
        checked = run("config", "validate", "c.toml", home=tmp_path)
        assert checked.code == code, checked.stderr
        assert ("accounts.store: " in checked.stderr) == bool(enabled)


@pytest.mark.parametrize("password", ["canary", "canary/x", "can@ry", "canary#x"])
def test_the_password_of_a_database_is_not_shown(tmp_path: Path, password: str) -> None:
    url = f"postgresql://modelmux:{password}@host/db"
    (tmp_path / "c.toml").write_text(
        f"{VERTEX}[accounts]\nenabled = true\npeppers = ['{'p' * 40}']\nstore = '{url}'\nlisten_url = '{url}'\n"
    )
    for command in ("show", "validate"):
        arguments = ("c.toml",) if command == "validate" else ("--config", "c.toml")
        shown = run("config", command, *arguments, home=tmp_path)
        assert password not in shown.stdout + shown.stderr
        if command == "show":
            assert "***@host/db" in shown.stdout, shown.stderr


def test_what_a_start_here_would_be_refused_for_is_warned_of(tmp_path: Path) -> None:
    """Another machine may have the variables and the accounts, so these are warnings."""
    entries = (
        "[[accounts.teams]]\nname = 'a'\nparent = 'Above'\n"
        "[[accounts.keys]]\nname = 'ci'\nvariable = 'C'\nteam = 'data'\nperson = 'ann@example.com'\n"
        "[[accounts.keys]]\nname = 'cd'\nvariable = 'D'\nteam = 'A'\nperson = 'ann@example.com'\n"
    )
    (tmp_path / "c.toml").write_text(f"{VERTEX}[accounts]\nenabled = true\n{entries}")
    checked = run("config", "validate", "c.toml", home=tmp_path, **METADATA)
    assert checked.code == 0
    lines = checked.stderr.splitlines()
    assert lines[:2] == [
        f"warning: a start here would fail: accounts.keys[{index}].variable: {variable} is not set here; "
        "set it where the gateway starts"
        for index, variable in enumerate("CD")
    ]
    (line,) = lines[2:]
    assert line.startswith("warning: a start here would fail: accounts.teams[0].parent: ")
    assert "Above" in line
    assert not list(tmp_path.rglob("accounts.db*"))

    shared = f'store = "postgresql://u:canary@127.0.0.1:1/d"\npeppers = ["{"p" * 40}"]\n{entries}'
    (tmp_path / "c.toml").write_text(f"{VERTEX}[accounts]\nenabled = true\n{shared}")
    checked = run("config", "validate", "c.toml", home=tmp_path, C="c" * 9, **METADATA)
    assert (checked.code, len(checked.stderr.splitlines())) == (0, 2)
    assert "canary" not in checked.stderr
    assert "accounts.keys[1].variable: D is not set here" in checked.stderr
    assert checked.stderr.endswith("unless the database of accounts.store has it: `modelmux doctor` looks there\n")


def test_what_the_accounts_here_have_is_not_asked_for(tmp_path: Path) -> None:
    key = "[[accounts.keys]]\nname = 'ci'\nvariable = 'C'\nteam = 'data'\n"
    budget = "[[accounts.budgets]]\nname = 'all'\nlimit = '5'\napplies_to = { team = 'ops', key = 'laptop' }\n"
    (tmp_path / "c.toml").write_text(f"{VERTEX}[accounts]\nenabled = true\n{key}{budget}")
    secret = "MODELMUX-of-a-test-0123456789-abcdefghij"
    before = run("config", "validate", "c.toml", home=tmp_path, C=secret, **METADATA)
    assert "warning: a start here would fail: accounts.keys[0].team: " in before.stderr
    (tmp_path / ".env").write_text(f"C={secret}\n")
    for name in ("data", "ops"):
        assert run("teams", "create", name, home=tmp_path, MODELMUX_ACCOUNTS_ENABLED="true").code == 0
    lacks = run("config", "validate", "c.toml", home=tmp_path, **METADATA)
    assert "a start here would fail: accounts.budgets[0].applies_to.key: " in lacks.stderr
    assert run("keys", "create", "--name", "laptop", home=tmp_path, MODELMUX_ACCOUNTS_ENABLED="true").code == 0
    after = run("config", "validate", "c.toml", home=tmp_path, **METADATA)
    assert (after.code, after.stderr) == (0, "")
    weak = run("config", "validate", "c.toml", home=tmp_path, C="short", **METADATA)
    assert weak.stderr.startswith("warning: a start here would fail: accounts.keys[0].variable: C has fewer than ")


def test_models_of_keys_that_match_nothing_are_warned_of(tmp_path: Path) -> None:
    key = "[[accounts.keys]]\nname = 'ci'\nvariable = 'C'\nmodels = ['claude-opus-5', 'gpt-*']\n"
    (tmp_path / "c.toml").write_text(f"{VERTEX}[accounts]\nenabled = true\n{key}")
    checked = run("config", "validate", "c.toml", home=tmp_path, **METADATA)
    assert checked.code == 0
    assert "accounts.keys[0].models: nothing that this configuration serves is called gpt-*\n" in checked.stderr


def test_budgets_and_limits_that_apply_to_nothing_are_warned_of(tmp_path: Path) -> None:
    entries = (
        "[[accounts.budgets]]\nname = 'dear'\nlimit = '5'\napplies_to = { model = 'claude-opsu-*' }\n"
        "[[accounts.budgets]]\nname = 'right'\nlimit = '5'\napplies_to = { model = 'claude-opus-*' }\n"
        "[[accounts.limits]]\nname = 'fast'\nrpm = 5\napplies_to = { route = 'fats' }\n"
    )
    (tmp_path / "c.toml").write_text(f"{VERTEX}[accounts]\nenabled = true\n{entries}")
    checked = run("config", "validate", "c.toml", home=tmp_path, **METADATA)
    assert checked.code == 0
    called = "that this configuration serves is called"
    model = f"accounts.budgets[0].applies_to.model: no model {called} claude-opsu-*, so it applies to nothing\n"
    route = f"accounts.limits[0].applies_to.route: nothing {called} fats, so it applies to nothing\n"
    assert model in checked.stderr
    assert route in checked.stderr
    assert checked.stderr.count("applies to nothing") == 2


def test_a_named_file_takes_the_place_of_the_others(tmp_path: Path) -> None:
    user_file(tmp_path)
    check_snapshot(
        "config_path",
        run("config", "path", home=tmp_path),
        run("config", "path", "--config", "mine.toml", "--json", home=tmp_path),
        run("config", "path", home=tmp_path, MODELMUX_CONFIG="~/mine.toml"),
    )


def test_wrong_service_account_text_is_named_and_not_shown(tmp_path: Path) -> None:
    said = run("config", "validate", home=tmp_path, MODELMUX_AUTH_SERVICE_ACCOUNT_JSON="not-json-secret",
               VERTEX_PROJECT="p", VERTEX_REGION="eu")  # fmt: skip
    assert said.code == 1
    assert "environment MODELMUX_AUTH_SERVICE_ACCOUNT_JSON: auth.service_account_json: not a JSON" in said.stderr
    assert "not-json-secret" not in said.stderr


def test_what_is_shown_to_a_pipe_has_no_colours(tmp_path: Path) -> None:
    said = run_process("config", "show", home=tmp_path)
    assert said.code == 0
    assert "\x1b" not in said.stdout + said.stderr


def test_a_seal_key_that_cannot_be_used_is_a_problem_with_its_line_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[vertex]\nproject = 'p'\nlocation = 'eu'\n[server]\nseal_keys = ['abc123xyz']\n")
    result = run("config", "validate", "c.toml", home=tmp_path)
    assert result.code == 1
    assert "c.toml:5: server.seal_keys[0]: a seal key has 64 or 128 hexadecimal digits" in result.stderr
    assert "openssl rand" in result.stderr
    assert "abc123xyz" not in result.stderr


def test_the_options_that_were_read_are_named(tmp_path: Path) -> None:
    variables = {"VERTEX_PROJECT": "p", "VERTEX_LOCATION": "global"}
    said = run("config", "validate", "--set", "server.port=1234", home=tmp_path, **variables)
    assert "read command line (server.port)\n" in said.stdout


def test_a_misspelt_model_is_a_warning_with_the_nearest_name(tmp_path: Path) -> None:
    text = "[vertex]\nproject = 'p'\nlocation = 'eu'\n[[vertex.models]]\nname = 'fast'\nmodel = 'claude-haiku-55'\n"
    (tmp_path / "c.toml").write_text(text)
    said = run("config", "validate", "c.toml", home=tmp_path, **METADATA)
    assert said.code == 0
    assert "warning: c.toml:4: vertex.models 'fast': claude-haiku-55 is not in the catalog" in said.stderr
    assert "did you mean claude-haiku-5-5?" in said.stderr
    assert "[[catalog]]" in said.stderr

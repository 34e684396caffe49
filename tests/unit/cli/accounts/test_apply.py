"""Accounts as code. Risk: a diff writes, apply does something else than it showed, or a start after it changes more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.cli import CommandResult, run

FILE = """
[accounts]
enabled = true
store = "sqlite:a.db"

[[accounts.teams]]
name = "data"

[[accounts.keys]]
name = "ci"
variable = "CI_KEY"
team = "data"
models = ["fast"]

[[accounts.budgets]]
name = "monthly"
limit = "50"
applies_to = { team = "data" }
"""
SECRET = {"CI_KEY": "a1b2c3d4e5f60718293a4b5c6d7e8f90"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "c.toml").write_text(FILE.replace("a.db", f"{tmp_path}/a.db"))
    return tmp_path


def accounts(home: Path, *arguments: str, **variables: str) -> CommandResult:
    return run("accounts", *arguments, home=home, **{**SECRET, **variables})


def changed(home: Path, *pairs: tuple[str, str]) -> None:
    text = (home / "c.toml").read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    (home / "c.toml").write_text(text)


def test_a_diff_shows_what_apply_does_and_writes_nothing(home: Path) -> None:
    shown = accounts(home, "diff", "c.toml")
    assert (shown.code, shown.stderr) == (1, "")
    assert [line for line in shown.stdout.splitlines() if not line.startswith(" ")] == [
        "+ team data", "+ key ci", "+ budget monthly",
        "3 added, at the next start or reload, or by `modelmux accounts apply`",
    ]  # fmt: skip
    assert "    models: fast\n" in shown.stdout
    assert "    applies_to: team=data\n" in shown.stdout
    assert [path.name for path in home.iterdir()] == ["c.toml"], "nothing was created"
    done = accounts(home, "apply", "c.toml")
    assert (done.code, done.stdout.splitlines()[-1]) == (0, "3 added")
    assert done.stdout.splitlines()[:-1] == shown.stdout.splitlines()[:-1]
    again = accounts(home, "diff", "c.toml")
    assert (again.code, again.stdout) == (0, "nothing to change\n")
    assert accounts(home, "apply", "--config", "c.toml").stdout == "nothing to change\n"
    assert "ci" in run("keys", "list", "--config", "c.toml", home=home).stdout


def test_changes_and_removals(home: Path) -> None:
    accounts(home, "apply", "c.toml")
    changed(home, ('["fast"]', '["fast", "deep"]'), ('name = "monthly"', 'name = "each month"'), ('"50"', '"60"'))
    shown = accounts(home, "diff", "c.toml", CI_KEY="ffffffff9999888877776666aaaa5555")
    assert shown.stdout.splitlines()[:3] == ["~ key ci", "    models: fast -> fast, deep", "    secret: …8f90 -> …5555"]
    assert "+ budget each month" in shown.stdout
    assert "- budget monthly\n    status: active -> disabled\n    managed: yes -> no\n" in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith("1 added, 1 changed, 1 removed, at the next start")
    answer: dict[str, Any] = json.loads(accounts(home, "diff", "c.toml", "--json").stdout)
    assert (answer["applied"], answer["added"], answer["changed"], answer["removed"]) == (False, 1, 1, 1)
    assert [(one["action"], one["kind"], one["name"]) for one in answer["changes"]] == [
        ("change", "key", "ci"), ("add", "budget", "each month"), ("remove", "budget", "monthly"),
    ]  # fmt: skip
    assert answer["changes"][0]["after"] == {"models": ["fast", "deep"]}
    done = json.loads(accounts(home, "apply", "c.toml", "--json").stdout)
    assert {**answer, "applied": True} == {**done, "changes": answer["changes"]}
    assert accounts(home, "diff", "c.toml").code == 0


def test_who_applied_it_is_in_the_audit_log(home: Path) -> None:
    accounts(home, "apply", "c.toml")
    (row,) = json.loads(run("accounts", "audit", "--config", "c.toml", "--json", home=home).stdout)
    assert (row["action"], row["origin"]) == ("accounts.apply", "cli")
    assert SECRET["CI_KEY"] not in json.dumps(row)


@pytest.mark.parametrize("command", ["diff", "apply"])
def test_an_entry_that_cannot_be_used_is_named_and_nothing_is_written(home: Path, command: str) -> None:
    changed(home, ('team = "data"\nmodels', 'team = "dat"\nmodels'))
    result = accounts(home, command, "c.toml")
    assert (result.code, result.stdout) == (1, "")
    assert "error: accounts.keys[0].team: " in result.stderr
    unset = accounts(home, command, "c.toml", CI_KEY="")
    assert "CI_KEY is not set" in unset.stderr
    both = accounts(home, command, "c.toml", "--config", "c.toml")
    assert (both.code, "name one of them" in both.stderr) == (2, True)
    assert accounts(home, command, "none.toml").code == 1
    assert not (home / "a.db").exists() or "ci" not in run("keys", "list", "--config", "c.toml", home=home).stdout


def test_a_store_that_cannot_be_read_is_an_error(home: Path) -> None:
    (home / "a.db").write_bytes(b"x" * 5000)
    for command in ("diff", "apply"):
        result = accounts(home, command, "c.toml")
        assert (result.code, result.stdout) == (1, "")
        assert "a.db" in result.stderr


def test_export_is_a_configuration_that_changes_only_who_manages(home: Path) -> None:
    store = ("--set", f"accounts.store=sqlite:{home}/a.db", "--set", "accounts.enabled=true")
    run("teams", "create", "Data", *store, home=home)
    secret = run(
        "keys", "create", "--name", "ci", "--team", "data", "--budget", "5/day", *store, home=home
    ).stdout.strip()
    text = run("accounts", "export", *store, home=home)
    assert (text.code, text.stderr) == (0, "note: 1 key names the variable that must have the secret where the gateway runs\n")  # fmt: skip  # noqa: E501
    assert secret not in text.stdout
    (home / "new.toml").write_text(f'[accounts]\nenabled = true\nstore = "sqlite:{home}/a.db"\n\n{text.stdout}')
    answer = json.loads(accounts(home, "diff", "new.toml", "--json", CI_KEY=secret).stdout)
    assert [(one["kind"], one["after"]) for one in answer["changes"]] == [
        ("team", {"managed": True}), ("key", {"managed": True}), ("budget", {"managed": True}),
    ]  # fmt: skip
    assert accounts(home, "apply", "new.toml", CI_KEY=secret).code == 0
    assert run("accounts", "export", *store, home=home).stdout == text.stdout

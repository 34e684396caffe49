"""``--rpm`` and so on, and ``modelmux limits``. Risk: a limit is not what was set, or one is lost in an edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.cli import CommandResult, run

ON = ("--set", "accounts.enabled=true", "--set", "vertex.project=p", "--set", "vertex.location=global")


def modelmux(home: Path, *arguments: str) -> CommandResult:
    return run(*arguments, *ON, home=home)


def as_json(home: Path, *arguments: str) -> Any:
    result = modelmux(home, *arguments, "--json")
    assert result.code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("create", "show", "edit"),
    [
        (("keys", "create", "--name", "ci"), ("keys", "show", "ci"), ("keys", "edit", "ci")),
        (("teams", "create", "data"), ("teams", "show", "data"), ("teams", "edit", "data")),
        (("people", "create", "a@example.com"), ("people", "list"), ("people", "edit", "a@example.com")),
    ],
    ids=["key", "team", "person"],
)
def test_limits_are_set_changed_and_taken_away(
    create: tuple[str, ...], show: tuple[str, ...], edit: tuple[str, ...], tmp_path: Path
) -> None:
    def limits() -> Any:
        shown = as_json(tmp_path, *show)
        return (shown[0] if isinstance(shown, list) else shown)["limits"]

    as_json(tmp_path, *create, "--rpm", "60", "--tpm", "100_000", "--concurrent", "5")
    assert limits() == {"rpm": 60, "tpm": 100_000, "concurrent": 5}
    as_json(tmp_path, *edit, "--tpm", "none", "--itpm", "1,000", "--otpm", "7")
    assert limits() == {"rpm": 60, "itpm": 1_000, "otpm": 7, "concurrent": 5}
    as_json(tmp_path, *edit, "--enable")
    assert limits()["rpm"] == 60
    for rate in ("rpm", "itpm", "otpm", "concurrent"):
        as_json(tmp_path, *edit, f"--{rate}", "none")
    assert limits() == {}


def test_people_read_the_limits_of_a_key(tmp_path: Path) -> None:
    as_json(tmp_path, "keys", "create", "--name", "ci", "--rpm", "60", "--concurrent", "5")
    as_json(tmp_path, "teams", "create", "data", "--tpm", "9")
    assert "limits     rpm=60,concurrent=5" in modelmux(tmp_path, "keys", "show", "ci").stdout
    assert "tpm=9" in modelmux(tmp_path, "teams", "show", "data").stdout


@pytest.mark.parametrize("wrong", ["", "many", "0", "-1", "1.5"])
def test_what_is_not_a_limit_is_refused(wrong: str, tmp_path: Path) -> None:
    result = modelmux(tmp_path, "keys", "create", "--name", "ci", f"--rpm={wrong}")
    assert result.code != 0
    assert "rpm" in result.stderr
    assert as_json(tmp_path, "keys", "list") == []


def test_a_limit_of_selected_requests(tmp_path: Path) -> None:
    as_json(tmp_path, "teams", "create", "Data")
    assert (
        "created"
        in modelmux(
            tmp_path, "limits", "set", "opus", "--model", "claude-opus-*", "--team", "data", "--rpm", "10"
        ).stderr
    )
    assert "changed" in modelmux(tmp_path, "limits", "set", "opus", "--team", "", "--each", "person").stderr
    (limit,) = as_json(tmp_path, "limits", "list")
    assert limit["applies_to"] == {"model": "claude-opus-*", "each": "person"}
    assert (limit["limits"], limit["status"], limit["managed"]) == ({"rpm": 10}, "active", False)
    assert "unchanged" in modelmux(tmp_path, "limits", "set", limit["id"], "--rpm", "10").stderr
    assert as_json(tmp_path, "limits", "disable", "OPUS")["status"] == "disabled"
    assert "each=person,model=claude-opus-*" in modelmux(tmp_path, "limits", "list").stdout
    assert "enabled" in modelmux(tmp_path, "limits", "enable", "opus").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set", "x"), "nothing is limited"), (("set", "x", "--rpm", "5", "--team", ""), "--team is empty"),
        (("set", "x", "--rpm", "5", "--team", "gone"), "there is no team"), (("disable", "x"), "there is no limit"),
    ],
)  # fmt: skip
def test_a_limit_that_cannot_be_set(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = modelmux(tmp_path, "limits", *arguments)
    assert result.code != 0
    assert message in result.stderr

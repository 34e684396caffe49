"""Risk: a command changes what it does not name, money is rounded, or a budget shows what is not spent."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.windows import WindowRule
from modelmux.cli.accounts.show_budget import amount_text, window_text
from support.cli import CommandResult, environment, run

ON = ("--set", "accounts.enabled=true", "--set", "vertex.project=p", "--set", "vertex.location=global")


def modelmux(home: Path, *arguments: str) -> CommandResult:
    return run(*arguments, *ON, home=home)


def done(home: Path, *arguments: str) -> CommandResult:
    result = modelmux(home, *arguments)
    assert result.code == 0, result.stderr
    return result


def as_json(home: Path, *arguments: str) -> Any:
    return json.loads(done(home, *arguments, "--json").stdout)


def spend(home: Path, budget: Any, subject: str, spent: int, leased: int = 0, start: str | None = None) -> None:
    """As a gateway would have written it."""
    (window, *_) = [one["start"] for one in as_json(home, "budget", "show", budget["id"])["windows"]] or [start]
    assert window is not None
    at = round(datetime.fromisoformat(window).timestamp()) * 1_000_000
    with sqlite3.connect(next(home.rglob("accounts.db"))) as database:
        database.execute(
            "INSERT INTO budget_window VALUES (?, ?, ?, ?, ?, 0)", (budget["id"], subject, at, spent, leased)
        )
    database.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    done(tmp_path, "teams", "create", "Data", "--zone", "Europe/Berlin")
    done(tmp_path, "people", "create", "ann@example.com")
    return tmp_path


def test_what_was_set_reads_back(home: Path) -> None:
    created = as_json(
        home, "budget", "set", "data team", "--limit", "0.1", "--per", "week", "--starts", "sunday", "--hour", "6",
        "--zone", "Asia/Tokyo", "--team", "DATA", "--person", "Ann@example.com", "--each", "key", "--model", "claude-*",
        "--route", "claude-*", "--tag", "app=chat", "--soft", "--alerts", "150, 50%", "--on-short", "wait",
        "--reserve", "expected",
    )  # fmt: skip
    shown = as_json(home, "budget", "show", "Data Team")
    team, person = as_json(home, "teams", "show", "data"), as_json(home, "people", "list")[0]
    assert shown == {**created, "windows": [], "adjustments": []}
    assert created == {
        "id": created["id"], "name": "data team", "status": "active", "limit": "0.1", "unit": "usd",
        "applies_to": {"team": team["id"], "person": person["id"], "each": "key", "model": "claude-*",
                       "route": "claude-*", "tag": "app=chat"},
        "window": {"every": "week", "zone": "Asia/Tokyo", "starts": "sunday", "hour": 6},
        "mode": "soft", "alerts": [0.5, 1.5], "on_short": "wait", "reserve": "expected", "metric": False,
        "managed": False,
    }  # fmt: skip
    text = done(home, "budget", "show", "data team").stdout
    assert "team=Data, person=ann@example.com, each=key, model=claude-*" in text
    assert "week from sunday at 06:00 (Asia/Tokyo)" in text


def test_the_same_command_twice_writes_once(home: Path) -> None:
    first = done(home, "budget", "set", "data", "--limit", "50", "--team", "data")
    assert first.stderr.startswith("created: data (bud_")
    again = done(home, "budget", "set", "data", "--limit", "50", "--team", "data")
    assert again.stderr.startswith("unchanged: data (bud_")
    assert len([row for row in as_json(home, "accounts", "audit") if row["action"].startswith("budget")]) == 1


def test_a_change_changes_what_it_names(home: Path) -> None:
    before = as_json(home, "budget", "set", "data", "--limit", "50", "--team", "data", "--per", "day", "--hour", "3")
    after = as_json(home, "budget", "set", "DATA", "--limit", "60.000000001")
    assert after == {**before, "limit": "60.000000001"}
    done(home, "teams", "edit", "data", "--name", "Analytics")
    done(home, "teams", "create", "Data")
    after = as_json(home, "budget", "set", "data", "--team", "", "--each", "person", "--per", "lifetime")
    assert (after["applies_to"], after["window"]) == ({"each": "person"}, "lifetime")


def test_a_budget_of_a_team_that_is_renamed_stays_its(home: Path) -> None:
    before = as_json(home, "budget", "set", "data", "--limit", "50", "--team", "data")
    done(home, "teams", "edit", "data", "--name", "Analytics")
    done(home, "teams", "create", "Data")
    assert as_json(home, "budget", "set", "data", "--limit", "60")["applies_to"] == before["applies_to"]
    assert "team=Analytics" in done(home, "budget", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "there is no budget 'x' yet; say how much with --limit 50"),
        (("--limit", "1", "--team", ""), 2, "--team is empty"),
        (("--limit", "1", "--each", ""), 2, "--each is empty"),
        (("--limit", "1e3"), 1, "limit: '1e3' is not an amount"),
        (("--limit", "1.5", "--unit", "tokens"), 1, "hint: Expected a whole number of tokens."),
        (("--limit", "1", "--team", "dat"), 1, "applies_to.team: there is no team 'dat'"),
        (("--limit", "1", "--alerts", "half"), 2, "--alerts: 'half' is not a list of percentages such as 50,80,100"),
        (("--limit", "1", "--alerts", "150"), 1, "alerts: 150 % cannot be reached"),
        (("--limit", "1", "--starts", "sunday"), 1, "window.starts: it means nothing for 'month'"),
        (("--limit", "1", "--per", "hour", "--zone", "Asia/Tokyo"), 1, "window.zone: it means nothing for 'hour'"),
    ],
)
def test_what_cannot_be_set(home: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    failed = modelmux(home, "budget", "set", "x", *arguments)
    assert (failed.code, message in failed.stderr) == (code, True), failed.stderr
    assert as_json(home, "budget", "list") == []


def test_patterns_that_match_nothing_are_warned_of(home: Path) -> None:
    set_it = done(home, "budget", "set", "x", "--limit", "1", "--model", "gpt-*", "--route", "fast")
    assert "warning: model: no model that this configuration serves is called gpt-*; `modelmux models`" in set_it.stderr
    assert "warning: route: nothing that this configuration serves is called fast" in set_it.stderr
    fits = done(home, "budget", "set", "x", "--model", "claude-haiku-4-5", "--route", "claude-haiku-*")
    assert "warning" not in fits.stderr


def test_what_is_spent_and_when_it_begins_anew(home: Path) -> None:
    budget = as_json(home, "budget", "set", "data", "--limit", "50", "--team", "data", "--per", "day")
    spend(home, budget, "", 123_456_789, 2_000_000_000)
    (window,) = as_json(home, "budget", "show", "data")["windows"]
    (listed,) = as_json(home, "budget", "list")
    assert listed["windows"] == [window]
    assert (window["limit"], window["spent"], window["held"]) == ("50", "0.123456789", "2")
    assert window["subject"] is None
    assert window["start"][11:] in ("22:00:00Z", "23:00:00Z"), "a day of Berlin, as the team has it"
    text = done(home, "budget", "show", "data").stdout
    assert "0.1235 spent and 2 held of 50, resets " in text
    assert "T00:00:00+0" in text
    row = done(home, "budget", "list").stdout.splitlines()[1].split()
    assert row[1:9] == ["data", "active", "team=Data", "day", "0.1235", "50", "usd", "hard"]
    assert "T00:00:00+0" in row[9], "in the zone of the budget, as `show` has it"


@pytest.mark.parametrize("command", ["budget list", "budget show daily", "keys show ci"])
def test_a_zone_that_this_machine_lacks_hides_no_budget(home: Path, command: str) -> None:
    """Another machine may have written it, or be asked over its admin API."""
    done(home, "keys", "create", "--name", "ci")
    done(home, "budget", "set", "daily", "--limit", "5", "--per", "day", "--zone", "Asia/Tokyo", "--key", "ci")
    with sqlite3.connect(next(home.rglob("accounts.db"))) as database:
        database.execute(
            "UPDATE directory SET data = replace(data, 'Asia/Tokyo', 'Mars/Olympus') WHERE kind = 'budget'"
        )
    database.close()
    assert "daily" in done(home, *command.split()).stdout


def test_a_budget_for_each_shows_those_who_spent(home: Path) -> None:
    (person,) = as_json(home, "people", "list")
    budget = as_json(home, "budget", "set", "all", "--limit", "5", "--each", "person", "--per", "lifetime")
    assert as_json(home, "budget", "show", "all")["windows"] == []
    spend(home, budget, person["id"], 1_000_000_000, start="1970-01-01T00:00:00+00:00")
    (window,) = as_json(home, "budget", "show", "all")["windows"]
    assert (window["subject"], window["spent"], window["resets_at"]) == (person["id"], "1", None)
    assert as_json(home, "budget", "show", "all", "--subject", "ann@example.com")["windows"] == [window]
    assert "ann@example.com: 1 spent and 0 held of 5" in done(home, "budget", "show", "all").stdout
    done(home, "people", "create", "bob@example.com")
    (of_bob,) = as_json(home, "budget", "show", "all", "--subject", "bob@example.com")["windows"]
    assert of_bob["spent"] == "0"
    done(home, "budget", "set", "one", "--limit", "5")
    assert "subject: 'one' has one window" in modelmux(home, "budget", "show", "one", "--subject", "x").stderr


def test_raising_a_budget(home: Path) -> None:
    done(home, "budget", "set", "data", "--limit", "50", "--each", "person")
    top_up = as_json(home, "budget", "top-up", "data", "20.5", "--reason", "release", "--subject", "ann@example.com")
    assert (top_up["kind"], top_up["amount"], top_up["reason"], top_up["until"]) == ("top_up", "20.5", "release", None)
    assert top_up["author"]
    done(home, "budget", "top-up", "data", "-5")
    override = as_json(home, "budget", "override", "data", "80", "--until", "7d")
    assert (override["amount"], override["subject"]) == ("80", None)
    done(home, "budget", "top-up", "data", "1", "--subject", "ann@example.com")
    shown = as_json(home, "budget", "show", "data", "--subject", "ann@example.com")
    assert [one["amount"] for one in shown["adjustments"]] == ["20.5", "-5", "80", "1"]
    assert shown["windows"][0]["limit"] == "81"
    assert shown["limit"] == "50"
    actions = [row["action"] for row in as_json(home, "accounts", "audit")]
    assert actions[:4] == ["budget.top_up", "budget.override", "budget.top_up", "budget.top_up"]
    text = done(home, "budget", "show", "data").stdout
    assert "override    80 until " in text
    assert "top-up      20.5000 for ann@example.com in this window, by " in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("top-up", "data", "0"), 1, "amount: 0 cannot be the amount"),
        (("top-up", "data", "x"), 1, "amount: 'x' is not an amount"),
        (("top-up", "nobody", "5"), 1, "budget: there is no budget 'nobody'"),
        (("top-up", "data", "5", "--subject", "x"), 1, "subject: 'data' has one window"),
        (("top-up", "data", "5", "--subject", ""), 2, "--subject is empty"),
        (("override", "data", "80", "--until", "never"), 2, "it has to end; `modelmux budget set` changes the limit"),
        (("override", "data", "80", "--until", "2020-01-01"), 1, "until: it is in the past"),
    ],
)
def test_what_cannot_be_raised(home: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    done(home, "budget", "set", "data", "--limit", "50")
    failed = modelmux(home, "budget", *arguments)
    assert (failed.code, message in failed.stderr) == (code, True), failed.stderr
    assert as_json(home, "budget", "show", "data")["adjustments"] == []


def test_an_end_user_is_named_as_rows_have_it(home: Path) -> None:
    done(home, "budget", "set", "users", "--limit", "1", "--each", "end_user")
    failed = modelmux(home, "budget", "top-up", "users", "5", "--subject", "zoe")
    assert (failed.code, failed.stderr.partition(":")[0]) == (1, "error"), "without the key of the hashes"
    assert "names of end users are stored as hashes, and their key cannot be read" in failed.stderr
    assert "pass the hash" in failed.stderr
    key = ("--set", f'server.seal_keys=["{"0123456789abcdef" * 8}"]')
    named = json.loads(done(home, "budget", "top-up", "users", "5", "--subject", "zoe", *key, "--json").stdout)
    assert len(named["subject"]) == 32
    assert as_json(home, "budget", "show", "users", "--subject", named["subject"])["windows"][0]["limit"] == "6"
    plain = ("--set", "accounts.end_user=plain")
    assert json.loads(done(home, "budget", "top-up", "users", "5", "--subject", "zoe", *plain, "--json").stdout)[
        "subject"
    ] == "zoe"  # fmt: skip


def test_enabling_and_disabling(home: Path) -> None:
    done(home, "budget", "set", "data", "--limit", "50")
    assert done(home, "budget", "disable", "data").stderr.startswith("disabled: data (bud_")
    assert as_json(home, "budget", "list")[0]["status"] == "disabled"
    assert as_json(home, "budget", "enable", "data")["status"] == "active"


def test_a_key_with_a_budget_is_one_change(home: Path) -> None:
    created = as_json(home, "keys", "create", "--name", "ci", "--budget", "50/day")
    (budget,) = created["budgets"]
    assert budget["applies_to"] == {"key": created["id"]}
    assert (budget["name"], budget["limit"], budget["window"], budget["unit"]) == ("ci", "50", "day", "usd")
    assert as_json(home, "accounts", "audit")[0]["action"] == "key.create"
    done(home, "keys", "revoke", "ci")
    again = done(home, "keys", "create", "--name", "ci", "--budget", "0.5")
    assert "created: budget ci-2 (bud_" in again.stderr
    for wrong, message in (("50/fortnight", "budget: 'fortnight' is not a window"), ("x", "is not an amount"),
                           ("0/day", "limit: 0 cannot be a limit"), ("", "--budget is empty")):  # fmt: skip
        failed = modelmux(home, "keys", "create", "--name", "other", "--budget", wrong)
        assert failed.code != 0
        assert message in failed.stderr
    assert [key["name"] for key in as_json(home, "keys", "list")] == ["ci"], "no key without the budget that it needs"


def test_a_key_shows_all_budgets_that_it_is_charged_to(home: Path) -> None:
    done(home, "keys", "create", "--name", "ci", "--team", "data", "--budget", "50/day")
    budget = as_json(
        home, "budget", "set", "data", "--limit", "9", "--team", "data", "--model", "claude-*", "--per", "day"
    )
    done(home, "budget", "set", "people", "--limit", "9", "--each", "person")
    done(home, "budget", "set", "off", "--limit", "9")
    done(home, "budget", "disable", "off")
    spend(home, budget, "", 1_500_000_000)
    shown = {one["name"]: one for one in as_json(home, "keys", "show", "ci")["budgets"]}
    assert {name: (one["limit"], one["spent"]) for name, one in shown.items()} == {
        "ci": ("50", "0"), "data": ("9", "1.5"),
    }  # fmt: skip
    done(home, "budget", "top-up", "data", "1")
    text = done(home, "keys", "show", "ci").stdout
    assert "budget     data: 1.5000 spent and 0 held of 10, resets " in text


def test_two_processes_set_one_budget(home: Path) -> None:
    program = [sys.executable, "-m", "modelmux", "budget", "set", "data", *ON]
    processes = [
        subprocess.Popen([*program, "--limit", str(limit)], env=environment(home), stderr=subprocess.PIPE, text=True)
        for limit in (50, 60)
    ]
    outputs = sorted(process.communicate(timeout=120)[1].partition(":")[0] for process in processes)
    assert outputs == ["changed", "created"]
    assert len(as_json(home, "budget", "list")) == 1


def test_texts_for_people() -> None:
    assert window_text(WindowRule(every="week")) == "week from monday"
    assert [amount_text(1_000_000, unit) for unit in ("usd", "tokens")] == ["0.0010", "1,000,000"]  # type: ignore[arg-type]

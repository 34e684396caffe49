"""Rows on the command line. Risk: over the API it prints or does something else than on the store, or a decision that
cannot be made is made.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.cost import Cost
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.uuid7 import format_id
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.admin_server import TOKEN, AdminServer, admin_server
from support.cli import CommandResult, run
from support.ledgers import at, entry

WHEN = at("2026-11-10T12:00+00:00")
PERIOD = ("--period", "2026-11")


def _entry(number: int, **fields: Any) -> Any:
    return entry(number, WHEN + number, key=f"static_{number % 2}", model="opus", tags=(("app", "chat"),), **fields)


DOUBT = _entry(1, kind="in_doubt", cost=Cost(output=2 * 10**9), debits=((WindowKey("bud_x", "", 0), 2 * 10**9),))
ROWS = [DOUBT, *(_entry(number) for number in range(2, 8)), _entry(9, kind="in_doubt", outcome="gateway_error")]
ID = format_id(DOUBT.id)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AdminServer]:
    (tmp_path / "there").mkdir()
    with admin_server(tmp_path / "there") as one:
        fill(one.admin.path)
        yield one


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    fill(tmp_path / "accounts.db")
    return tmp_path / "accounts.db"


def fill(path: Path) -> None:
    async def write() -> None:
        ledger = SqliteLedger(path, ("app",))
        await ledger.append(ROWS)
        await ledger.aclose()

    asyncio.run(write())


def remote(server: AdminServer, home: Path, *command: str) -> CommandResult:
    return run("ledger", *command, "--url", server.url, home=home, MODELMUX_ADMIN_TOKEN=TOKEN)


def local(path: Path, home: Path, *command: str) -> CommandResult:
    options = ("--set", f"accounts.store=sqlite:{path}", "--set", "accounts.enabled=true")
    return run("ledger", *command, *options, home=home)


@pytest.mark.parametrize("json", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(
    "command",
    [
        ("list", *PERIOD), ("list", *PERIOD, "--limit", "3"), ("list", *PERIOD, "--in-doubt"), ("show", ID),
        ("list", *PERIOD, "--where", "key=static_1", "--where", "tag:app=chat"), ("list", "--period", "2025"),
        ("list", *PERIOD, "--where", "outcome=gateway_error", "--zone", "Europe/Berlin"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_read_is_what_the_store_shows(
    server: AdminServer, here: Path, home: Path, command: tuple[str, ...], json: tuple[str, ...]
) -> None:
    over_http, direct = remote(server, home, *command, *json), local(here, home, *command, *json)
    assert (over_http.code, over_http.stderr) == (0, "")
    assert over_http.stdout == direct.stdout
    assert len(direct.stdout.splitlines()) >= 1


def test_a_table_of_rows(here: Path, home: Path) -> None:
    lines = [line.split() for line in local(here, home, "list", *PERIOD).stdout.splitlines()]
    assert len(lines) == len(ROWS) + 1
    assert lines[-1][0] == ID
    assert lines[-1][2:7] == ["in_doubt", "static_1", "-", "opus", "ok"]
    assert {len(line) for line in lines} == {len(lines[0])}
    shown = local(here, home, "list", *PERIOD, "--in-doubt").stdout.splitlines()[1:]
    assert [line.split()[0] for line in shown] == [format_id(ROWS[-1].id), ID]


@pytest.mark.parametrize("form", ["local", "remote"])
def test_a_row_in_doubt_is_resolved(server: AdminServer, here: Path, home: Path, form: str) -> None:
    def ledger(*command: str) -> CommandResult:
        return local(here, home, *command) if form == "local" else remote(server, home, *command)

    decision = ("resolve", ID, "--cost", "0.25", "--reason", "the invoice has it")
    done = ledger(*decision)
    assert (done.code, done.stdout, done.stderr) == (0, "", f"resolved: {ID}: 0.25 USD\n")
    again = json.loads(ledger(*decision, "--json").stdout)
    assert [(one["kind"], one["cost"]["amount"]) for one in again["corrections"]] == [("resolve", "-1.75")]
    assert ID not in ledger("list", *PERIOD, "--in-doubt").stdout
    shown = ledger("show", ID).stdout
    assert "resolve -1.75 (the invoice has it)" in shown
    assert shown.splitlines()[-1].split() == ["total", "0.25"]
    void = ledger("resolve", ID, "--void", "--reason", "it never left")
    assert void.stderr == f"resolved: {ID}: 0 USD\n"
    path = server.admin.path if form == "remote" else here
    audit = run("accounts", "audit", "--set", f"accounts.store=sqlite:{path}", "--set", "accounts.enabled=true", home=home)  # fmt: skip  # noqa: E501
    assert audit.stdout.count("ledger.resolve") == 2


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (("resolve", ID, "--reason", "x"), 1, "cost: neither it nor void is named\nhint: Expected what it did cost"),
        (("resolve", ID, "--cost", "1", "--void", "--reason", "x"), 1, "cost: both are named"),
        (("resolve", ID, "--cost", "much", "--reason", "x"), 1, "cost: 'much' is not an amount"),
        (("resolve", ID, "--cost", "1"), 2, "--reason"),
        (("resolve", ID, "--cost", "1", "--reason", " "), 1, "reason"),
        (("resolve", format_id(ROWS[2].id), "--void", "--reason", "x"), 1, "the row is not in doubt"),
        (("resolve", "req_x", "--void", "--reason", "x"), 1, "req_x"),
        (("show", format_id(bytes(16))), 1, format_id(bytes(16))),
    ],
)
def test_what_cannot_be_done_is_named(
    server: AdminServer, here: Path, home: Path, command: tuple[str, ...], code: int, message: str
) -> None:
    for result in (local(here, home, *command), remote(server, home, *command)):
        assert (result.code, result.stdout) == (code, "")
        assert message in result.stderr


def test_without_a_ledger_it_says_how_to_get_one(tmp_path: Path) -> None:
    result = run("ledger", "list", home=tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert "there is no ledger at" in result.stderr

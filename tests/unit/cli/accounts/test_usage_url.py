"""Usage and the ledger over the admin API. Risk: other rows, sums or costs than the store has."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest

from modelmux.accounts.cost import Cost
from modelmux.admin import ledger_checks
from modelmux.cli.accounts.api.client import AdminClient, ApiError
from modelmux.cli.usage import export_from_api
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.admin_server import AdminServer
from support.ledgers import DAY, at, correction, entry, full_entry
from support.remote import local, remote

TEAM = ("teams", "create", "Data", "--zone", "Europe/Berlin", "--rpm", "100")
PERSON = ("people", "create", "ann@example.com", "--name", "Ann")
KEY = ("keys", "create", "--name", "ci", "--team", "data", "--person", "ann@example.com", "--models", "fast")


async def used(path: Path, key: str, team: str) -> None:
    ledger = SqliteLedger(path, ("app",))
    await ledger.append([
        entry(1, at("2026-11-10T12:30Z"), key=key, team=team, tags=(("app", "chat"),), cost=Cost(input=12_345)),
        entry(2, at("2026-11-11T12:30Z"), key=key, team=team, tags=(), cost=Cost(input=5)),
    ])  # fmt: skip
    await ledger.aclose()


@pytest.mark.parametrize(
    "options",
    [
        (), ("--by", "team,key", "--period", "2026-11-01..2026-11-12"),
        ("--by", "day,tag:app", "--period", "2026-11-09..2026-11-12", "--zone", "Europe/Berlin"),
        ("--by", "person,tag:env", "--period", "2026-11", "--where", "team=TEAM"),
        ("--by", "model", "--period", "2026-11", "--where", "tag:app=chat", "--where", "key=KEY"),
        ("--by", "key,day", "--period", "2026-11", "--top", "1"),
        ("--by", "tag:app", "--period", "2026-11", "--top", "1"),
    ],
    ids=" ".join,
)  # fmt: skip
async def test_usage_is_what_the_ledger_has(server: AdminServer, home: Path, options: tuple[str, ...]) -> None:
    def in_thread(*arguments: str) -> Any:
        return asyncio.to_thread(remote, server, home, *arguments)

    for command in (TEAM, PERSON, KEY):
        assert (await in_thread(*command)).code == 0
    (key,) = json.loads((await in_thread("keys", "list", "--json")).stdout)
    await used(server.admin.path, key["id"], key["team"])
    options = tuple(text.replace("TEAM", key["team"]).replace("KEY", key["id"]) for text in options)
    for form in ((), ("--json",)):
        over_http = await in_thread("usage", *options, *form)
        direct = await asyncio.to_thread(
            local, server.admin.path, home, "usage", *options, *form, "--set", "accounts.tags=app"
        )
        assert over_http.code == 0, over_http.stderr
        assert over_http.stdout == direct.stdout
        assert ("tag env" in over_http.stderr) == ("tag env" in direct.stderr)


async def test_usage_is_read_page_after_page(server: AdminServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = SqliteLedger(server.admin.path, ("app",))
    rows = [
        entry(number, at("2026-11-10T12:30Z") + number % 3 * DAY, key=f"key_{number % 7}", team="org/data")
        for number in range(40)
    ]
    await ledger.append(rows)
    await ledger.aclose()
    options = ("usage", "--by", "team,key,day", "--period", "2026-11", "--json")
    direct = await asyncio.to_thread(local, server.admin.path, home, *options)
    asked = list[str]()
    call = AdminClient.call

    async def counted(self: AdminClient, method: str, path: str, body: Any = None, query: Any = None) -> Any:
        asked.append(query.get("after", ""))
        return await call(self, method, path, body, query)

    monkeypatch.setattr(AdminClient, "call", counted)
    monkeypatch.setattr("modelmux.cli.usage.from_api.MAX_LIMIT", 3)
    over_http = await asyncio.to_thread(remote, server, home, *options)
    assert over_http.stdout == direct.stdout
    assert len(json.loads(over_http.stdout)["rows"]) == 21
    assert len(set(asked)) == 3, "7 keys, 3 at a time"


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "csv"), ("--format", "jsonl", "--period", "2026-11-10", "--zone", "Europe/Berlin"),
        ("--format", "focus", "--where", "tag:app=chat"), ("--format", "focus", "--focus", "1.2"),
        ("--format", "jsonl", "--where", "key=KEY", "--where", "outcome=ok"), ("--format", "csv", "--last", "1d"),
    ],
    ids=" ".join,
)  # fmt: skip
async def test_an_export_is_what_the_ledger_has(
    server: AdminServer, home: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_from_api, "MOST_RETURNED", 3)
    made = json.loads(
        (await asyncio.to_thread(remote, server, home, "keys", "create", "--name", "ci", "--json")).stdout
    )
    await used(server.admin.path, made["id"], "")
    ledger = SqliteLedger(server.admin.path, ("app",))
    rows = [full_entry(number, at("2026-11-10T22:30Z") + number) for number in range(8)]
    await ledger.append([*rows, correction(rows[0], 1), entry(50, at("2026-11-12T00:00Z"), cost=None)])
    await ledger.aclose()
    command = ("usage", "export", *(text.replace("KEY", made["id"]) for text in options))
    over_http = await asyncio.to_thread(remote, server, home, *command)
    direct = await asyncio.to_thread(local, server.admin.path, home, *command, "--set", "accounts.tags=app")
    assert over_http.code == 0, over_http.stderr
    assert (over_http.stdout, over_http.stderr) == (direct.stdout, direct.stderr)
    assert len(direct.stdout.splitlines()) > 1 or "--last" in options


async def test_focus_has_the_names_of_teams(server: AdminServer, home: Path) -> None:
    assert (await asyncio.to_thread(remote, server, home, *TEAM)).code == 0
    (team,) = json.loads((await asyncio.to_thread(remote, server, home, "teams", "list", "--json")).stdout)
    await used(server.admin.path, "key_1", team["id"])
    command = ("usage", "export", "--format", "focus")
    over_http = await asyncio.to_thread(remote, server, home, *command)
    direct = await asyncio.to_thread(local, server.admin.path, home, *command, "--set", "accounts.tags=app")
    for text in (over_http.stdout, direct.stdout):
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert {(row["SubAccountId"], row["SubAccountName"]) for row in rows} == {(team["id"], "Data")}


class OfARole:
    """The client of a principal that may not list teams, or of an API that fails."""

    def __init__(self, status: int) -> None:
        self._status = status

    async def call(self, method: str, path: str, **_: object) -> Any:
        assert (method, path) == ("GET", "/ledger")
        return {"data": [], "next": None, "tags": []}

    async def pages(self, path: str) -> Any:
        raise ApiError("no", status=self._status)


@pytest.mark.parametrize("status", [403, 500])
async def test_who_may_not_list_teams_exports_without_their_names(status: int) -> None:
    found: list[Any] = []

    async def write(_pages: object, _tags: object, team_names: export_from_api.TeamNames) -> None:
        found.append(await team_names())

    chosen, client = export_from_api.Chosen(None, None, None, (), 0.0), cast("AdminClient", OfARole(status))
    if status == 403:
        await export_from_api.rows_from_api(client, chosen, write)
        assert found == [{}]
    else:
        with pytest.raises(ApiError):
            await export_from_api.rows_from_api(client, chosen, write)


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
async def test_sums_are_checked_and_costs_rated_anew_as_on_the_store(
    server: AdminServer, home: Path, tmp_path: Path, form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_checks, "MOST_RETURNED", 4)
    monkeypatch.setattr(ledger_checks, "_MOST_PLACES", 1)
    here = tmp_path / "accounts.db"
    for path in (server.admin.path, here):
        ledger = SqliteLedger(path, ("app",))
        fields = {"model": "claude-sonnet-5", "location": "global", "deployment": "d"}
        await ledger.append([entry(number, at("2026-11-10T12:00Z") + number * DAY, **fields) for number in range(9)])
        await ledger.append([entry(20, at("2026-11-20T12:00Z"), model="claude-next", cost=None)])
        await ledger.aclose()
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE usage_day SET input = input + 5 WHERE slot = (SELECT min(slot) FROM usage_day)")
        connection.close()
    for command in (
        ("verify",), ("rerate", "--dry-run"), ("rerate", "--since", "2026-11-14"), ("rerate",), ("rerate",),
        ("verify", "--repair"), ("verify",),
    ):  # fmt: skip
        over_http = await asyncio.to_thread(remote, server, home, "usage", *command, *form)
        direct = await asyncio.to_thread(local, here, home, "usage", *command, *form)
        assert (over_http.code, over_http.stdout, over_http.stderr) == (direct.code, direct.stdout, direct.stderr)
        assert direct.stdout
    for path in (server.admin.path, here):
        audit = await asyncio.to_thread(local, path, home, "accounts", "audit", "--json")
        assert {row["action"] for row in json.loads(audit.stdout)} == {"ledger.rerate", "ledger.repair"}


async def test_the_bill_is_compared_with_the_ledger_there(server: AdminServer, home: Path) -> None:
    await used(server.admin.path, "static_1", "")
    (home / "bill.csv").write_text(
        "ChargePeriodStart,BilledCost,ChargeDescription\n2026-11-10T09:00:00Z,1,Claude Opus 5\n"
    )
    command = ("usage", "reconcile", "bill.csv", "--period", "2026-11")
    for form in ((), ("--json",)):
        over_http = await asyncio.to_thread(remote, server, home, *command, *form)
        direct = await asyncio.to_thread(local, server.admin.path, home, *command, *form)
        assert over_http.code == 0, over_http.stderr
        assert over_http.stdout == direct.stdout
        assert over_http.stderr == direct.stderr

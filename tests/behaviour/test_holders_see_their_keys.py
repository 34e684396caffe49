"""Who holds a key sees its limits, budgets and usage with it: the numbers by which requests are refused.

Risk: one sees what others hold, a number differs from that of the refusal or the command, or polling slows the gateway.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.budget_edits import save_budget
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, revoke_key, save_key, save_person, save_team
from modelmux.accounts.rates import Rates
from modelmux.accounts.records import Key, Person, Team
from modelmux.accounts.windows import WindowRule
from modelmux.gateway.metering.own_keys import READS
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.open_directory import open_directory, read_peppers
from support.asgi import Response, request
from support.cli import run
from support.clock import NOW, Clock, use_runtime
from support.fakes import FakeUpstream, message_reply
from support.gateway import MODEL, PATH, ask, gateway
from support.served import Served

NANO = 10**9
#: 7 tokens of input at 3 USD a million, 3 of output at 15.
COST = 7 * 3_000 + 3 * 15_000
USD = "0.000066"
DOCS = Path(__file__).parents[2] / "docs" / "accounts.md"


class World:
    """A gateway with two keys, of two people of one team."""

    def __init__(self, folder: Path, *replies: Any, **settings: Any) -> None:
        self.folder = folder
        self.path = folder / "accounts.db"
        accounts = {"enabled": True, "store": f"sqlite:{self.path}"} | settings.pop("accounts", {})
        self.app = gateway(FakeUpstream(list(replies)), accounts=accounts, **settings)
        config = self.app._current.config
        self.store = open_directory(config)
        self.issuer = Issuer(read_peppers(config), lambda: NOW)

    async def change(self, *edits: Callable[[Directory], Edit]) -> None:
        for edit in edits:
            await self.store.change(edit, Author("test", "cli"), int(NOW * 1e6))
        await self.app.directory.refresh()  # type: ignore[union-attr]

    async def begin(self, **fields: Any) -> None:
        self.secret, first = self.issuer.secret("key_a")
        self.other, second = self.issuer.secret("key_b")
        await self.change(
            lambda d: save_team(d, Team(id="team_a", name="Data", contact="boss@example.com")),
            lambda d: save_person(d, Person(id="usr_a", email="ann@example.com")),
            lambda d: save_person(d, Person(id="usr_b", email="bob@example.com")),
            lambda d: save_key(
                d, Key(id="key_a", name="laptop", team="team_a", person="usr_a", **fields), first
            ),
            lambda d: save_key(d, Key(id="key_b", name="desk", team="team_a", person="usr_b"), second),
        )  # fmt: skip

    async def budget(self, id: str, limit: int, selector: Selector, every: Any = "month") -> None:
        one = Budget(id=id, name=f"budget {id}", limit=limit, applies_to=selector, window=WindowRule(every=every))
        await self.change(lambda d: save_budget(d, one))

    async def get(self, path: str = "/v1/key", secret: str | None = None, **options: Any) -> Response:
        headers = {"authorization": f"Bearer {secret or self.secret}"} | options.pop("headers", {})
        return await request(self.app, "GET", path, headers=headers, **options)

    async def ask(self, secret: str | None = None, **fields: Any) -> Response:
        headers = {"authorization": f"Bearer {secret or self.secret}"} | fields.pop("headers", {})
        return await request(self.app, "POST", PATH, ask(max_completion_tokens=100) | fields, headers)

    async def written(self) -> None:
        """What was spent is in the store."""
        async with asyncio.timeout(100):
            while self.app.metering.writer.waiting:  # type: ignore[union-attr]  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def modelmux(self, *arguments: str) -> Any:
        options = ("--set", "accounts.enabled=true", "--set", f"accounts.store=sqlite:{self.path}",
                   "--set", "vertex.project=p", "--set", "vertex.location=global")  # fmt: skip
        result = await asyncio.to_thread(run, *arguments, *options, "--json", home=self.folder)
        assert result.code == 0, result.stderr
        return json.loads(result.stdout)

    async def end(self) -> None:
        await self.store.aclose()
        await self.app.aclose()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Monotonic, of the gateway: it passes when a test says so."""
    clock = Clock()
    use_runtime(monkeypatch, clock=clock)
    return clock


async def test_a19_the_tightest_budget_of_the_chain_is_first_with_the_numbers_of_the_command(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply(), message_reply())
    await world.begin(limits=Rates(rpm=60), models=("claude-*",), expires=int(NOW * 1e6) + 10**12)
    await world.budget("bud_all", 500 * NANO, Selector(), "lifetime")
    await world.budget("bud_team", 2 * NANO, Selector(team="team_a"), "lifetime")
    await world.budget("bud_each", 50 * NANO, Selector(each="person"), "lifetime")
    await world.budget("bud_other", NANO // 10, Selector(key="key_b"))
    assert (await world.ask()).status == 200
    assert (await world.ask(world.other)).status == 200
    await world.written()
    response = await world.get()
    assert (response.status, response.headers["cache-control"]) == (200, "private, no-store")
    shown = response.json()
    assert [one["id"] for one in shown["budgets"]] == ["bud_team", "bud_each", "bud_all"]
    assert shown["tightest_budget"] == "bud_team"
    assert (shown["id"], shown["name"], shown["status"]) == ("key_a", "laptop", "active")
    assert shown["hint"] == f"{world.secret[:11]}...{world.secret[-4:]}"
    assert shown["models"] == ["claude-*"]
    (limit,) = shown["limits"]
    assert (limit["rate"], limit["limit"], limit["used"], limit["remaining"]) == ("rpm", 60, 1, 59)
    text = response.body.decode()
    assert world.secret not in text
    assert "bob@" not in text
    assert "bud_other" not in text
    await world.end()
    spent = {one["id"]: one["spent"] for one in shown["budgets"]}
    assert spent == {"bud_team": "0.000132", "bud_each": USD, "bud_all": "0.000132"}
    for one in (await world.modelmux("keys", "show", "laptop"))["budgets"]:
        assert spent[one["id"]] == one["spent"], "the command shows the same"


async def test_a4_what_is_left_is_what_the_refusal_says(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin()
    await world.budget("bud_a", 2_000_000, Selector(key="key_a"))
    assert (await world.ask()).status == 200
    await world.written()
    refused = await world.ask(max_completion_tokens=1_000)
    assert refused.status == 429
    (one,) = (await world.get()).json()["budgets"]
    assert "has $0.001934 left" in refused.json()["error"]["message"]
    limit, spent, held, left = (Decimal(one[name]) for name in ("limit", "spent", "held", "remaining"))
    assert (limit, spent) == (Decimal("0.002"), Decimal(USD))
    assert left + held == Decimal("0.001934"), "what the process keeps for the next requests is held"
    assert one["resets_at"] == "2027-01-01T00:00:00Z"
    await world.end()


@pytest.mark.parametrize("path", ["/v1/key", "/key", "/v1/key/usage"])
async def test_every_check_of_a_key_is_made_but_that_of_its_apis(path: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin(apis=("vertex",), models=("nothing",), addresses=("127.0.0.0/8",))
    assert (await world.get(path)).status == 200
    assert (await world.get(path, "sk-mmx-wrong")).status == 401
    assert (await request(world.app, "GET", path)).status == 401
    await world.change(lambda d: save_key(d, Key(id="key_b", name="desk", addresses=("192.0.2.0/24",))))
    refused = await world.get(path, world.other)
    assert (refused.status, refused.json()["error"]["code"]) == (403, "address_not_allowed")
    await world.change(lambda d: revoke_key(d, "key_a", 1))
    refused = await world.get(path)
    assert (refused.status, refused.json()["error"]["code"]) == (401, "key_revoked")
    await world.end()


async def test_a_key_of_the_configuration_is_told_who_can_help(tmp_path: Path) -> None:
    world = World(tmp_path, server={"api_keys": ["a-static-key"]})
    await world.begin()
    for app in (world.app, gateway(FakeUpstream([]), server={"api_keys": ["a-static-key"]})):
        response = await request(app, "GET", "/v1/key", headers={"x-api-key": "a-static-key", "authorization": "x"})
        error = response.json()["error"]
        assert (response.status, error["code"]) == (404, "no_account")
        assert "`modelmux keys create`" in error["message"]
    await world.end()


async def test_usage_is_that_of_the_own_key_alone(tmp_path: Path) -> None:
    replies = [message_reply() for _ in range(5)]
    world = World(tmp_path, *replies, accounts={"tags": ["app"], "zone": "Asia/Tokyo"})
    await world.begin()
    for app in ("chat", "chat", "code"):
        assert (await world.ask(headers={"x-modelmux-tags": f"app={app}"})).status == 200
    assert (await world.ask(world.other)).status == 200
    await world.written()
    shown = (await world.get("/v1/key/usage", query="group_by=model,tag:app&bucket=1d&start=2026-12-01")).json()
    assert (shown["zone"], shown["bucket"], shown["warnings"]) == ("Asia/Tokyo", "1d", [])
    (bucket,) = shown["data"]
    assert bucket["start"] == "2026-12-01T00:00:00+09:00"
    assert [(one["model"], one["tag:app"], one["requests"]) for one in bucket["results"]] == [
        (MODEL, "chat", 2), (MODEL, "code", 1),
    ]  # fmt: skip
    assert shown["total"]["cost"] == {"amount": "0.000198", "currency": "USD"}
    (only,) = (await world.get("/v1/key/usage", query="bucket=all&tag=app%3Dcode")).json()["data"]
    assert [one["requests"] for one in only["results"]] == [1]
    dated = (await world.get("/v1/key/usage", query=f"bucket=all&model={MODEL}@default")).json()
    assert dated["total"]["requests"] == 3, "by any name of the model"
    warned = (await world.get("/v1/key/usage", query="group_by=tag:env")).json()
    assert "tag env" in warned["warnings"][0]
    await world.end()


@pytest.mark.parametrize("query", ["key=key_b", "person=usr_b", "team=team_a", "group_by=person", "where=key=key_b"])
async def test_nothing_asks_for_the_usage_of_others(query: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    response = await world.get("/v1/key/usage", query=query)
    assert response.status == 400, response.body
    assert response.json()["error"]["param"] in ("key", "person", "team", "group_by", "where")
    await world.end()


async def test_what_is_expected_can_be_sent_as_it_is_written(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    for query, expected in (("zone=x", "Europe/Berlin"), ("start=x", "T00:00:00Z"), ("group_by=key", "tag:NAME")):
        assert expected in (await world.get("/v1/key/usage", query=query)).json()["error"]["message"]
    await world.end()


async def test_who_polls_gets_what_is_known_and_is_slowed_down(tmp_path: Path, clock: Clock) -> None:
    world = World(tmp_path)
    await world.begin()
    ledger = world.app.metering._ledger
    assert ledger is not None
    threads: list[str] = []
    windows = ledger.windows

    async def counted(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return await windows(*arguments)

    ledger.windows = counted  # type: ignore[method-assign]
    answers = await asyncio.gather(*(world.get() for _ in range(200)))
    answers += [await world.get() for _ in range(200)]
    assert {one.status for one in answers} == {200}
    assert len(threads) == 1, "all others got the answer of the first"
    statuses = []
    for _ in range(READS):
        clock.advance(0.5)
        statuses += [(await world.get("/v1/key/usage", query=f"start=2026-11-{len(statuses) + 1:02}")).status]
    assert statuses[-2:] == [200, 429]
    refused = await world.get("/v1/key/usage", query="bucket=1h")
    assert int(refused.headers["retry-after"]) >= 1
    assert (await world.get("/v1/key", world.other)).status == 200, "another key is not held up"
    clock.advance(30.0)
    assert (await world.get("/v1/key/usage", query="bucket=1h")).status == 200
    await world.end()


async def test_a_ledger_that_cannot_be_read_is_said_and_not_remembered(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    ledger = world.app.metering._ledger
    assert ledger is not None
    windows = ledger.windows

    async def fail(*_: Any) -> Any:
        raise StoreFailed("disk I/O error")

    ledger.windows = fail  # type: ignore[method-assign]
    response = await world.get()
    assert (response.status, response.json()["error"]["code"]) == (503, "accounts_unavailable")
    assert "disk" not in response.body.decode()
    ledger.windows = windows  # type: ignore[method-assign]
    assert (await world.get()).status == 200
    await world.end()


async def test_reading_leaves_no_row_and_a_browser_may_do_it(tmp_path: Path) -> None:
    world = World(tmp_path, server={"cors_origins": ["https://app.example.com"]})
    await world.begin()
    origin = {"origin": "https://app.example.com"}
    assert (await world.get(headers=origin)).headers["access-control-allow-origin"] == "https://app.example.com"
    assert (await world.get("/v1/key/usage")).status == 200
    await world.end()
    with closing(sqlite3.connect(world.path)) as connection:
        assert connection.execute("SELECT count(*) FROM ledger").fetchone() == (0,)


async def test_the_documented_command_shows_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin()
    commands = re.findall(r"^\$ (curl .*/v1/key.*)$", DOCS.read_text(), re.MULTILINE)
    assert len(commands) == 2
    async with Served(world.app).listening() as server:
        for command in commands:
            line = command.replace("127.0.0.1:3000", f"127.0.0.1:{server.port}").replace("$KEY", world.secret)
            process = await asyncio.create_subprocess_exec(*shlex.split(line), stdout=subprocess.PIPE)
            output, _ = await process.communicate()
            assert json.loads(output)["object"] in ("key", "list"), output
    await world.end()

"""``modelmux webhooks``. Risk: the secret is lost among other output, a test says nothing of how it ended, or the
commands do something else with ``--url``."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.secret_format import HOOK_PREFIX, is_secret
from modelmux.store.ledger.alerts import Outcome
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from support.admin_server import AdminServer, admin_server
from support.cli import CommandResult
from support.remote import local, remote

URL = "https://hooks.example.com/x"


class Both:
    """The commands on a store, and over the admin API of the same store."""

    def __init__(self, folder: Path, server: AdminServer | None) -> None:
        self.path = folder / "accounts.db"
        self.home = folder / "home"
        self.home.mkdir()
        self._server = server

    def run(self, *arguments: str) -> CommandResult:
        if self._server is not None:
            return remote(self._server, self.home, "webhooks", *arguments)
        return local(self.path, self.home, "webhooks", *arguments)

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.code == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture(params=["store", "url"])
def both(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Both]:
    if request.param == "store":
        yield Both(tmp_path, None)
        return
    with admin_server(tmp_path) as server:
        yield Both(tmp_path, server)


def deliver_what_is_due(path: Path, outcome: Outcome, ended: threading.Event) -> None:
    """What a gateway does, without a network."""

    async def run() -> None:
        ledger = SqliteLedger(path)
        while not ended.is_set():
            for one in await ledger.alerts.claim(10**16, 2 * 10**16, 10):
                await ledger.alerts.tried(one.id, outcome)
            await asyncio.sleep(0.05)
        await ledger.aclose()

    asyncio.run(run())


def test_a_webhook_from_its_creation_to_its_end(both: Both) -> None:
    made = both.run("create", "slack", URL, "--events", "key.expiring,ledger.lag")
    assert made.code == 0, made.stderr
    assert is_secret(made.stdout.strip(), HOOK_PREFIX)
    assert "created" in made.stderr
    (shown,) = both.json("list")
    assert (shown["name"], shown["events"], shown["status"]) == ("slack", ["key.expiring", "ledger.lag"], "active")
    assert made.stdout.strip() not in json.dumps(shown)
    line = both.run("list").stdout.splitlines()[1].split()
    assert line == [shown["id"], "slack", "active", "key.expiring,ledger.lag", "-", URL]
    assert both.json("disable", "SLACK")["status"] == "disabled"
    assert "enabled" in both.run("enable", shown["id"]).stderr
    assert "deleted" in both.run("delete", "slack").stderr
    assert both.json("list") == []
    assert both.json("create", "slack", URL)["events"] == []


@pytest.mark.parametrize(
    ("outcome", "code", "text"),
    [
        (Outcome(at=5, status=204), 0, "it answered 204"),
        (
            Outcome(at=5, status=500, problem="it answered 500", again=2 * 10**16),
            1,
            "the webhook fails: it answered 500",
        ),
    ],
)
def test_a_test_says_how_it_ended(both: Both, outcome: Outcome, code: int, text: str) -> None:
    both.json("create", "slack", URL)
    ended = threading.Event()
    thread = threading.Thread(target=deliver_what_is_due, args=(both.path, outcome, ended))
    thread.start()
    try:
        result = both.run("test", "slack")
    finally:
        ended.set()
        thread.join()
    assert (result.code != 0, text in result.stderr) == (code != 0, True), result.stderr
    (sent,) = both.json("deliveries", "slack")
    assert (sent["type"], sent["attempts"], sent["response_status"]) == ("webhook.test", 1, outcome.status)
    row = both.run("deliveries", "slack").stdout.splitlines()[1]
    assert re.match(r"dlv_\w+ +webhook\.test ", row)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("create", "a", "http://hooks.example.com"), "url: it is not https"),
        (("create", "a", URL, "--events", "other"), "other"),
        (("test", "nothing"), "there is no webhook 'nothing'"), (("delete", "nothing"), "there is no webhook"),
        (("create", "taken", URL), "is taken by"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(both: Both, arguments: tuple[str, ...], text: str) -> None:
    both.json("create", "taken", URL)
    result = both.run(*arguments)
    assert result.code != 0
    assert text in result.stderr, result.stderr

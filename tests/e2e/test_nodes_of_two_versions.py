"""Gateways of two versions that differ in the latest migrations, with accounts in one PostgreSQL database.

Risk: in a rolling upgrade a node of one version does not see keys or leases of the other, both pass a budget together,
requests of a node that was killed are lost because the next one cannot read its journal, or an old node that cannot use
the new schema writes into it.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from e2e.test_nodes_share_postgresql import MODEL, PEPPER, ask, until_status
from modelmux.store.ledger.sqlite_rows import KINDS
from modelmux.store.postgres.thread import LOOKS_EVERY
from support.cli import CommandResult, run_process
from support.cluster import until
from support.earlier import Versions
from support.postgres import execute
from support.processes import Process

LIMIT = Decimal("0.01")
NANO = 10**9
#: A reply that takes minutes.
STORY = f"[[emulator: tokens_per_second=4]] say exactly: {'once upon a time ' * 200}"


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


class Nodes:
    """``old``: of the earlier version. Each node has a folder of state with its name."""

    def __init__(
        self, serve: Callable[..., Process], upstream: Process, url: str, folder: Path, versions: Versions
    ) -> None:
        self._serve, self.upstream, self.url, self.folder, self.versions = serve, upstream, url, folder, versions
        urllib.request.urlopen(urllib.request.Request(f"{upstream.url}/_emulator/reset", method="POST")).close()

    def start(self, state: str, *, old: bool = False) -> Process:
        folder = self.folder / state
        folder.mkdir(exist_ok=True)
        more = f'\n[accounts]\nenabled = true\nstore = "{self.url}"\npeppers = ["{PEPPER}"]\n'
        return self._serve(self.upstream.url, server=f'state_dir = "{folder}"', more=more, **self._source(old))

    def run(self, *arguments: str, old: bool = False) -> CommandResult:
        return run_process(
            *arguments, home=self.folder, MODELMUX_ACCOUNTS_ENABLED="true", MODELMUX_ACCOUNTS_STORE=self.url,
            MODELMUX_ACCOUNTS_PEPPERS=PEPPER, MODELMUX_SERVER_STATE_DIR=str(self.folder),
            MODELMUX_VERTEX_PROJECT="p", MODELMUX_VERTEX_LOCATION="global", **self._source(old),
        )  # fmt: skip

    def command(self, *arguments: str, old: bool = False) -> str:
        result = self.run(*arguments, old=old)
        assert result.code == 0, result.stderr
        return result.stdout.strip()

    def _source(self, old: bool) -> dict[str, str]:
        return {"PYTHONPATH": str(self.versions.old if old else self.versions.new)}

    def statuses(self, count: int, secret: str, *gateways: Process) -> Counter[int]:
        with ThreadPoolExecutor(8) as threads:
            return Counter(threads.map(lambda n: ask(gateways[n % len(gateways)], secret, n), range(count)))

    def kill_in_a_stream(self, gateway: Process, secret: str) -> None:
        """Kill a gateway when the client has the beginning of a reply, which its journal has to know."""
        body = {"model": MODEL, "max_tokens": 2000, "stream": True, "messages": [{"role": "user", "content": STORY}]}
        headers = {"content-type": "application/json", "authorization": f"Bearer {secret}"}
        request = urllib.request.Request(f"{gateway.url}/v1/messages", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=100) as response:
            assert response.read1()
            gateway.signal(signal.SIGKILL)
            gateway.wait(100)

    def execute(self, sql: str) -> list[Any]:
        """The first column."""
        return [row[0] for row in execute(self.url, sql)]

    def migrations(self) -> list[Any]:
        return self.execute("SELECT number FROM modelmux_migrations ORDER BY 1")

    def in_doubt(self) -> int:
        """How many rows of the ledger are."""
        return sum(self.execute(f"SELECT count(*) FROM ledger WHERE kind = {KINDS.index('in_doubt')}"))

    def check(self) -> None:
        """After all have stopped: each call that was billed has one row with its cost, as each version reads them."""
        with urllib.request.urlopen(f"{self.upstream.url}/_emulator/bill") as reply:
            bill = {entry["id"]: Decimal(entry["cost"]) for entry in json.loads(reply.read())["entries"]}
        for old in (False, True):
            self.command("usage", "verify", old=old)
            lines = self.command("usage", "export", "--format", "jsonl", old=old).splitlines()
            rows = [row for row in map(json.loads, lines) if row["upstream_id"]]
            assert sorted(row["upstream_id"] for row in rows) == sorted(bill)
            for row in rows:
                cost, billed = Decimal(row["cost_usd"]), bill[row["upstream_id"]]
                assert cost >= billed if row["kind"] == "in_doubt" else cost == billed
        assert self.execute("SELECT holder FROM budget_lease") == [], "something stays leased"


def stop(*gateways: Process) -> None:
    for gateway in gateways:
        gateway.signal(signal.SIGTERM)
        assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()


@pytest.fixture
def nodes(
    serve: Callable[..., Process], upstream: Process, postgres_url: str, tmp_path: Path, versions: Versions
) -> Nodes:
    return Nodes(serve, upstream, postgres_url, tmp_path, versions)


def test_an_earlier_version_works_beside_the_new_schema_and_can_be_started_again(nodes: Nodes) -> None:
    old = nodes.start("first", old=True)
    assert nodes.migrations() == list(range(1, nodes.versions.old_last + 1)), "this is an earlier version"
    shared = nodes.command("keys", "create", "--name", "shared", "--budget", f"{LIMIT}/lifetime", old=True)
    ample = nodes.command("keys", "create", "--name", "ample", "--budget", "10/lifetime", old=True)
    assert [ask(old, secret) for secret in (shared, ample)] == [200, 200]
    new = nodes.start("second")
    assert nodes.migrations() == list(range(1, nodes.versions.new_last + 1))

    for name, is_old in (("of the old", True), ("of the new", False)):
        secret = nodes.command("keys", "create", "--name", name, old=is_old)
        assert [ask(node, secret) for node in (old, new)] == [200, 200]
        nodes.command("keys", "revoke", name, old=not is_old)
        for node in (old, new):
            until_status(node, secret, 401)
    assert set(nodes.statuses(160, shared, old, new)) == {200, 429}
    until(lambda: set(nodes.statuses(8, shared, old, new)) == {429})

    nodes.kill_in_a_stream(old, ample)
    upgraded = nodes.start("first")
    until(lambda: nodes.in_doubt() == 1, told=upgraded.output)
    nodes.kill_in_a_stream(new, ample)
    rolled_back = nodes.start("second", old=True)
    until(lambda: nodes.in_doubt() == 2, told=rolled_back.output)
    assert set(nodes.statuses(16, ample, upgraded, rolled_back)) == {200}
    assert {ask(node, shared) for node in (upgraded, rolled_back)} == {429}

    stop(upgraded, rolled_back)
    assert LIMIT * 3 / 4 < Decimal(min(nodes.execute("SELECT spent FROM budget_window"))) / NANO <= LIMIT
    nodes.check()


def test_a_node_that_cannot_use_the_schema_any_more_writes_nothing_and_loses_nothing(nodes: Nodes) -> None:
    node = nodes.start("first")
    secret = nodes.command("keys", "create", "--name", "any")
    assert ask(node, secret) == 200
    until(lambda: nodes.execute("SELECT count(*) FROM ledger") == [1])
    next_one = nodes.versions.new_last + 1
    execute(nodes.url, f"INSERT INTO modelmux_migrations VALUES ({next_one}, '{next_one:04}_x.sql', 'x', {next_one})")
    error = f"made by a newer version of modelmux (it has the migration {next_one:04}_x.sql); install that version"
    until(lambda: error in node.output(), told=node.output)
    time.sleep(LOOKS_EVERY)  # another connection may have told of it; by then that of rows has to look, too
    assert ask(node, secret) == 200, "a key that is known works on"
    for command in (("serve",), ("keys", "list"), ("usage",)):
        result = nodes.run(*command)
        assert (result.code, error in result.stderr) == (1, True), result.stderr
    stop(node)
    assert nodes.execute("SELECT count(*) FROM ledger") == [1]
    execute(nodes.url, f"DELETE FROM modelmux_migrations WHERE number = {next_one}")
    node = nodes.start("first")
    until(lambda: nodes.execute("SELECT count(*) FROM ledger") == [2], told=node.output)
    stop(node)
    nodes.check()

"""Two gateways with accounts in one PostgreSQL database, one of them with two workers and through PgBouncer.

Risk: a key of one node is unknown to the other, nodes pass a budget together, or a command reads other accounts.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.cli import run_process
from support.postgres import PgBouncer, Server
from support.processes import START_SECONDS, Process

MODEL = "claude-sonnet-4-6"
LIMIT = Decimal("0.01")
PEPPER = "a-pepper-of-all-nodes-0123456789abcdef"


class Nodes(NamedTuple):
    gateways: tuple[Process, Process]
    home: Path
    variables: dict[str, str]

    def command(self, *arguments: str) -> str:
        result = run_process(*arguments, home=self.home, **self.variables)
        assert result.code == 0, result.stderr
        return result.stdout.strip()


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture
def nodes(
    serve: Callable[..., Process], upstream: Process, postgres_url: str, postgres_server: Server, tmp_path: Path
) -> Iterator[Nodes]:
    bouncer = PgBouncer(postgres_server)
    pooled = postgres_server.url(postgres_url.rpartition("/")[2], bouncer.port)

    def node(number: int, store: str, workers: int) -> Process:
        state = tmp_path / str(number)
        state.mkdir()
        accounts = f'\n[accounts]\nenabled = true\nstore = "{store}"\npeppers = ["{PEPPER}"]\n'
        listen = "" if number == 0 else f'listen_url = "{postgres_url}"\n'
        return serve(upstream.url, server=f'workers = {workers}\nstate_dir = "{state}"', more=accounts + listen)

    try:
        with ThreadPoolExecutor(2) as threads:  # both migrate at once
            gateways = tuple(threads.map(node, (0, 1), (postgres_url, pooled), (1, 2)))
        variables = {
            "MODELMUX_ACCOUNTS_ENABLED": "true", "MODELMUX_ACCOUNTS_STORE": postgres_url,
            "MODELMUX_ACCOUNTS_PEPPERS": PEPPER, "MODELMUX_SERVER_STATE_DIR": str(tmp_path),
        }  # fmt: skip
        yield Nodes((gateways[0], gateways[1]), tmp_path, variables)
        for gateway in gateways:
            gateway.signal(signal.SIGTERM)
            assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()
    finally:
        bouncer.remove()


def ask(gateway: Process, secret: str, number: int = 0) -> int:
    """The status of one request."""
    body: dict[str, Any] = {
        "model": MODEL, "max_tokens": 40, "messages": [{"role": "user", "content": f"repeat after me: {number}"}],
    }  # fmt: skip
    request = urllib.request.Request(
        f"{gateway.url}/v1/messages", json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {secret}"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=100) as response:
            response.read()
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def until_status(gateway: Process, secret: str, status: int) -> None:
    end = time.monotonic() + START_SECONDS
    while ask(gateway, secret) != status:
        assert time.monotonic() < end, gateway.output()
        time.sleep(0.05)


def test_a13_keys_and_budgets_are_those_of_all_nodes(nodes: Nodes, upstream: Process, postgres_url: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{upstream.url}/_emulator/reset", method="POST")).close()
    secret = nodes.command("keys", "create", "--name", "shared", "--budget", f"{LIMIT}/month")
    for gateway in nodes.gateways:
        assert ask(gateway, secret) == 200, "a key that was just made works at once"
        wrong = secret[:-1] + ("y" if secret.endswith("x") else "x")
        until_status(gateway, wrong, 401)  # another worker may not have looked yet, and knows of no keys
    with ThreadPoolExecutor(16) as threads:
        statuses = Counter(threads.map(lambda number: ask(nodes.gateways[number % 2], secret, number), range(160)))
    assert set(statuses) == {200, 429}
    with urllib.request.urlopen(f"{upstream.url}/_emulator/bill") as reply:
        bill = json.loads(reply.read())
    billed = sum(Decimal(entry["cost"]) for entry in bill["entries"])
    assert LIMIT / 2 < billed <= LIMIT
    other = nodes.command("keys", "create", "--name", "other")
    for gateway in nodes.gateways:
        assert ask(gateway, other) == 200
    nodes.command("keys", "revoke", "other")
    for gateway in nodes.gateways:
        until_status(gateway, other, 401)
    for gateway in nodes.gateways:
        gateway.signal(signal.SIGTERM)
        assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()
        assert "a%2Fpass" not in gateway.output()
        assert "a row of each request is written to postgresql://127.0.0.1:" in gateway.output()
    nodes.command("usage", "verify")
    exported = [json.loads(line) for line in nodes.command("usage", "export", "--format", "jsonl").splitlines()]
    shared = json.loads(nodes.command("keys", "show", "shared", "--json"))["id"]
    rows = [row for row in exported if row["key"] == shared]
    assert sum(row["outcome"] == "ok" for row in rows) == statuses[200] + 2
    assert sum(Decimal(row["cost_usd"]) for row in rows) == billed
    shown = json.loads(nodes.command("usage", "--by", "key", "--json"))
    assert shown["total"]["requests"] == len(exported)


def test_the_first_start_of_a_configuration_without_what_it_needs_says_so(tmp_path: Path) -> None:
    def serve(**accounts: str) -> str:
        variables = {f"MODELMUX_ACCOUNTS_{name.upper()}": value for name, value in accounts.items()}
        result = run_process(
            "serve", home=tmp_path, MODELMUX_VERTEX_PROJECT="p", MODELMUX_VERTEX_LOCATION="global",
            MODELMUX_ACCOUNTS_ENABLED="true", **variables,
        )  # fmt: skip
        assert result.code != 0
        assert "canary" not in result.stderr
        return result.stderr

    store = "postgresql://u:canary@127.0.0.1:1/d"
    assert "accounts.peppers: none is set, and nodes that share a database" in serve(store=store)
    stderr = serve(store=store, peppers=PEPPER)
    assert "accounts.store: postgresql://127.0.0.1:1/d: cannot be reached" in stderr
    assert "check host and port of accounts.store" in stderr
    assert "write / ? # @" in serve(store="postgresql://u:ca/canary@h/d", peppers=PEPPER)
    assert "neither" in serve(store="mysql://u:canary@h/d", peppers=PEPPER)

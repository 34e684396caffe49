"""A gateway is killed at each point of a request's way into the ledger. The next start makes a row for every call that
the upstream billed, once, and nothing stays leased.

Risk: a note that is written a moment too late or dropped a moment too early; a row that is written twice; a lease that
is never given back; a recovery that is killed itself and loses the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import httpx2
import pytest

from support.cli import run_process
from support.killed_at import AFTER_CHECKPOINT, BEFORE_CHECKPOINT, POINTS
from support.processes import Process, free_port

MODEL = "claude-sonnet-4-6"
TESTS = Path(__file__).parents[1]
IN_RECOVERY = ["before the recovery", "before leases end", "after leases end", "before the journal is removed"]
CLIENTS = 4
#: `make kill-attack` has more.
KILLS = int(os.environ.get("MODELMUX_TEST_KILLS", "4"))
WORKERS_KILLED = 4
pytestmark = pytest.mark.timeout(900 + 10 * KILLS)


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


class World:
    """One state folder, and the gateways that use it one after the other."""

    def __init__(self, folder: Path, upstream: Process) -> None:
        self.folder = folder
        self.upstream = upstream
        (folder / "config.toml").write_text(
            f'[vertex]\nproject = "p"\nlocation = "global"\nbase_url = "{upstream.url}"\n'
            f'[auth]\naccess_token = "t"\n[server]\nstate_dir = "{folder}"\n[accounts]\nenabled = true\n'
        )
        self.secret = self.run("keys", "create", "--name", "small", "--budget", "5/month")
        self.sent = 0
        self.gateways: list[Process] = []
        self.client = httpx2.Client(verify=False)  # one: each reads the authorities anew

    def run(self, *arguments: str) -> str:
        result = run_process(*arguments, "--config", str(self.folder / "config.toml"), home=self.folder)
        assert result.code == 0, result.stderr
        return result.stdout.strip()

    def start(self, point: str | None = None, count: int = 1, workers: int = 1) -> Process:
        port = free_port()
        module = ("modelmux",) if point is None else ("support.killed_at", point, str(count))
        gateway = Process(
            self.folder / f"log-{len(self.gateways)}", "serve", "--config", str(self.folder / "config.toml"),
            "--port", str(port), "--workers", str(workers), port=port, module=module, PYTHONPATH=str(TESTS),
        )  # fmt: skip
        self.gateways.append(gateway)
        return gateway

    def ask(self, gateway: Process, number: int) -> None:
        """One request; the gateway may be killed meanwhile."""
        self.sent += 1
        body: dict[str, Any] = {"model": MODEL, "max_tokens": 40, "stream": number % 2 == 0}
        body["messages"] = [{"role": "user", "content": f"repeat after me: {'word ' * (number % 5 + 1)}"}]
        headers = {"x-api-key": self.secret, "anthropic-version": "2023-06-01"}
        try:
            self.client.post(f"{gateway.url}/v1/messages", json=body, headers=headers, timeout=60)
        except httpx2.HTTPError:
            time.sleep(0.05)  # there may be no gateway at the moment

    def ask_until_killed(self, gateway: Process) -> None:
        def client(first: int) -> None:
            for number in range(first, first + 200, CLIENTS):
                if gateway.has_ended:
                    return
                self.ask(gateway, number)

        with ThreadPoolExecutor(CLIENTS) as threads:
            list(threads.map(client, range(CLIENTS)))
        assert gateway.wait(100) == -signal.SIGKILL, gateway.output()

    def recover(self) -> None:
        """Another start, until only its own journal is left, and its stop."""
        gateway = self.start()
        gateway.wait_ready()
        end = time.monotonic() + 60
        while len(self.journals()) > 1 or (self.journals() and "written to the ledger" not in gateway.output()):
            if time.monotonic() > end or not self.journals():
                break
            time.sleep(0.05)
        gateway.signal(signal.SIGTERM)
        assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()
        assert self.journals() == []

    def journals(self) -> list[Path]:
        return list((self.folder / "accounts.db-journals").glob("*"))

    def check(self) -> list[dict[str, Any]]:
        """Nothing is missing, nothing is there twice, nothing is leased. Returns the rows."""
        rows = [json.loads(line) for line in self.run("usage", "export", "--format", "jsonl").splitlines()]
        with urllib.request.urlopen(f"{self.upstream.url}/_emulator/bill") as reply:
            bill = {entry["id"]: entry for entry in json.loads(reply.read())["entries"]}
        named = {row["upstream_id"]: row for row in rows if row["upstream_id"]}
        unnamed = [row for row in rows if not row["upstream_id"] and row["kind"] == "in_doubt"]
        assert len({row["id"] for row in rows}) == len(rows) <= self.sent
        refused = [row for row in rows if not row["upstream_id"] and row["kind"] != "in_doubt"]
        assert [row for row in refused if row["attempts"]] == []
        assert named.keys() <= bill.keys()
        assert len(bill) - len(named) <= len(unnamed), "a billed call without a row"
        for id, row in named.items():
            cost, billed = Decimal(row["cost_usd"]), Decimal(bill[id]["cost"])
            assert cost == billed or (row["kind"] == "in_doubt" and cost > billed), row
        (window,) = json.loads(self.run("budget", "show", "small", "--json"))["windows"]
        assert Decimal(window["held"]) == 0
        assert Decimal(window["spent"]) == sum(Decimal(row["cost_usd"]) for row in rows)
        assert json.loads(self.run("usage", "verify", "--json"))["differences"] == []
        return rows


@pytest.fixture
def world(tmp_path: Path, upstream: Process) -> Any:
    urllib.request.urlopen(urllib.request.Request(f"{upstream.url}/_emulator/reset", method="POST")).close()
    world = World(tmp_path, upstream)
    yield world
    world.client.close()
    for gateway in world.gateways:
        gateway.stop()


@pytest.mark.parametrize(
    "point", [point for point in [*POINTS, BEFORE_CHECKPOINT, AFTER_CHECKPOINT] if point not in IN_RECOVERY]
)
def test_a3_a_kill_at_a_point_loses_nothing(world: World, point: str) -> None:
    gateway = world.start(point, 7)
    gateway.wait_ready()
    world.ask_until_killed(gateway)

    world.recover()

    world.check()


def test_rows_in_doubt_are_resolved_and_backed_up_while_a_gateway_serves(world: World) -> None:
    gateway = world.start("after the headers", 7)
    gateway.wait_ready()
    world.ask_until_killed(gateway)
    world.recover()
    doubtful = [row for row in world.check() if row["kind"] == "in_doubt"]
    assert doubtful, "a call that ran was cut off"
    gateway = world.start()
    gateway.wait_ready()
    with load(world, lambda: gateway):
        listed = json.loads(world.run("ledger", "list", "--in-doubt", "--json"))
        assert {row["id"] for row in listed} == {row["id"] for row in doubtful}
        costs = {}
        for number, row in enumerate(doubtful):
            cost = Decimal("0.000123") * number
            costs[row["id"]] = cost
            said = ("--cost", str(cost)) if number else ("--void",)
            world.run("ledger", "resolve", row["id"], "--reason", "the bill", *said)
        world.run("accounts", "backup", str(world.folder / "backup.db"))
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()
    assert json.loads(world.run("ledger", "list", "--in-doubt", "--json")) == []
    check_resolved(world, costs)

    (world.folder / "backup.db").rename(world.folder / "accounts.db")
    for name in ("accounts.db-wal", "accounts.db-shm"):
        (world.folder / name).unlink(missing_ok=True)
    check_resolved(world, costs, is_restored=True)


def check_resolved(world: World, costs: dict[str, Decimal], *, is_restored: bool = False) -> None:
    """Requests cost what was said, the budget has spent the sum of all rows, and sums are right."""
    rows = [json.loads(line) for line in world.run("usage", "export", "--format", "jsonl").splitlines()]
    for id, cost in costs.items():
        assert sum(Decimal(row["cost_usd"]) for row in rows if id in (row["id"], row["corrects"])) == cost
    (window,) = json.loads(world.run("budget", "show", "small", "--json"))["windows"]
    assert Decimal(window["spent"]) == sum(Decimal(row["cost_usd"]) for row in rows)
    assert is_restored or Decimal(window["held"]) == 0, "a backup has what was leased at its moment"
    assert json.loads(world.run("usage", "verify", "--json"))["differences"] == []


@contextlib.contextmanager
def load(world: World, gateway: Callable[[], Process]) -> Iterator[None]:
    """Clients that ask one request after the other, whatever becomes of it."""
    is_over = Event()

    def client(first: int) -> None:
        number = first
        while not is_over.is_set():
            world.ask(gateway(), number)
            number += CLIENTS

    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(client, first) for first in range(CLIENTS)]
        try:
            yield
        finally:
            is_over.set()
        for one in clients:
            one.result()


def test_workers_that_are_killed_at_random_lose_nothing(world: World) -> None:
    random = Random(1)
    gateway = world.start(workers=2)
    gateway.wait_ready()
    with load(world, lambda: gateway):
        for _ in range(WORKERS_KILLED):
            time.sleep(random.uniform(0, 1))
            os.kill(random.choice(workers_of(gateway)), signal.SIGKILL)
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()

    world.recover()

    assert len(world.check()) > WORKERS_KILLED


def test_a14_gateways_that_are_killed_at_random_lose_nothing(world: World) -> None:
    random = Random(2)
    world.start().wait_ready()
    with load(world, lambda: world.gateways[-1]):
        for _ in range(KILLS):
            time.sleep(random.uniform(0, 0.7))
            gateway = world.gateways[-1]
            gateway.signal(signal.SIGKILL)
            gateway.wait(100)
            world.start().wait_ready()
    world.gateways[-1].signal(signal.SIGKILL)
    world.gateways[-1].wait(100)

    world.recover()

    assert len(world.check()) > KILLS


def workers_of(gateway: Process) -> list[int]:
    """Ids of the processes that it has started, as soon as there is one."""
    path = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children")
    while not (children := path.read_text().split()):
        time.sleep(0.01)
    return [int(child) for child in children]


@pytest.mark.parametrize("point", IN_RECOVERY)
def test_a_kill_during_the_recovery_loses_nothing(world: World, point: str) -> None:
    gateway = world.start("between settling and the commit", 5)
    gateway.wait_ready()
    world.ask_until_killed(gateway)
    assert world.start(point).wait(100) == -signal.SIGKILL

    world.recover()

    assert any(row["recovered"] for row in world.check())

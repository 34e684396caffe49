"""Two gateways with accounts in one PostgreSQL database, of which one is killed with its disk, or stopped for a while.

Risk: what it had leased is stranded or spent twice, or its late rows are counted in addition to what was booked for it.
"""

from __future__ import annotations

import json
import shutil
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

from e2e.test_nodes_share_postgresql import ask
from support.cli import run_process
from support.postgres import execute
from support.processes import START_SECONDS, Process

LIMIT = Decimal("0.01")
NANO = 10**9
PEPPER = "a-pepper-of-all-nodes-0123456789abcdef"
#: Seconds: a request that is cut off is over by then, and its node is lost a little later.
TOTAL = 3


class Nodes:
    def __init__(self, serve: Callable[..., Process], upstream: Process, url: str, folder: Path) -> None:
        self._serve, self.upstream, self.url, self.folder = serve, upstream, url, folder
        urllib.request.urlopen(urllib.request.Request(f"{upstream.url}/_emulator/reset", method="POST")).close()
        self.gateways = [self.start(number) for number in range(2)]
        self.secret = self.command("keys", "create", "--name", "shared", "--budget", f"{LIMIT}/month")

    def start(self, number: int) -> Process:
        accounts = f'\n[accounts]\nenabled = true\nstore = "{self.url}"\npeppers = ["{PEPPER}"]\n'
        more = f"{accounts}[timeouts]\ntotal = {TOTAL}\n"
        return self._serve(
            self.upstream.url, server=f'state_dir = "{self.state(number)}"', more=more,
            module=("support.soon_lost",), PYTHONPATH=str(Path(__file__).parent.parent),
        )  # fmt: skip

    def state(self, number: int) -> Path:
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        return folder

    def command(self, *arguments: str) -> str:
        result = run_process(
            *arguments, home=self.folder, MODELMUX_ACCOUNTS_ENABLED="true", MODELMUX_ACCOUNTS_STORE=self.url,
            MODELMUX_ACCOUNTS_PEPPERS=PEPPER, MODELMUX_SERVER_STATE_DIR=str(self.folder),
        )  # fmt: skip
        assert result.code == 0, result.stderr
        return result.stdout.strip()

    def ask(self, count: int, *gateways: Process) -> Counter[int]:
        with ThreadPoolExecutor(8) as threads:
            return Counter(threads.map(lambda n: ask(gateways[n % len(gateways)], self.secret, n), range(count)))

    def window(self) -> tuple[int, int]:
        """What it has spent, and what of it is leased, in nano-USD."""
        ((spent, leased),) = execute(self.url, "SELECT spent, leased FROM budget_window")
        assert spent + leased <= LIMIT * NANO
        return spent, leased

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + START_SECONDS
        while not condition():
            assert time.monotonic() < end, "\n".join(gateway.output() for gateway in self.gateways)
            time.sleep(0.05)

    def lease(self) -> None:
        """The first gateway has a lease, and the second none."""
        self.until(lambda: self.ask(4, self.gateways[0])[200] > 0 and self.window()[1] > 0)

    def spend_the_rest(self, gateway: Process) -> None:
        self.until(lambda: self.ask(16, gateway)[429] > 0)

    def is_booked(self) -> bool:
        return bool(execute(self.url, "SELECT 1 FROM budget_lost_lease"))

    def billed(self) -> Decimal:
        with urllib.request.urlopen(f"{self.upstream.url}/_emulator/bill") as reply:
            return sum((Decimal(one["cost"]) for one in json.loads(reply.read())["entries"]), Decimal(0))

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.command("usage", "export", "--format", "jsonl").splitlines()]

    def stop(self, *gateways: Process) -> None:
        for gateway in gateways:
            gateway.signal(signal.SIGTERM)
            assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture
def nodes(serve: Callable[..., Process], upstream: Process, postgres_url: str, tmp_path: Path) -> Nodes:
    return Nodes(serve, upstream, postgres_url, tmp_path)


def test_a_node_that_is_lost_with_its_disk_strands_nothing(nodes: Nodes) -> None:
    lost, other = nodes.gateways
    nodes.lease()
    lost.signal(signal.SIGKILL)
    lost.wait(100)
    shutil.rmtree(nodes.state(0))
    nodes.until(nodes.is_booked)
    nodes.spend_the_rest(other)
    assert nodes.billed() <= LIMIT
    booked = [row for row in nodes.rows() if row["kind"] == "in_doubt" and row["key"] == "unknown"]
    assert len(booked) == 1, "one row of the window"
    nodes.command("ledger", "resolve", booked[0]["id"], "--void", "--reason", "nothing of it was spent")
    nodes.until(lambda: nodes.ask(4, other)[200] > 0)
    nodes.stop(other)
    assert nodes.window()[1] == 0, "nothing is leased by anyone"
    nodes.command("usage", "verify")


def test_a_node_that_was_stopped_comes_back_and_the_window_is_exact(nodes: Nodes) -> None:
    stopped, other = nodes.gateways
    nodes.lease()
    with ThreadPoolExecutor(8) as threads:
        late = [threads.submit(ask, stopped, nodes.secret, number) for number in range(24)]
        nodes.until(lambda: any(one.done() for one in late))
        stopped.signal(signal.SIGSTOP)
        try:
            nodes.until(nodes.is_booked)
            nodes.spend_the_rest(other)
            assert nodes.window()[0] > 0
        finally:
            stopped.signal(signal.SIGCONT)
        assert {one.result() for one in late} <= {200, 429, 503, 504}
    nodes.until(lambda: not nodes.is_booked())
    nodes.spend_the_rest(stopped)
    nodes.spend_the_rest(other)
    nodes.stop(*nodes.gateways)
    spent, leased = nodes.window()
    assert leased == 0
    rows = nodes.rows()
    assert sum(Decimal(row["cost_usd"]) for row in rows) * NANO == spent
    assert nodes.billed() <= LIMIT
    assert {row["kind"] for row in rows if row["key"] == "unknown"} == {"in_doubt", "resolve"}
    nodes.command("usage", "verify")

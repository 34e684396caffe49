"""Three nodes of the gateway, nginx, the emulator and PostgreSQL, each on a host of its own, and what has to be true of
their accounts whatever broke meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from support.cli import run_process
from support.hosts import Host, Network, as_other_user
from support.postgres import PASSWORD, USER, Server, binary
from support.processes import START_SECONDS, Process

MODEL: Final = "claude-sonnet-4-6"
OPERATOR: Final = "sk-operator-of-all-nodes-0123456789"
PEPPER: Final = "a-pepper-of-all-nodes-0123456789abcdef"
_TESTS: Final = Path(__file__).resolve().parents[1]
_PAGE: Final = _TESTS.parent / "docs" / "deployment.md"
_UPSTREAM_PORT: Final = 8787
_CONFIG: Final = """
[server]
host = "0.0.0.0"
port = 3000
state_dir = "{state}"
api_keys = ["{operator}"]
[vertex]
project = "p"
location = "global"
base_url = "http://{upstream}:{port}"
[auth]
access_token = "t"
[accounts]
enabled = true
store = "{store}"
peppers = ["{pepper}"]
"""
_NGINX: Final = (
    "daemon off;\npid {folder}/pid;\nerror_log stderr;\nworker_processes {workers};\n"
    "events {{ worker_connections 8192; }}\n"
)
_TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Node:
    """
    :param variables: of its environment, from now on. :ivar source: the folder of another version, for its next start.
    """

    def __init__(self, host: Host, folder: Path, config: str, source: Sequence[Path], **variables: str) -> None:
        self.host, self.folder, self.variables, self.source = host, folder, variables, tuple(map(str, source))
        folder.mkdir()
        (folder / "config.toml").write_text(config)
        self.starts: list[Process] = []
        self.start()

    def start(self) -> None:
        """Begin to; see ``wait_ready``. Its state is what the last start left."""
        log = self.folder / f"log-{len(self.starts)}"
        config = str(self.folder / "config.toml")
        self.starts.append(
            Process(
                log,
                "serve",
                "--config",
                config,
                port=3000,
                prefix=self.host.prefix(),
                address=self.host.address,
                module=("support.unhurried",),
                PYTHONPATH=os.pathsep.join((str(_TESTS), *self.source)),
                **self.variables,
            )
        )

    @property
    def process(self) -> Process:
        return self.starts[-1]

    @property
    def url(self) -> str:
        return self.process.url

    def wait_ready(self) -> None:
        self.process.wait_ready("/readyz")

    def kill(self) -> None:
        self.host.kill()
        self.process.wait(100)

    def is_recovered(self) -> bool:
        """Whether the requests of its processes that were killed have their rows."""
        own = f"{self.process.pid}-"
        return all(path.name.startswith(own) for path in self.folder.glob("*-journals/*.journal"))

    def stop(self) -> None:
        """As a service manager does: it drains."""
        if not self.process.has_ended:
            self.process.signal(signal.SIGTERM)
            assert self.process.wait(100) in (0, -signal.SIGTERM), self.process.output()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        request = urllib.request.Request(f"{self.url}/metrics", headers={"authorization": f"Bearer {OPERATOR}"})
        with urllib.request.urlopen(request, timeout=100) as response:
            text = response.read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))


class Cluster:
    """:ivar url: of nginx. :ivar database: the one that takes writes now."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        database: Server,
        store: str,
        variables: Sequence[dict[str, str]] = ({}, {}, {}),
        tokens_per_second: int = 0,
        tables: str = "",
        source: Sequence[Path] = (),
        balancers: int = 1,
    ) -> None:
        """:param store: the URL that nodes have. :param variables: of each node. :param source: see ``Node``.

        :param tokens_per_second: of replies; 0: at once. :param tables: of the configuration of each node, in addition.
        :param balancers: processes of nginx: each has 8,192 connections, of which a request needs two.
        """
        self.network, self.folder, self.database = network, folder, database
        self.name = urlsplit(store).path[1:]
        self.emulator = _emulator(network.hosts["upstream"], folder, tokens_per_second)
        settings = {
            "operator": OPERATOR, "upstream": network.hosts["upstream"].address, "port": _UPSTREAM_PORT,
            "store": store, "pepper": PEPPER,
        }  # fmt: skip
        self.nodes = []
        for number, own_variables in enumerate(variables, 1):
            own = folder / f"node{number}"
            config = _CONFIG.format(state=own, **settings) + tables
            self.nodes.append(Node(network.hosts[f"node{number}"], own, config, source, **own_variables))
        for node in self.nodes:
            node.wait_ready()
        self.url = f"http://{network.hosts['balancer'].address}:80"
        self._nginx = _nginx(network.hosts["balancer"], folder, self.nodes, balancers)
        until(lambda: _answers(f"{self.url}/livez"))

    def command(self, *arguments: str) -> str:
        """What ``modelmux`` prints, run on this host with the accounts of the nodes."""
        result = run_process(
            *arguments, home=self.folder, MODELMUX_ACCOUNTS_ENABLED="true", MODELMUX_ACCOUNTS_PEPPERS=PEPPER,
            MODELMUX_ACCOUNTS_STORE=self.database.url(self.name), MODELMUX_SERVER_STATE_DIR=str(self.folder),
        )  # fmt: skip
        assert result.code == 0, result.stderr
        return result.stdout.strip()

    def key(self, name: str, budget: str, *more: str) -> str:
        """The secret of a new key. :param budget: such as ``1/lifetime``. :param more: further arguments."""
        return self.command("keys", "create", "--name", name, "--budget", budget, *more)

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.command("usage", "export", "--format", "jsonl").splitlines()]

    def bill(self) -> dict[str, dict[str, Any]]:
        """What the upstream bills, by the id of the reply."""
        with urllib.request.urlopen(f"{self.emulator.url}/_emulator/bill", timeout=100) as reply:
            return {entry["id"]: entry for entry in json.loads(reply.read())["entries"]}

    def migrations(self) -> list[Any]:
        """The numbers of those that the database has."""
        return [row[0] for row in self.database.execute("SELECT number FROM modelmux_migrations", self.name)]

    def row_count(self) -> int:
        """What the ledger has now."""
        return int(self.database.execute("SELECT count(*) FROM ledger", self.name)[0][0])

    def stop_nodes(self) -> None:
        """When processes that were killed have their rows: one that runs on their state directory writes them."""
        until(lambda: all(node.process.has_ended or node.is_recovered() for node in self.nodes))
        for node in self.nodes:
            node.stop()

    def check(self, limits: dict[str, str]) -> list[dict[str, Any]]:
        """After all is healed and the nodes have stopped: the rows.

        Each call that was billed has a row and none has two, no budget is passed, nothing is leased, sums are right.

        :param limits: of the budgets, USD.
        """
        with ThreadPoolExecutor(3) as threads:  # each is a process of its own
            shown = {name: threads.submit(self.command, "budget", "show", name, "--json") for name in limits}
            verified = threads.submit(self.command, "usage", "verify", "--json")
            rows, bill = self.rows(), self.bill()
        assert len({row["id"] for row in rows}) == len(rows)
        named = {row["upstream_id"]: row for row in rows if row["upstream_id"]}
        assert len(named) == sum(row["upstream_id"] is not None for row in rows), "two rows for one call"
        # Of a call that was cut off before its reply began, a killed process has left a row without the reply's id.
        unnamed = [row for row in rows if not row["upstream_id"] and row["kind"] == "in_doubt"]
        assert named.keys() <= bill.keys()
        assert len(bill) - len(named) <= len(unnamed), "a call that was billed has no row"
        for id, row in named.items():
            cost, billed = Decimal(row["cost_usd"]), Decimal(bill[id]["cost"])
            assert cost == billed or row["kind"] == "in_doubt" or "estimated" in json.dumps(row), (row, bill[id])
        for name, limit in limits.items():
            for window in json.loads(shown[name].result())["windows"]:
                assert Decimal(window["spent"]) <= Decimal(limit), window
        assert self.database.execute("SELECT * FROM budget_lease", self.name) == [], "something stays leased"
        assert json.loads(verified.result())["differences"] == []
        return rows

    def close(self) -> None:
        """Whatever state it is in. The hosts stay."""
        self.network.heal()
        for host in self.network.hosts.values():
            if not host.name.startswith("database"):
                host.kill()
        for process in (self.emulator, *(start for node in self.nodes for start in node.starts)):
            process.stop()
        self._nginx.wait(100)


StartCluster = Callable[..., Cluster]


class Standby(Server):
    """A copy of another server that follows it. :param primary: takes writes, and waits for this one with each."""

    def __init__(self, primary: Server, address: str, prefix: tuple[str, ...]) -> None:
        self._primary = primary
        super().__init__(address, prefix, synchronous_commit="on")

    def make_data(self) -> None:
        """Instead of a new database."""
        command = [
            *self._prefix, binary("pg_basebackup"), "-D", self.folder / "data", "-h", self._primary.address, "-p",
            self._primary.port, "-U", USER, "-R", "-X", "stream", "-c", "fast", "--no-sync",
        ]  # fmt: skip
        subprocess.run(
            list(map(str, command)), check=True, cwd=self.folder, timeout=100, capture_output=True,
            env={"PGPASSWORD": PASSWORD, "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    def promote(self) -> None:
        """Until it takes writes."""
        self.execute("SELECT pg_promote(true, 100)", "postgres")
        until(lambda: self.execute("SELECT pg_is_in_recovery()", "postgres") == [(False,)])


def database_on(host: Host, **settings: str) -> Server:
    """A server that every host may reach by its address there."""
    return Server(host.addresses["database"], as_other_user(host), **settings)


def until(
    condition: Callable[[], object], seconds: float = START_SECONDS, told: Callable[[], object] = lambda: ""
) -> None:
    """Wait for an event. :param told: what is said if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, told()
        time.sleep(0.02)


def nginx_config(addresses: Sequence[str]) -> str:
    """That of docs/deployment.md for nodes that take any request, with the addresses of the nodes in place of those
    there."""
    texts = re.findall(r"```nginx\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)
    (text,) = [text for text in texts if "least_conn" in text]
    documented = re.findall(r"server (\S+):3000", text)
    assert len(documented) == len(addresses)
    for there, here in zip(documented, addresses, strict=True):
        text = text.replace(f"server {there}:3000", f"server {here}:3000")
    return str(text)


def _nginx(host: Host, folder: Path, nodes: Sequence[Node], workers: int) -> subprocess.Popen[bytes]:
    own = folder / "nginx"
    own.mkdir()
    paths = "".join(f"{name}_temp_path {own}/{name};\n" for name in _TEMPORARY)
    servers = nginx_config([node.host.address for node in nodes])
    if workers > 1:
        servers = _for_many(servers)
    head = _NGINX.format(folder=own, workers=workers)
    # Clients that come at once wait for each other, with an open connection.
    text = f"user root;\n{head}http {{\naccess_log off;\nclient_header_timeout 600s;\n{paths}{servers}}}\n"
    (own / "nginx.conf").write_text(text)
    with (own / "log").open("w") as log:
        return subprocess.Popen(
            [*host.prefix(), "nginx", "-p", str(own), "-c", str(own / "nginx.conf")], stdout=log, stderr=log
        )


def _for_many(servers: str) -> str:
    """For thousands of connections at once: each process of nginx has its share of them, and a queue of its own for new
    ones; nodes take longer than usual to accept theirs."""
    changes = {
        "listen 80;": "listen 80 reuseport backlog=4096;", "proxy_connect_timeout 2s;": "proxy_connect_timeout 30s;"
    }  # fmt: skip
    for there, here in changes.items():
        assert there in servers
        servers = servers.replace(there, here)
    return servers


def _emulator(host: Host, folder: Path, tokens_per_second: int) -> Process:
    own = folder / "upstream"
    own.mkdir()
    process = Process(
        own / "log", "emulate", "--host", "0.0.0.0", "--port", str(_UPSTREAM_PORT), "--tokens-per-second",
        str(tokens_per_second), port=_UPSTREAM_PORT, prefix=host.prefix(), address=host.address,
    )  # fmt: skip
    process.wait_ready("/healthz")
    return process


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=100).close()
    except OSError:
        return False
    return True

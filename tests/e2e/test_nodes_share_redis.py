"""Two gateways, one of them with two workers, that share the limit of a key by one Redis server.

Risk: nodes pass the limit together; one that is alone is refused what the other does not use; a server that stands
still or ends delays requests, or leaves them without a limit.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from modelmux.accounts.limit_leases import first_part
from modelmux.store.redis.script import COMMON
from support.cli import run_process
from support.processes import START_SECONDS, Process
from support.redis import PASSWORD, QUOTED, Server, redis_server

LIMIT = 40
OPERATOR = "sk-operator-of-both-nodes-0123456789"
#: Of both gateways.
PROCESSES = 3
#: How many may pass in a minute with the server.
MOST = LIMIT + PROCESSES * first_part(LIMIT, PROCESSES)
BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-6", "max_tokens": 20, "messages": [{"role": "user", "content": "say exactly: hello"}],
}  # fmt: skip


class Nodes(NamedTuple):
    """:param secrets: of two keys with the same limit."""

    gateways: tuple[Process, Process]
    secrets: tuple[str, str]
    redis: Server


@pytest.fixture
def nodes(serve: Callable[..., Process], emulate: Callable[..., Process], tmp_path: Path) -> Iterator[Nodes]:
    """Their accounts are copies of one database: PostgreSQL may not be there."""
    accounts = "\n[accounts]\nenabled = true\n"
    (tmp_path / "one").mkdir()
    place = f'[vertex]\nproject = "p"\nlocation = "global"\n[server]\nstate_dir = "{tmp_path / "one"}"\n'
    (tmp_path / "config.toml").write_text(place + accounts)
    secrets = []
    for name in ("one", "other"):
        command = ("keys", "create", "--name", name, "--rpm", str(LIMIT), "--config", str(tmp_path / "config.toml"))
        created = run_process(*command, home=tmp_path)
        assert created.code == 0, created.stderr
        secrets.append(created.stdout.strip())
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    upstream = emulate()
    with redis_server() as server:
        server.execute("SET", COMMON[0], "1")  # leases are granted from the start

        def node(name: str, workers: int) -> Process:
            options = f'state_dir = "{tmp_path / name}"\nworkers = {workers}\napi_keys = ["{OPERATOR}"]'
            return serve(upstream.url, server=options, more=f'{accounts}[limits]\nredis = "{server.url}"\n')

        gateways = node("one", 1), node("two", 2)
        yield Nodes(gateways, (secrets[0], secrets[1]), server)
        for gateway in gateways:
            gateway.signal(signal.SIGTERM)
            assert gateway.wait(100) in (0, -signal.SIGTERM), gateway.output()
            assert PASSWORD not in gateway.output()
            assert QUOTED not in gateway.output()


def ask(gateway: Process, secret: str) -> tuple[int, dict[str, str], float]:
    """Status, headers and seconds of one request, with a connection of its own."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {secret}"}
    request = urllib.request.Request(f"{gateway.url}/v1/messages", json.dumps(BODY).encode(), headers)
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=100) as response:
            response.read()
            return response.status, dict(response.headers), time.monotonic() - began
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), time.monotonic() - began


def shared(gateway: Process) -> str:
    headers = {"authorization": f"Bearer {OPERATOR}"}
    request = urllib.request.Request(f"{gateway.url}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=100) as reply:
        found = re.search(r"^modelmux_limits_shared (\S+)$", reply.read().decode(), re.MULTILINE)
    return found[1] if found else ""


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def until_shared(nodes: Nodes, value: str) -> None:
    until(lambda: all(shared(gateway) == value for gateway in nodes.gateways))


class Storm:
    """Requests of one key.

    :ivar admitted: when, and to which gateway, one was sent.
    """

    def __init__(self, nodes: Nodes, secret: str) -> None:
        self.nodes, self.secret = nodes, secret
        self.admitted: list[tuple[float, int]] = []

    def send(self, gateway: int) -> None:
        began = time.monotonic()
        status, _, _ = ask(self.nodes.gateways[gateway], self.secret)
        assert status in (200, 429)
        if status == 200:
            self.admitted.append((began, gateway))

    def send_until(self, gateway: int, count: int) -> None:
        """Until so many are admitted there."""
        end = time.monotonic() + START_SECONDS
        while sum(number == gateway for _, number in self.admitted) < count:
            assert time.monotonic() < end, self.nodes.gateways[gateway].output()
            self.send(gateway)

    def most(self, gateway: int | None = None) -> int:
        """In the fullest minute. An admission is a moment after its request was sent, so it is a bit shorter."""
        times = [at for at, number in self.admitted if gateway in (None, number)]
        return max(sum(start <= at < start + 59.0 for at in times) for start in times)


def test_a13_a45_a_limit_is_that_of_all_nodes_with_the_server_and_without_it(nodes: Nodes) -> None:
    until_shared(nodes, "1.0")
    until(lambda: nodes.redis.execute("ZCARD", COMMON[1]) == f":{PROCESSES}")
    storm = Storm(nodes, nodes.secrets[0])
    storm.send_until(0, LIMIT)  # one node may use what no other does
    for number in range(60):
        storm.send(number % 2)
    assert storm.most() <= MOST
    status, headers, _ = ask(nodes.gateways[1], nodes.secrets[0])
    assert status == 429
    assert headers["anthropic-ratelimit-requests-limit"] == str(LIMIT)
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert float(headers["retry-after"]) <= 61

    nodes.redis.signal(signal.SIGSTOP)
    until_shared(nodes, "0.0")
    seconds = sorted(ask(nodes.gateways[number % 2], nodes.secrets[0])[2] for number in range(40))
    assert seconds[20] < 2.0, "no request waits for the server"
    until(lambda: all("has not answered" in gateway.output() for gateway in nodes.gateways))
    nodes.redis.signal(signal.SIGCONT)
    until_shared(nodes, "1.0")

    nodes.redis.kill()
    until_shared(nodes, "0.0")
    alone = Storm(nodes, nodes.secrets[1])
    for gateway in (0, 1):
        alone.send_until(gateway, LIMIT // 2)
    for number in range(40):
        alone.send(number % 2)
    assert alone.most(0) == LIMIT // 2, "the limit divided by the nodes"
    assert LIMIT // 2 <= alone.most(1) <= LIMIT // 2 + 1, "two workers may admit at the same moment"
    # A process tells of it with the first exchange that fails after its leases have ended: these pause by then.
    until(lambda: all("cannot be reached" in gateway.output() for gateway in nodes.gateways))
    for gateway in nodes.gateways:
        assert "rate limits are shared with other nodes again" in gateway.output()
    assert nodes.gateways[0].output().count("each node takes its part") == 2, "once for each failure"


def test_a_client_that_sends_a_request_every_few_seconds_is_never_refused(nodes: Nodes) -> None:
    until_shared(nodes, "1.0")
    for _ in range(5):
        assert ask(nodes.gateways[0], nodes.secrets[0])[0] == 200
        time.sleep(2.7)  # leases that are not needed are given back by then


def test_without_the_package_the_start_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'redis'\", name='redis')"
    )
    (tmp_path / "config.toml").write_text(
        f'[vertex]\nproject = "p"\nlocation = "global"\n[server]\nport = 0\nstate_dir = "{tmp_path}"\n'
        '[accounts]\nenabled = true\n[limits]\nredis = "redis://:canary@127.0.0.1:1"\n'
    )
    command = ("serve", "--config", str(tmp_path / "config.toml"))
    result = run_process(*command, home=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.code != 0
    assert "pip install 'modelmux-gateway[redis]'" in result.stderr
    assert "canary" not in result.stderr
    assert "Traceback" not in result.stderr

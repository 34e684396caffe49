"""Keys that the command makes, changes and ends, as the workers of a running gateway see them.

Risk: a worker does not see a new key, or serves one that was revoked; a secret of before is refused within its grace.
"""

from __future__ import annotations

import hashlib
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cli import run_process
from support.processes import Process

BODY = {"model": "claude-sonnet-4-6", "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]}
WORKERS = 4
#: Connections, each of which one of the workers takes.
CONNECTIONS = 16


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    server, accounts = f'[server]\nstate_dir = "{tmp_path}"\n', "[accounts]\nenabled = true\n"
    (tmp_path / "config.toml").write_text('[vertex]\nproject = "p"\nlocation = "global"\n' + server + accounts)
    return tmp_path


@pytest.fixture
def gateway(serve: Callable[..., Process], upstream: Process, home: Path) -> Process:
    server = f'workers = {WORKERS}\nstate_dir = "{home}"'
    return serve(upstream.url, server=server, more="\n[accounts]\nenabled = true\n")


def modelmux(home: Path, *arguments: str) -> str:
    result = run_process(*arguments, "--config", str(home / "config.toml"), home=home)
    assert result.code == 0, result.stderr
    return result.stdout.strip()


def statuses(gateway: Process, secret: str) -> set[int]:
    """What requests on connections of their own get."""
    found = set()
    for _ in range(CONNECTIONS):
        request = urllib.request.Request(
            f"{gateway.url}/v1/messages",
            json.dumps(BODY).encode(),
            {"x-api-key": secret, "content-type": "application/json", "anthropic-version": "2023-06-01"},
        )
        try:
            with urllib.request.urlopen(request) as response:
                found.add(response.status)
        except urllib.error.HTTPError as error:
            with error:
                found.add(error.code)
    return found


def test_a37_every_worker_sees_each_change(gateway: Process, home: Path) -> None:
    secret = modelmux(home, "keys", "create", "--name", "laptop")
    assert statuses(gateway, secret) == {200}, "a new key works on every worker at once"
    rotated = modelmux(home, "keys", "rotate", "laptop")
    assert statuses(gateway, rotated) == statuses(gateway, secret) == {200}, "both secrets work on every worker"
    modelmux(home, "keys", "revoke", "laptop")
    ended = time.monotonic()
    while statuses(gateway, secret) != {401}:  # a second is promised: what a worker waits is tested with its feed
        assert time.monotonic() - ended < 60
    assert statuses(gateway, rotated) == {401}
    rows = [json.loads(line) for line in modelmux(home, "usage", "export", "--format", "jsonl").splitlines()]
    assert len(rows) >= 3 * CONNECTIONS
    assert {row["key"] for row in rows} == {json.loads(modelmux(home, "keys", "list", "--all", "--json"))[0]["id"]}


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_keys_of_the_configuration_are_written_once_and_served_by_every_worker(
    serve: Callable[..., Process], upstream: Process, home: Path, workers: int
) -> None:
    def keys(*names: str) -> str:
        tables = (f'[[accounts.keys]]\nname = "{name}"\nsha256 = "{_digest(name)}"\n' for name in names)
        return "\n[accounts]\nenabled = true\n" + "".join(tables)

    server = f'workers = {workers}\nstate_dir = "{home}"'
    gateway = serve(upstream.url, server=server, more=keys("first-key"))
    assert (statuses(gateway, "first-key"), statuses(gateway, "second-key")) == ({200}, {401})
    file = gateway._log.with_name("config.toml")
    file.write_text(file.read_text().replace(keys("first-key"), keys("second-key")))
    gateway.signal(signal.SIGHUP)
    ended = time.monotonic()
    while "reloaded" not in gateway.output():
        assert time.monotonic() - ended < 60
        time.sleep(0.02)
    assert (statuses(gateway, "first-key"), statuses(gateway, "second-key")) == ({401}, {200})
    changed = json.loads(modelmux(home, "accounts", "audit", "--json"))
    assert [(row["action"], row["origin"]) for row in changed] == [("accounts.apply", "config")] * 2


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

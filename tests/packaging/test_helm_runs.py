"""The gateway as the chart would start it: its file and its variables, with real processes.

Risk: a probe asks a path or a port that nothing answers, Prometheus is refused, or a pod is killed before it has
drained.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import openai
import pytest

from support.cli import run_process
from support.helm import EXAMPLES, NAMED, Rendered, template
from support.processes import START_SECONDS, Process, free_port

SECRETS = {
    "admin-token": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "peppers": "00f1e2d3c4b5a6978f1e2d3c4b5a6978",
    "seal-keys": "8c1f0a9d3b7e42655d0c9f8e7a6b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d",
    "redis-url": "",  # an empty variable is none
}  # fmt: skip
SCRAPER = "b1946ac92492d2347c6235b4d2611184"


class Pod(NamedTuple):
    chart: Rendered
    gateway: Process
    admin: int
    environment: dict[str, str]
    home: Path

    def probe(self, name: str) -> int:
        """What the kubelet would see."""
        asked = self.chart.container[name]["httpGet"]
        return get(f"http://127.0.0.1:{self.chart.port(asked['port'])}{asked['path']}")[0]

    def command(self, *arguments: str) -> str:
        """As `kubectl exec` runs it."""
        result = run_process(*arguments, home=self.home, **self.environment)
        assert result.code == 0, result.stderr
        return result.stdout.strip()


def get(url: str, token: str | None = None) -> tuple[int, str]:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=100) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    port = free_port()
    log = tmp_path_factory.mktemp("emulator") / "log"
    emulator = Process(log, "emulate", "--port", str(port), "--tokens-per-second", "20", port=port)
    emulator.wait_ready("/healthz")
    yield emulator
    emulator.stop()


def start(folder: Path, upstream: Process, example: str, *more: str, **secrets: str) -> Pod:
    """A pod of an example. What a test replaces: ports, the upstream with its credentials, and the mounted volume."""
    port, admin = free_port(), free_port()
    values = ("--set", f"config.server.port={port},admin.port={admin},config.vertex.base_url={upstream.url}")
    chart = template("-f", EXAMPLES / f"{example}.yaml", *NAMED, *values, *more)
    folder.mkdir()
    path = folder / "config.toml"
    path.write_text(chart.toml)
    path.chmod(0o440)
    environment = chart.variables(SECRETS | secrets) | {
        "MODELMUX_CONFIG": str(path), "MODELMUX_SERVER_STATE_DIR": str(folder / "state"),
        "MODELMUX_AUTH_ACCESS_TOKEN": "t",
    }  # fmt: skip
    gateway = Process(
        folder / "log", *chart.container["args"], port=port, **environment, MODELMUX_ADMIN_LISTEN=""
    )  # an empty variable is none: the file decides
    return Pod(chart, gateway, admin, environment, folder)


@pytest.fixture
def pod(tmp_path: Path, upstream: Process) -> Iterator[Pod]:
    tokens = json.dumps([{"name": "prometheus", "role": "viewer", "token": SCRAPER}])
    scrape = "serviceMonitor.enabled=true,serviceMonitor.tokenSecret.name=s,configStorageType=Secret"
    drain = "config.server.drain_delay=100s,config.server.drain_timeout=60s"
    started = start(
        tmp_path / "pod", upstream, "single-node", "--set-json", f"config.admin.tokens={tokens}",
        "--set", f"{scrape},{drain}",
    )  # fmt: skip
    started.gateway.wait_ready(started.chart.container["startupProbe"]["httpGet"]["path"])
    yield started
    started.gateway.stop()


def wait_for(pod: Pod, probe: str, status: int) -> None:
    end = time.monotonic() + START_SECONDS
    while (last := pod.probe(probe)) != status:
        assert time.monotonic() < end, (last, pod.gateway.output())
        time.sleep(0.02)


def client_of(pod: Pod, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{pod.gateway.url}/v1", api_key=key, max_retries=0)


def ask(client: openai.OpenAI, words: str) -> Iterator[str]:
    """The parts of a streamed answer."""
    stream = client.chat.completions.create(
        model="claude-haiku-5-5", max_tokens=200, stream=True, messages=[{"role": "user", "content": words}]
    )
    return (chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_probes_and_prometheus_are_answered(pod: Pod) -> None:
    wait_for(pod, "readinessProbe", 200)
    assert pod.probe("livenessProbe") == pod.probe("startupProbe") == 200
    (endpoint,) = pod.chart.one("ServiceMonitor")["spec"]["endpoints"]
    url = f"http://127.0.0.1:{pod.chart.port(endpoint['port'])}{endpoint['path']}"
    status, page = get(url, SCRAPER)
    assert status == 200
    assert "\nmodelmux_requests_in_flight 0" in page  # what the autoscaler looks at
    assert get(url)[0] == 401
    assert pod.chart.port("admin") == pod.admin


def test_a_deleted_pod_serves_until_it_has_drained(pod: Pod) -> None:
    wait_for(pod, "readinessProbe", 200)
    key = pod.command("keys", "create", "--name", "one").split()[0]
    with client_of(pod, key) as client, client_of(pod, key) as other:
        stream = ask(client, "repeat after me: " + "a long answer " * 12)
        first = next(part for part in stream if part)
        pod.gateway.signal(signal.SIGTERM)
        wait_for(pod, "readinessProbe", 503)
        assert pod.probe("livenessProbe") == 200  # or the kubelet would kill it
        assert "".join(ask(other, "say exactly: inside")) == "inside"  # a load balancer has not noticed yet
        assert "a long answer a long answer" in first + "".join(stream)
    pod.gateway.signal(signal.SIGTERM)  # the rest of the delay is not waited for
    assert pod.gateway.wait(100) == 0, pod.gateway.output()


def test_pods_on_postgresql_share_their_keys(tmp_path: Path, upstream: Process, postgres_url: str) -> None:
    pods = [
        start(tmp_path / name, upstream, "three-nodes", **{"database-url": postgres_url, "listen-url": postgres_url})
        for name in ("a", "b")
    ]
    try:
        for each in pods:
            each.gateway.wait_ready()
            wait_for(each, "readinessProbe", 200)
        key = pods[0].command("keys", "create", "--name", "one").split()[0]
        for each in pods:
            with client_of(each, key) as client:
                assert "".join(ask(client, "say exactly: inside")) == "inside"
            assert get(f"http://127.0.0.1:{each.admin}/metrics", SECRETS["admin-token"])[0] == 200
    finally:
        for each in pods:
            each.gateway.stop()

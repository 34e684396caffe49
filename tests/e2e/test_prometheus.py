"""Prometheus scrapes a gateway under load: every query of the dashboard has data, and an alert fires and clears.

Risk: a panel stays empty, because its query names what a scrape does not have, or an alert that only ``promtool`` has
seen does not work.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest

from support.processes import Process, free_port
from support.prometheus import RULES, Prometheus, needs_prometheus, panels, prometheus, scaled

pytestmark = needs_prometheus
SCRAPER, TEAM_KEY, POOR_KEY, VIEWER = (secrets.token_hex(32) for _ in range(4))
TRACE = "0af7651916cd43dd8448eb211c80319c"
#: Windows of the rules -> those of the live test: what takes hours there takes seconds here.
SECONDS = {"5m": "5s", "30m": "10s", "1h": "20s", "6h": "30s", "3d": "40s", "2m": "1s"}
#: What Grafana fills in.
VARIABLES = {"$__rate_interval": "20s", "$job": "modelmux", "$route": ".*", "$team": ".*"}
MORE = """
[limits]
max_concurrent_requests = 4
max_queued_requests = 2
queue_timeout = 2
redis = "redis://127.0.0.1:1"  # nothing is there: the metric is 0, which is data

[retries]
max = 1

[accounts]
enabled = true

[admin]
listen = "127.0.0.1:PORT"
tokens = [{ name = "prometheus", token = "TOKEN", role = "viewer" }]

[[accounts.teams]]
name = "data"

[[accounts.keys]]
name = "ci"
variable = "LIVE_TEAM_KEY"
team = "data"

[[accounts.keys]]
name = "poor"
variable = "LIVE_POOR_KEY"
team = "data"

[[accounts.budgets]]
name = "data"
limit = "50"
applies_to = { team = "data" }
metric = true

[[accounts.budgets]]
name = "poor"
limit = "0.000001"
applies_to = { key = "poor" }
"""
#: Long enough for the emulated cache.
SYSTEM = [{"type": "text", "text": "Be brief. " * 2000, "cache_control": {"type": "ephemeral"}}]


class Load:
    """Requests of every kind, again and again. :ivar fails: every other one has an error of the upstream."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self.fails = False

    def ask(self, text: str, key: str = TEAM_KEY, **fields: Any) -> int:
        body = {"model": "claude-sonnet-4-6", "max_tokens": 200, "messages": [{"role": "user", "content": text}]}
        headers = {
            "content-type": "application/json", "authorization": f"Bearer {key}",
            "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        }  # fmt: skip
        call = urllib.request.Request(f"{self._url}/v1/messages", json.dumps(body | fields).encode(), headers)
        try:
            with urllib.request.urlopen(call, timeout=100) as response:
                response.read()
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.read()
            error.close()
            return error.code

    def _once(self) -> None:
        self.ask("count to 20", stream=True, system=SYSTEM)
        self.ask("count to 20")
        self.ask("hello", key=POOR_KEY)
        if self.fails:
            for _ in range(3):
                self.ask("hello [[emulator: status=500]]")

    def busy(self) -> None:
        """More at once than the gateway lets in."""
        with ThreadPoolExecutor(24) as pool:
            list(pool.map(self.ask, ["hello [[emulator: delay=1]]"] * 24))

    def _run(self) -> None:
        while not self._over.wait(0.1):
            self._once()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        for _ in range(3):
            self._once()
        self.busy()
        self.ask("hello [[emulator: status=429]]")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture(scope="module")
def world(
    serve: Callable[..., Process], emulate: Callable[..., Process], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Prometheus, Load]]:
    server = f'api_keys = ["{SCRAPER}"]\nworkers = 2\nstate_dir = "{tmp_path_factory.mktemp("state")}"'
    port = free_port()
    more = MORE.replace("PORT", str(port)).replace("TOKEN", VIEWER)
    variables = {"LIVE_TEAM_KEY": TEAM_KEY, "LIVE_POOR_KEY": POOR_KEY, "MODELMUX_ADMIN_LISTEN": ""}
    gateway = serve(emulate().url, server=server, more=more, **variables)
    admin = f"127.0.0.1:{port}", VIEWER
    folder: Path = tmp_path_factory.mktemp("prometheus")
    target = gateway.url.removeprefix("http://")
    with prometheus(folder, target, scaled(RULES.read_text(), SECONDS), SCRAPER, admin) as running:
        running.until(lambda: running.query("modelmux_build_info"))
        with Load(gateway.url) as load:
            yield running, load


def test_every_query_of_the_dashboard_has_data(world: tuple[Prometheus, Load]) -> None:
    """Not all at once: a quantile of what has not happened for a while is not a number."""
    running, load = world
    queries = {target["expr"] for panel in panels() for target in panel["targets"]}
    for name, value in VARIABLES.items():
        queries = {query.replace(name, value) for query in queries}
    assert not [query for query in queries if "$" in query]

    def filled() -> bool:
        load.busy()
        load.ask("hello [[emulator: status=429]]")
        for query in sorted(queries):
            if any(sample["value"][1] != "NaN" for sample in running.query(query)):
                queries.remove(query)
        return not queries

    try:
        running.until(filled)
    except AssertionError:
        raise AssertionError(f"no data: {sorted(queries)}") from None


def test_what_a_scrape_has_is_what_the_gateway_counted(world: tuple[Prometheus, Load]) -> None:
    running, _ = world
    for query in (
        'modelmux_budget_spent_usd{budget="data"} > 0',
        'modelmux_cost_usd_total{team="data", model="claude-sonnet-4-6"} > 0',
        'modelmux_refusals_total{reason="budget", team="data"} > 0',
        'modelmux_requests_shed_total{reason="queue_full"} > 0',
        "modelmux_workers == 2",
    ):
        assert running.until(lambda query=query: running.query(query)), query


def test_the_listener_of_the_admin_api_shows_the_same(world: tuple[Prometheus, Load]) -> None:
    running, _ = world
    assert running.until(lambda: running.query('up{job="admin"} == 1'))
    assert running.until(lambda: running.query('modelmux_requests_total{job="admin", outcome="ok"} > 0'))
    names = [
        {series["__name__"] for series in running.get("series", **{"match[]": f'{{job="{job}"}}'})}
        for job in ("modelmux", "admin")
    ]
    assert names[0] == names[1]
    assert "modelmux_request_duration_seconds_bucket" in names[1]


@pytest.mark.parametrize("job", ["modelmux", "admin"])
def test_prometheus_keeps_the_traces_of_durations(world: tuple[Prometheus, Load], job: str) -> None:
    running, _ = world
    query = f'modelmux_request_duration_seconds_bucket{{job="{job}"}}'
    now = time.time()

    def exemplars() -> Any:
        return running.get("query_exemplars", query=query, start=str(now - 600), end=str(now + 600))

    series = running.until(exemplars)
    assert {one["labels"]["trace_id"] for each in series for one in each["exemplars"]} == {TRACE}


def test_an_alert_fires_and_clears(world: tuple[Prometheus, Load]) -> None:
    running, load = world
    alert = "ModelMuxErrorsBurnFast"
    running.until(lambda: alert not in running.firing())  # what the other tests made fail counts, too
    load.fails = True
    running.until(lambda: alert in running.firing())
    load.fails = False
    running.until(lambda: alert not in running.firing())


def test_windows_are_scaled_where_they_stand_for_time() -> None:
    text = scaled("rate(a_1h[1h]) > modelmux:x:ratio_rate1h\n        for: 2m\n", SECONDS)
    assert text == "rate(a_1h[20s]) > modelmux:x:ratio_rate1h\n        for: 1s\n"
    assert not re.search(r"\[(5m|30m|1h|6h|3d)\]", scaled(RULES.read_text(), SECONDS))

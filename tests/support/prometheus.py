"""The rules for Prometheus and the dashboard of ``packaging/``, and Prometheus itself as Debian has it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelmux.telemetry import names
from support.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "packaging" / "prometheus" / "rules.yml"
DASHBOARD = ROOT / "packaging" / "grafana" / "modelmux.json"
#: What a metric becomes in PromQL.
_SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
#: Names of ours, of records of rules (with colons), and of what the client library shows of a process.
_NAME = re.compile(r"(?<![\w:$\"`])(?:modelmux|process)[_:][\w:]+")

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (apt install prometheus)")
needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs prometheus (Debian's package)")


def rules() -> list[dict[str, Any]]:
    """All rules, records and alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that have queries."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel.get("targets")]


def exposed_names() -> set[str]:
    """Every name that a query may have."""
    own = {name + suffix for name, info in names.METRICS.items() for suffix in _SUFFIXES[info.kind]}
    of_rules = {rule["record"] for rule in rules() if "record" in rule}
    return own | of_rules | {"process_cpu_seconds_total", "process_resident_memory_bytes"}


def names_in(query: str) -> set[str]:
    """The metrics of a query."""
    return set(_NAME.findall(query))


def scaled(text: str, windows: Mapping[str, str]) -> str:
    """Rules with other windows: ``1h`` -> ``20s`` in ranges and in ``for``."""
    pattern = re.compile(rf"(?<=\[)(?:{'|'.join(windows)})(?=\])|(?<=for: )(?:{'|'.join(windows)})$", re.MULTILINE)
    return pattern.sub(lambda match: windows[match[0]], text)


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=100) as response:
            return json.load(response)["data"]

    def query(self, query: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        result: list[dict[str, Any]] = self.get("query", query=query)["result"]
        return result

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        alerts = self.get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def until(self, condition: Callable[[], Any], seconds: float = 100.0) -> Any:
        """Wait until a condition is true, and return its value."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < end, f"not so after {seconds} s"
            time.sleep(0.2)
        return value


def _job(name: str, target: str, credentials: str) -> dict[str, Any]:
    authorization = {"credentials": credentials}
    return {"job_name": name, "authorization": authorization, "static_configs": [{"targets": [target]}]}


@contextmanager
def prometheus(
    folder: Path, target: str, rules_text: str, key: str, admin: tuple[str, str] | None = None
) -> Iterator[Prometheus]:
    """Prometheus that scrapes a gateway every second and evaluates rules as often.

    :param target: host and port. :param key: of ``server.api_keys``.
    :param admin: host and port of the listener of the admin API, and a token: the job ``admin`` scrapes it.
    """
    (folder / "rules.yml").write_text(rules_text)
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    jobs = [_job("modelmux", target, key)] + ([] if admin is None else [_job("admin", *admin)])
    config = {"global": every, "rule_files": ["rules.yml"], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn",
             f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        running = Prometheus(f"http://127.0.0.1:{port}")

        def is_ready() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{running.url}/-/ready", timeout=100).close()
            except OSError:
                return False
            return True

        running.until(is_ready)
        yield running
    finally:
        process.terminate()
        process.wait(100)

"""Risk: refused requests are invisible, counters fall, or clients create label sets."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelmux.config import Config
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.worker_metrics import FinishedWorkers, WorkerReport, add_finished, totals
from support.fakes import FakeUpstream, message_reply, quota_exceeded
from support.gateway import PATH, ask, gateway
from support.security import BEARER, guarded, send


async def test_g48_every_refused_request_is_counted_with_a_reason(no_waiting: list[float]) -> None:
    subject = guarded(quota_exceeded(), retries={"max": 0})
    body = json.dumps(ask()).encode()
    for method, path, headers, sent in (
        ("POST", PATH, [], body),
        ("POST", PATH, [(b"x-api-key", b"wrong")], body),
        ("GET", "/nowhere", BEARER, b""),
        ("DELETE", PATH, BEARER, b""),
        ("POST", PATH, [*BEARER, (b"content-type", b"text/plain")], body),
        ("POST", PATH, BEARER, b"{"),
        ("POST", PATH, BEARER, body),
    ):
        assert (await send(subject.app, method, path, headers, sent)).status >= 400
    counted = {
        (status, code): subject.metric("modelmux_error_responses_total", status=status, code=code)
        for status, code in (("401", "invalid_api_key"), ("404", "unknown_url"), ("405", "method_not_allowed"),
                             ("415", "unsupported_media_type"), ("400", "invalid_request_error"),
                             ("429", "rate_limit_exceeded"))
    }  # fmt: skip
    assert list(counted.values()) == [2, 1, 1, 1, 1, 1], counted


def test_g53_totals_of_all_workers_never_fall() -> None:
    """Scraped twenty times while workers start, count and exit."""
    slots, finished = [Metrics(), Metrics()], FinishedWorkers(supervisor=1, folded=[0, 0])
    incarnations, seen, counted = [1, 1], list[float](), 0

    def report(slot: int) -> WorkerReport:
        metrics = slots[slot]
        return WorkerReport(
            pid=os.getpid(), incarnation=incarnations[slot], ready=True, problem=None, generation=1,
            counts=metrics.counts(), metrics=metrics.values(),
        )  # fmt: skip

    for number in range(20):
        for metrics in slots:
            metrics.requests.add("m", "ok")
            counted += 1
        ended = number % 2
        add_finished(finished, ended + 1, report(ended))
        if number % 3:  # else it is still listed for a moment, and must not count twice
            slots[ended], incarnations[ended] = Metrics(), incarnations[ended] + 1
        text = Metrics().expose_all(totals(finished, {1: report(0), 2: report(1)})).decode()
        if not number % 3:
            slots[ended], incarnations[ended] = Metrics(), incarnations[ended] + 1
        match = re.search(r'^modelmux_requests_total\{outcome="ok",route="m"\} (\S+)$', text, re.MULTILINE)
        assert match is not None
        seen.append(float(match[1]))
    assert seen == sorted(seen)
    assert seen[-1] == counted


def test_g55_process_metrics_are_exposed() -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("the platform does not tell")
    page = gateway(FakeUpstream([])).metrics.expose().decode()
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
        assert f"\n{name} " in page


async def test_g56_clients_do_not_create_label_sets() -> None:
    subject = guarded(*[message_reply() for _ in range(100)])
    await send(subject.app, "POST", PATH, BEARER, json.dumps(ask()).encode())
    await send(subject.app, "POST", PATH, BEARER, json.dumps(ask() | {"model": "gpt-x"}).encode())
    before = len(subject.app.metrics.expose().splitlines())
    for number in range(50):
        body = ask(user=f"user-{number}", metadata={"k": str(number)})
        headers = [*BEARER, (b"user-agent", b"agent/%d" % number)]
        await send(subject.app, "POST", PATH, headers, json.dumps(body).encode())
        await send(subject.app, "POST", PATH, headers, json.dumps(body | {"model": f"m{number}"}).encode())
        await send(subject.app, "GET", f"/path-{number}", headers)
        await send(subject.app, f"M{number}", "/x", [], None)
    assert len(subject.app.metrics.expose().splitlines()) - before < 10


async def test_metrics_are_on_the_port_of_the_models_unless_a_setting_says_otherwise() -> None:
    """A reload changes it: a scraper that was forgotten gets them back."""
    elsewhere = {"metrics": {"listener": "admin"}}
    subject = guarded()
    config = subject.app._current.config
    for tables, status in (({}, 200), (elsewhere, 404), ({}, 200)):
        changed = Config.from_dict({"metrics": {}, **tables}).metrics
        await subject.app.reload(replace(config, metrics=changed))
        response = await send(subject.app, "GET", "/metrics", BEARER)
        assert response.status == status
        assert (await send(subject.app, "GET", "/metrics", [])).status == 401
    await subject.app.aclose()

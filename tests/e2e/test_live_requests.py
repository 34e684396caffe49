"""Running requests of real processes: the process of the admin API asks workers over the supervisor.

Risk: a request of some worker is missing, or cannot be ended; a worker that hangs makes the API hang; an end counts
twice.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.dashboard_gateway import DashboardGateway
from support.live_streams import Streams
from support.processes import Process
from support.workers import children, serving, until


@pytest.fixture(scope="module")
def upstream(emulate: Callable[..., Process]) -> Process:
    return emulate()


@pytest.fixture
def begin(tmp_path: Path, upstream: Process) -> Iterator[Callable[[int], DashboardGateway]]:
    started: list[DashboardGateway] = []

    def start(workers: int) -> DashboardGateway:
        started.append(DashboardGateway(tmp_path, upstream.url, workers=workers))
        until(lambda: serving(started[-1].process) == workers)
        return started[-1]

    yield start
    for one in started:
        one.process.stop()


def live(gateway: DashboardGateway, query: str = "") -> list[dict[str, Any]]:
    answer = gateway.api("GET", f"/live{query}")
    assert answer["missing_workers"] == []
    data: list[dict[str, Any]] = answer["data"]
    return data


@pytest.mark.parametrize("workers", [1, 4])
def test_streams_of_every_worker_are_listed_and_end_when_they_are_ended(
    begin: Callable[[int], DashboardGateway], workers: int
) -> None:
    gateway = begin(workers)
    key = gateway.api("POST", "/keys", {"name": "laptop"})
    gateway.api("POST", "/budgets", {"applies_to": {"key": key["id"]}, "limit": "50"})
    streams = Streams(gateway, key["secret"])
    count = 0
    used: set[str] = set()
    while len(used) < workers:  # the kernel chooses which one takes a connection
        count += 1
        assert count < 60
        streams.start(f"story-{count}")
        until(lambda: len(live(gateway)) == count)  # noqa: B023
        used = {one["id"].split("_")[1] for one in live(gateway)}
    streams.start("unary", stream=False)
    until(lambda: sum(one["state"] == "streaming" and bool(one["output_tokens"]) for one in live(gateway)) == count)
    listed = {one["client_request_id"]: one for one in live(gateway)}
    assert set(listed) == {f"story-{n}" for n in range(1, count + 1)} | {"unary"}
    for one in listed.values():
        assert (one["key"], one["key_name"], one["model"]) == (key["id"], "laptop", "claude-sonnet-4-6")
        assert float(one["held"]["amount"]) > 0
        assert one["request"].startswith("req_")
    until(lambda: live(gateway)[1]["seconds"] > listed[live(gateway)[1]["client_request_id"]]["seconds"])
    for name, one in listed.items():
        reply = gateway.api("POST", f"/live/{one['id']}/end")
        assert reply == {"id": one["id"], "ended": True, "request": one["request"]}
        until(lambda: name not in [each["client_request_id"] for each in live(gateway)])  # noqa: B023
    streams.join()
    assert live(gateway) == []
    for name, body in streams.bodies.items():
        assert streams.statuses[name] == (500 if name == "unary" else 200)
        error = json.loads(body) if name == "unary" else json.loads(body.rpartition("data: ")[2])
        assert (error["type"], error["error"]["type"]) == ("error", "api_error")
        assert "An administrator of this gateway has ended the request." in error["error"]["message"]
    until(lambda: len(gateway.api("GET", "/requests")["data"]) == count + 1)
    rows = {row["client_request_id"]: row for row in gateway.api("GET", "/requests")["data"]}
    assert {name: row["id"] for name, row in rows.items()} == {name: one["request"] for name, one in listed.items()}
    assert {(row["outcome"], row["code"]) for row in rows.values()} == {("gateway_error", "request_ended")}
    cost = sum(Decimal(row["cost"]["amount"]) for row in rows.values())
    until(lambda: Decimal(gateway.api("GET", f"/keys/{key['id']}")["budgets"][0]["spent"]) == cost > 0)
    audited = [row["subject"] for row in gateway.api("GET", "/audit")["data"] if row["action"] == "request.end"]
    assert sorted(audited) == sorted(one["id"] for one in listed.values())


def test_a_worker_that_hangs_is_missing_from_the_answer_and_the_others_are_there(
    begin: Callable[[int], DashboardGateway],
) -> None:
    gateway = begin(2)
    key = gateway.api("POST", "/keys", {"name": "laptop"})
    streams = Streams(gateway, key["secret"])
    count = 0
    while len({one["id"].split("_")[1] for one in live(gateway)}) < 2:
        count += 1
        streams.start(f"story-{count}")
        until(lambda: len(live(gateway)) == count)  # noqa: B023
    pids = {f"{int(one['id']):04}": one["pid"] for one in gateway.api("GET", "/workers")["data"]}
    assert set(pids.values()) <= set(children(gateway.process.pid))
    theirs = [one["id"] for one in live(gateway) if one["id"].startswith("live_1_")]
    os.kill(pids["0001"], signal.SIGSTOP)
    try:
        answer = gateway.api("GET", "/live")
        assert answer["missing_workers"] == ["0001"]
        assert answer["data"]
        assert all(one["id"].startswith("live_2_") for one in answer["data"])
        headers = {"authorization": "Bearer mmx-admin-of-the-first-owner"}
        refused = httpx2.post(f"{gateway.url}/admin/v1/live/{theirs[0]}/end", headers=headers, timeout=100)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "worker_unavailable")
    finally:
        os.kill(pids["0001"], signal.SIGCONT)
    until(lambda: len(live(gateway)) == count)
    streams.end_all()

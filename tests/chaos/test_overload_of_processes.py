"""Risk: a real process that gets too little CPU time goes on taking work and never recovers; workers whose shares leave
no slots to other models. Real processes, and an upstream that counts calls."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelmux.server.loop_lag import MAX_LAG
from support.counting_upstream import CountingUpstream
from support.processes import Process
from support.workers import children, get, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

HELD = 2 * MAX_LAG
#: Seconds for which a starved process runs between two stops: less than the interval of the measurements.
RUNS = 0.05
SHED = b'modelmux_requests_shed_total{reason="event_loop_lag"}'


@pytest.fixture
def upstream() -> Iterator[CountingUpstream]:
    server = CountingUpstream()
    yield server
    server.close()


def ask(gateway: Process, model: str = "claude-sonnet-4-6") -> int:
    body = json.dumps({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=300)
    try:
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@contextlib.contextmanager
def starved(pid: int) -> Iterator[None]:
    """Let a process run for short whiles only, as the kernel does to a container that has used up its share of CPU."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(HELD)
            os.kill(pid, signal.SIGCONT)
            over.wait(RUNS)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def reason(gateway: Process) -> str | None:
    """Why it is not ready; None if it is."""
    status, body = get(f"{gateway.url}/readyz", timeout=60)
    assert status in {200, 503}
    return None if status == 200 else str(json.loads(body)["reason"])


def test_a_process_that_gets_no_cpu_time_sheds_and_recovers(tmp_path: Path, upstream: CountingUpstream) -> None:
    gateway = upstream.start_gateway(tmp_path)
    try:
        assert ask(gateway) == 200
        with starved(gateway.pid):
            until(lambda: reason(gateway) == "event_loop_lag")
            until(lambda: ask(gateway) == 503)
            assert get(f"{gateway.url}/livez", timeout=60)[0] == 200
        until(lambda: reason(gateway) is None)
        calls = len(upstream.calls)
        until(lambda: ask(gateway) == 200)
        assert len(upstream.calls) == calls + 1
        assert SHED in get(f"{gateway.url}/metrics")[1]
    finally:
        gateway.stop()


def test_a_single_stop_rejects_nobody(tmp_path: Path, upstream: CountingUpstream) -> None:
    """One long step, such as a process that was suspended, is not lag that lasts."""
    gateway = upstream.start_gateway(tmp_path)
    try:
        assert ask(gateway) == 200
        os.kill(gateway.pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, gateway)
            threading.Event().wait(4 * MAX_LAG)
            os.kill(gateway.pid, signal.SIGCONT)
            assert asked.result() == 200
    finally:
        gateway.stop()


def test_one_model_leaves_a_tenth_of_the_slots_of_all_workers(tmp_path: Path, upstream: CountingUpstream) -> None:
    """20 slots of 4 workers: 5 each, and two of them leave one."""
    limits = ["limits.max_concurrent_requests=20", "limits.max_queued_requests=4000", "limits.queue_timeout=5m"]
    gateway = upstream.start_gateway(tmp_path, "server.workers=4", *limits)
    upstream.may_reply.clear()
    others = 120  # enough for each worker to get its share, wherever the kernel sends the connections
    try:
        assert len(children(gateway.pid)) == 4
        with ThreadPoolExecutor(2 * others) as pool:
            first = [pool.submit(ask, gateway) for _ in range(others)]
            until(lambda: len(upstream.calls) == 18 and queued(gateway) == others - 18)
            second = [pool.submit(ask, gateway, "claude-opus-4-8") for _ in range(others)]
            until(lambda: len(upstream.calls) == 20 and queued(gateway) == 2 * others - 20)
            assert ["opus" in call for call in upstream.calls] == [False] * 18 + [True] * 2
            upstream.may_reply.set()
            statuses = [task.result() for task in [*first, *second]]
            assert set(statuses) <= {200, 503}, "those that wait longer than calls take are rejected"
            assert statuses.count(200) >= 20
    finally:
        upstream.may_reply.set()
        gateway.stop()


def queued(gateway: Process) -> float:
    lines = get(f"{gateway.url}/metrics", timeout=60)[1].decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("modelmux_requests_queued ")))

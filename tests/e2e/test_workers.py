"""Several workers as real processes: one that dies takes only its own requests with it, and seen from outside it is
one gateway: one port, one set of counters, one drain, one configuration."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.processes import Process, clean_environment, free_port
from support.workers import (
    Stream,
    alive,
    ask,
    children,
    get,
    listening,
    open_streams,
    requests_ok,
    server_of,
    serving,
    until,
    wait_for_requests,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

Start = Callable[..., Process]
#: Something more than a second at the emulator's pace here.
WORDS = " ".join(["word"] * 50)
CONFIG = """
[server]
workers = {workers}
{server}
[auth]
access_token = "t"
[vertex]
project = "p"
location = "global"
base_url = "{upstream}"
{more}
"""


@pytest.fixture(scope="module")
def paced(emulate: Callable[..., Process]) -> Process:
    return emulate("--tokens-per-second", "40")


@pytest.fixture
def start(tmp_path: Path, emulator: Process) -> Iterator[Start]:
    """Starts a gateway, ``start(workers=3, upstream=emulator, **variables)``, and sees that all of it is gone after."""
    started: list[tuple[Process, list[int]]] = []

    def begin(
        workers: int = 3, *, upstream: Process = emulator, server: str = "", more: str = "", port: int = 0, **env: str
    ) -> Process:
        port = port or free_port()
        write(tmp_path, upstream, workers=workers, server=server, more=more)
        process = Process(
            tmp_path / f"log-{port}", "serve", "--config", str(tmp_path / "config.toml"), "--port", str(port),
            port=port, **env,
        )  # fmt: skip
        started.append((process, []))
        process.wait_ready("/readyz")
        if workers > 1:
            until(lambda: len(children(process.pid)) == serving(process) == workers)
        return process

    yield begin
    for process, _ in started:
        left = children(process.pid)
        process.stop()
        until(lambda left=left: not any(map(alive, left)))


def write(folder: Path, upstream: Process, *, workers: int = 3, server: str = "", more: str = "") -> None:
    (folder / "config.toml").write_text(CONFIG.format(workers=workers, server=server, upstream=upstream.url, more=more))


def reload(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "modelmux", "reload"],
        env=clean_environment(folder), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def model(name: str) -> str:
    return f'[[vertex.models]]\nname = "{name}"\nmodel = "claude-sonnet-4-6"\n'


def answers_of_models(gateway: Process) -> set[str]:
    """What many fresh connections, which reach every worker, are told the models are."""

    def names() -> str:
        return ",".join(m["id"] for m in json.loads(get(f"{gateway.url}/v1/models")[1])["data"])

    return {names() for _ in range(30)}


def test_one_worker_is_the_process_itself(start: Start) -> None:
    gateway = start(workers=1)
    assert children(gateway.pid) == []
    assert get(f"{gateway.url}/readyz")[1] == b'{"status":"ok"}'
    assert b"worker" not in get(f"{gateway.url}/metrics")[1]


def test_workers_share_the_connections_and_answer_as_one(start: Start) -> None:
    gateway = start(workers=3)
    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(lambda _: ask(gateway), range(200))) == {200: 200}
    lines = until(lambda: len(found := re.findall(r" worker=(\d)", gateway.output())) >= 200 and found)
    shares = Counter(lines)
    assert sorted(shares) == ["1", "2", "3"]
    assert min(shares.values()) >= 25, shares
    for _ in range(20):
        assert requests_ok(gateway) == 200
        health = json.loads(get(f"{gateway.url}/health")[1])
        assert (health["metrics"]["total_requests"], health["metrics"]["success_rate"]) == (200, 1.0)
        assert health["workers"] == {"ready": 3, "total": 3}


def test_a_killed_worker_takes_only_its_own_streams_with_it(start: Start, paced: Process) -> None:
    gateway = start(workers=3, upstream=paced)
    workers = children(gateway.pid)
    assert ask(gateway) == 200
    streams = open_streams(gateway, 12, WORDS)
    served = server_of(gateway, streams, workers)
    victim = served[streams[0]]
    assert len(set(served.values())) > 1
    before = requests_ok(gateway)
    os.kill(victim, signal.SIGKILL)
    seen = [before]
    with ThreadPoolExecutor(16) as pool:
        requests = [pool.submit(ask, gateway) for _ in range(60)]
        while not all(a.done() for a in requests):
            seen.append(requests_ok(gateway))
        assert Counter(a.result() for a in requests) == {200: 60}
    assert seen == sorted(seen)
    assert {s: s.complete for s in streams} == {s: served[s] != victim for s in streams}
    until(lambda: serving(gateway) == 3)
    now = children(gateway.pid)
    assert len(now) == 3
    assert victim not in now
    assert "was ended by SIGKILL; its requests are lost" in gateway.output()
    assert b"modelmux_worker_restarts_total 1.0" in get(f"{gateway.url}/metrics")[1]
    expected = before + 60 + sum(s.complete for s in streams)
    until(lambda: requests_ok(gateway) >= expected)


def test_a_worker_that_ends_again_and_again_is_started_ever_later(start: Start) -> None:
    gateway = start(workers=2)
    steady, victim = children(gateway.pid)

    def killed_five_times() -> list[str]:
        for pid in children(gateway.pid):
            if pid != steady:
                os.kill(pid, signal.SIGKILL)
        assert get(f"{gateway.url}/livez")[0] == 200  # the other worker serves all the time
        lines = [line for line in gateway.output().splitlines() if "was ended by SIGKILL" in line]
        return lines if len(lines) >= 5 else []

    ends = until(killed_five_times)
    delays = [float(*re.findall(r"restart_in_s=([\d.]+)", line)) for line in ends[:5]]
    for delay, least in zip(delays, [0.1, 0.2, 0.4, 0.8, 1.6], strict=True):
        assert least <= delay <= 1.25 * least
    assert delays != [0.1, 0.2, 0.4, 0.8, 1.6], "each has a random part"
    assert "crash loop: exited 5 times shortly after start" in ends[4]
    assert alive(steady)
    assert not alive(victim)


def test_while_none_can_be_started_the_others_serve_and_later_it_is(start: Start) -> None:
    gateway = start(workers=2)
    victim = children(gateway.pid)[0]
    before = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (3, before[1]))  # it gets no further descriptor
    os.kill(victim, signal.SIGKILL)
    until(lambda: "cannot be started: Too many open files" in gateway.output())
    assert [ask(gateway) for _ in range(10)] == [200] * 10
    assert serving(gateway) == 1
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, before)
    until(lambda: serving(gateway) == 2)


def test_a_worker_that_is_terminated_drains_and_is_replaced(start: Start, paced: Process) -> None:
    gateway = start(workers=2, upstream=paced)
    streams = open_streams(gateway, 6, WORDS)
    served = server_of(gateway, streams, children(gateway.pid))
    os.kill(served[streams[0]], signal.SIGTERM)
    time.sleep(0.3)
    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(lambda _: ask(gateway), range(40))) == {200: 40}
    assert all(s.complete for s in streams)
    until(lambda: serving(gateway) == 2)
    assert served[streams[0]] not in children(gateway.pid)


def generations(gateway: Process) -> list[bytes]:
    """The generation of the configuration of each worker that has reported."""
    pattern = rb'^modelmux_config_generation\{worker="\d"\} (\S+)$'
    return re.findall(pattern, get(f"{gateway.url}/metrics")[1], re.MULTILINE)


def test_a_reload_reaches_all_and_a_bad_file_none(start: Start, tmp_path: Path, emulator: Process) -> None:
    gateway = start(workers=3, more=model("first"))
    assert answers_of_models(gateway) == {"first"}
    write(tmp_path, emulator, more=model("second"))
    done = reload(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert answers_of_models(gateway) == {"second"}
    write(tmp_path, emulator, server="prot = 1", more=model("third"))
    done = reload(tmp_path)
    assert done.returncode == 1
    assert "did you mean server.port?" in done.stderr
    assert answers_of_models(gateway) == {"second"}
    victim = children(gateway.pid)[0]
    os.kill(victim, signal.SIGKILL)  # the one that follows it must not read the bad file
    until(lambda: victim not in children(gateway.pid) and len(children(gateway.pid)) == 3)
    until(lambda: generations(gateway) == [b"2.0"] * 3)
    assert answers_of_models(gateway) == {"second"}
    assert gateway.output().count("did you mean server.port?") == 1
    write(tmp_path, emulator, workers=5, more=model("second"))
    assert "server.workers changed: restart the gateway to apply it" in reload(tmp_path).stderr


@pytest.mark.parametrize("process_group", [False, True])
def test_one_signal_is_one_drain_in_all_workers(start: Start, paced: Process, process_group: bool) -> None:
    gateway = start(workers=3, upstream=paced, server='drain_timeout = "20s"')
    workers = children(gateway.pid)
    streams = open_streams(gateway, 9, WORDS)
    assert len(set(server_of(gateway, streams, workers).values())) > 1
    for pid in [*workers, gateway.pid] if process_group else [gateway.pid]:  # a terminal sends Ctrl-C to all of them
        os.kill(pid, signal.SIGINT if process_group else signal.SIGTERM)
    assert [s.complete for s in streams] == [True] * 9
    assert gateway.wait(100) == 0
    assert not any(map(alive, workers))
    assert " error " not in gateway.output()
    assert "Traceback" not in gateway.output()


def test_while_the_drain_is_delayed_it_serves_and_says_so(start: Start) -> None:
    gateway = start(workers=2, server='drain_delay = "1s"')
    gateway.signal(signal.SIGTERM)
    until(lambda: get(f"{gateway.url}/readyz")[0] == 503)
    assert [ask(gateway) for _ in range(10)] == [200] * 10
    assert gateway.wait(100) == 0


def test_a_second_signal_ends_all_at_once_and_says_so(start: Start, paced: Process) -> None:
    gateway = start(workers=2, upstream=paced, server='drain_timeout = "60s"')
    streams = open_streams(gateway, 6, WORDS * 10)
    gateway.signal(signal.SIGINT)
    time.sleep(0.3)
    gateway.signal(signal.SIGINT)
    assert gateway.wait(100) == 0
    assert all(b"gateway_draining" in s.end() for s in streams)
    assert not any(s.complete for s in streams)


def test_no_worker_outlives_its_supervisor(start: Start, paced: Process) -> None:
    port = free_port()
    gateway = start(workers=3, upstream=paced, port=port)
    workers = children(gateway.pid)
    stream = Stream(gateway, WORDS)
    gateway.signal(signal.SIGKILL)
    gateway.wait(100)
    until(lambda: not listening(port))  # or a client of the successor could meet one that ends
    until(lambda: sum(map(alive, workers)) <= 1)  # the one with the stream lets it finish
    successor = start(workers=2, upstream=paced, port=port)
    assert ask(successor) == 200
    assert stream.complete
    until(lambda: not any(map(alive, workers)))


@pytest.mark.parametrize("holder", ["a program", "another gateway with workers"])
def test_a_port_in_use_is_one_message_and_no_process(start: Start, tmp_path: Path, holder: str) -> None:
    with socket.socket() as sock:
        if holder == "a program":
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            port = sock.getsockname()[1]
        else:
            port = free_port()
            start(workers=2, port=port)
        (tmp_path / "config.toml").touch()
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "modelmux", "serve", "--workers", "3", "--port", str(port),
             "--set", "auth.access_token=t", "--set", "vertex.project=p", "--set", "vertex.location=global"],
            env=clean_environment(tmp_path), capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("error:") == 1
    assert f"error: port {port} on 127.0.0.1 is in use" in done.stderr


class Manager:
    """A service manager: what it is told."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.05)
        self.told: list[str] = []
        self._over = False
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over:
            try:
                self.told.append(self._socket.recv(4096).decode())
            except TimeoutError:
                continue

    def lives(self) -> int:
        return self.told.count("WATCHDOG=1")

    def close(self) -> None:
        self._over = True
        self._thread.join()
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


def test_a_hung_worker_holds_up_nobody_and_the_manager_hears_of_it(
    start: Start, tmp_path: Path, manager: Manager
) -> None:
    gateway = start(workers=3, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="300000")
    until(lambda: set(manager.told) - {"WATCHDOG=1"})
    assert [t.splitlines()[0] for t in manager.told if t != "WATCHDOG=1"] == ["READY=1"]
    assert Counter(ask(gateway) for _ in range(20)) == {200: 20}
    wait_for_requests(gateway, 20)
    hung = children(gateway.pid)[1]
    os.kill(hung, signal.SIGSTOP)
    try:
        time.sleep(0.5)
        lives = manager.lives()
        for _ in range(20):
            assert ask(gateway) == 200
            assert requests_ok(gateway) >= 20
        assert b'process_cpu_seconds_total{worker="2"}' in get(f"{gateway.url}/metrics")[1]
        assert json.loads(get(f"{gateway.url}/health")[1])["metrics"]["total_requests"] >= 20
        assert manager.lives() == lives
    finally:
        os.kill(hung, signal.SIGCONT)
    until(lambda: manager.lives() > lives)
    wait_for_requests(gateway, 40)
    gateway.signal(signal.SIGHUP)
    until(
        lambda: [t.splitlines()[0] for t in manager.told if t != "WATCHDOG=1"] == ["READY=1", "RELOADING=1", "READY=1"]
    )
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(100) == 0
    assert [t for t in manager.told if t != "WATCHDOG=1"][-1].startswith("STOPPING=1")


def test_requests_do_not_need_the_supervisor_nor_do_the_totals_of_all_workers(start: Start) -> None:
    gateway = start(workers=2)
    assert get(f"{gateway.url}/readyz")[0] == 200
    assert [ask(gateway) for _ in range(10)] == [200] * 10
    wait_for_requests(gateway, 10)
    gateway.signal(signal.SIGSTOP)
    try:
        assert [ask(gateway) for _ in range(10)] == [200] * 10
        for path in ("/livez", "/health", "/readyz"):
            get(f"{gateway.url}{path}")
        wait_for_requests(gateway, 20)
        for _ in range(10):  # whichever worker answers
            assert (get(f"{gateway.url}/metrics")[0], requests_ok(gateway)) == (200, 20)
            health = json.loads(get(f"{gateway.url}/health")[1])
            assert (health["metrics"]["total_requests"], health["workers"]) == (20, {"ready": 2, "total": 2})
    finally:
        gateway.signal(signal.SIGCONT)
    assert requests_ok(gateway) == 20


def test_a_worker_that_hangs_when_all_are_to_end_holds_it_up_so_long_and_no_longer(start: Start) -> None:
    gateway = start(workers=2, server='drain_timeout = "1s"')
    os.kill(children(gateway.pid)[0], signal.SIGSTOP)
    gateway.signal(signal.SIGTERM)
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(100) == 0
    assert "does not exit: killed" in gateway.output()


def test_a_configuration_that_cannot_be_used_ends_it_with_its_message_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "modelmux", "serve", "--workers", "3", "--port", "0",
         "--set", "auth.access_token=t\n", "--set", "vertex.project=p", "--set", "fetch.allow=not a host/x"],
        env=clean_environment(tmp_path), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    lines: list[Any] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == len(set(lines)) >= 1

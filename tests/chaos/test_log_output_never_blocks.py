"""A console that nobody reads and a log file on storage that hangs: the gateway answers, reloads, replaces workers and
stops as ever; lines that it had no room for are counted, and told of when the output takes lines again."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.processes import Process, free_port
from support.workers import children, get, serving, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

CONFIG = """
[server]
workers = {workers}
drain_timeout = "1s"
log_format = "json"
[logs]
file = {file}
directory = "{folder}/logs"
[vertex]
project = "p"
location = "global"
base_url = "http://127.0.0.1:1"
[auth]
access_token = "t"
"""
#: Most seconds that a stop may take here: the drain, its steps, the flush, and a busy machine.
STOP_SECONDS = 30.0


class Gateway:
    """A gateway whose stderr is a pipe that nobody reads yet."""

    def __init__(self, folder: Path, workers: int, *, file: bool = False) -> None:
        config = folder / "config.toml"
        config.write_text(CONFIG.format(workers=workers, folder=folder, file=str(file).lower()))
        port = free_port()
        self.reading, writing = os.pipe()
        self.workers = workers
        self.process = Process(
            folder / "out", "serve", "--config", str(config), "--port", str(port), port=port, stderr=writing
        )
        os.close(writing)
        self._reader: threading.Thread | None = None
        self.lines: list[dict[str, object]] = []
        self.process.wait_ready("/livez")

    def dropped(self, output: str = "console") -> int:
        status, text = get(f"{self.process.url}/metrics")
        assert status == 200
        found = re.search(rf'modelmux_log_lines_dropped_total{{output="{output}"}} ([0-9.e+]+)', text.decode())
        assert found is not None
        return int(float(found[1]))

    def fill(self, output: str = "console") -> None:
        """Send requests until lines are dropped, and then some to every worker."""
        while not self.dropped(output):
            self.ask(200)
        for _ in range(self.workers):
            self.ask(200)

    def ask(self, count: int) -> None:
        """Requests on a new connection, each of which writes a line."""
        connection = http.client.HTTPConnection(self.process.url.removeprefix("http://"), timeout=100)
        headers = {"content-type": "application/json", "x-request-id": "r" * 120, "user-agent": "u" * 120}
        for _ in range(count):
            connection.request("POST", "/v1/chat/completions", b"{", headers)
            response = connection.getresponse()
            assert response.status == 400
            response.read()
        connection.close()

    def assert_serves(self) -> None:
        for path in ("/livez", "/readyz", "/health", "/v1/models"):
            assert get(f"{self.process.url}{path}", timeout=30)[0] == 200, path
        self.ask(5)

    def read(self) -> None:
        """From now on, read what it writes."""

        def run() -> None:
            with os.fdopen(self.reading, "rb") as pipe:
                for line in pipe:
                    self.lines.append(json.loads(line))

        self._reader = threading.Thread(target=run)
        self._reader.start()

    def told(self) -> int:
        """How many dropped lines it has told of."""
        return sum(int(str(line["dropped"])) for line in self.lines if line["event"] == "log_dropped")

    def close(self) -> None:
        self.process.stop()
        if self._reader is not None:
            self._reader.join(STOP_SECONDS)
        else:
            os.close(self.reading)


@pytest.fixture
def gateway(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    subject = Gateway(tmp_path, **request.param)
    yield subject
    subject.close()


def gateways(*options: dict[str, object]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("gateway", options, indirect=True, ids=str)


ALL = gateways({"workers": 1}, {"workers": 4})


@ALL
def test_a_stderr_that_nobody_reads_stops_nothing_and_delays_no_end(gateway: Gateway) -> None:
    gateway.fill()
    gateway.assert_serves()
    gateway.process.signal(signal.SIGTERM)
    assert gateway.process.wait(STOP_SECONDS) == 0


@ALL
def test_the_lines_flow_again_and_what_is_missing_is_told(gateway: Gateway) -> None:
    pids = children(gateway.process.pid)  # one for each worker, in their order
    gateway.fill()
    gateway.read()
    until(lambda: gateway.told() == gateway.dropped() > 0)
    gateway.ask(1)
    gateway.process.signal(signal.SIGTERM)
    assert gateway.process.wait(STOP_SECONDS) == 0
    gateway.close()  # every line was valid JSON: none was cut or mixed with that of another worker
    assert gateway.lines[-1]["event"] == "stopped"
    worker_of: dict[object, object] = {gateway.process.pid: None, **{pid: n for n, pid in enumerate(pids, 1)}}
    by_process: dict[object, list[str]] = {}
    for line in gateway.lines:  # one that tells of dropped lines has the pid instead of the worker
        process = line["worker"] if "worker" in line else worker_of[line.get("pid", gateway.process.pid)]
        by_process.setdefault(process, []).append(str(line["timestamp"]))
    for times in by_process.values():
        assert times == sorted(times), "the lines of a process keep their order"


@gateways({"workers": 2})
def test_a_worker_is_replaced_and_the_configuration_reloaded_while_nobody_reads(gateway: Gateway) -> None:
    gateway.fill()
    for _ in range(3):  # the supervisor forks beside its own thread that hangs
        victim = children(gateway.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda victim=victim: victim not in children(gateway.process.pid) and serving(gateway.process) == 2)
    gateway.process.signal(signal.SIGHUP)
    until(lambda: 'modelmux_config_generation{worker="1"} 2.0' in get(f"{gateway.process.url}/metrics")[1].decode())
    gateway.assert_serves()


@gateways({"workers": 1, "file": True}, {"workers": 4, "file": True})
def test_a_log_file_that_hangs_stops_nothing_and_the_console_goes_on(tmp_path: Path, gateway: Gateway) -> None:
    gateway.read()
    paths = replace_by_fifos(tmp_path / "logs")
    gateway.process.signal(signal.SIGUSR1)
    gateway.fill("files")
    gateway.assert_serves()
    assert gateway.dropped("console") == 0
    reader = FifoReader(paths)
    if gateway.workers == 1:  # a pipe, unlike a file, mixes what several processes append
        until(lambda: reader.told() == gateway.dropped("files") > 0)
    gateway.process.signal(signal.SIGTERM)
    assert gateway.process.wait(STOP_SECONDS) == 0
    reader.close()


@gateways({"workers": 1, "file": True})
def test_a_log_file_that_hangs_delays_no_end(tmp_path: Path, gateway: Gateway) -> None:
    gateway.read()
    replace_by_fifos(tmp_path / "logs")
    gateway.process.signal(signal.SIGUSR1)
    gateway.fill("files")
    gateway.process.signal(signal.SIGTERM)
    assert gateway.process.wait(STOP_SECONDS) == 0


@gateways({"workers": 1, "file": True}, {"workers": 2, "file": True})
def test_user_signals_reopen_the_file_or_do_nothing(tmp_path: Path, gateway: Gateway) -> None:
    gateway.read()
    (path,) = until(lambda: list((tmp_path / "logs").glob("*")))
    moved = path.with_suffix(".1")
    path.rename(moved)
    for pid in (gateway.process.pid, *children(gateway.process.pid)):
        os.kill(pid, signal.SIGUSR2)
    gateway.process.signal(signal.SIGUSR1)
    until(lambda: not open_files(gateway.process.pid) & {moved})
    for _ in range(8):
        gateway.ask(1)
    until(lambda: requests_in(tmp_path / "logs") == 8)
    assert sum('"request"' in line for line in moved.read_text().splitlines()) == 0
    gateway.process.signal(signal.SIGTERM)
    assert gateway.process.wait(STOP_SECONDS) == 0


def open_files(pid: int) -> set[Path]:
    """The files that a process and its children have open."""
    found = set()
    for each in (pid, *children(pid)):
        for fd in Path(f"/proc/{each}/fd").iterdir():
            try:
                found.add(fd.readlink())
            except OSError:
                continue  # closed meanwhile
    return found


def requests_in(folder: Path) -> int:
    lines = [line for path in folder.glob("modelmux-*.log") for line in path.read_text().splitlines()]
    return sum(json.loads(line)["event"] == "request" for line in lines)


def replace_by_fifos(folder: Path) -> list[Path]:
    """Put pipes in place of the log files of today and tomorrow: what a file on storage that hangs does."""
    until(folder.exists)  # from the first line on
    folder.rename(folder.with_name("before"))
    folder.mkdir()
    today = datetime.now(UTC)
    paths = [folder / f"modelmux-{today + timedelta(days=days):%Y-%m-%d}.log" for days in (0, 1)]
    for path in paths:
        os.mkfifo(path, 0o600)
    return paths


class FifoReader:
    """Reads both pipes until closed."""

    def __init__(self, paths: list[Path]) -> None:
        self._descriptors = [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path in paths]
        self._data = [b"", b""]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set():
            for index, fd in enumerate(self._descriptors):
                try:
                    self._data[index] += os.read(fd, 65536)
                except BlockingIOError:
                    time.sleep(0.001)

    def told(self) -> int:
        lines = [json.loads(line) for data in self._data for line in data.split(b"\n")[:-1]]
        return sum(line["dropped"] for line in lines if line["event"] == "log_dropped")

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        for fd in self._descriptors:
            os.close(fd)

"""The processes that are measured, and what the kernel reports about them (Linux)."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

#: Seconds after which a process that does not respond has failed to start.
_START_TIMEOUT = 60.0


def split_cores() -> tuple[set[int] | None, set[int] | None]:
    """The cores of the measured process, and those of load generator and upstream. None on a single core."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:3])) if len(cores) > 1 else (None, None)


def _resident(pid: int) -> int:
    match = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert match is not None
    return 1024 * int(match[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


class MeasuredProcess:
    """A running process.

    :param cores: the cores it may use; None for all.
    :param variables: further environment variables.
    """

    def __init__(self, arguments: Sequence[str], log: Path, cores: set[int] | None = None, **variables: str) -> None:
        excluded = re.compile("(?i)(pythonpath$|modelmux_|google_|vertex|anthropic_|cloud_ml_|llm_|.*_proxy$)")
        environment = {key: value for key, value in os.environ.items() if not excluded.match(key)}
        self.log = log
        self._file = log.open("w")
        self._process = subprocess.Popen(
            arguments, stdout=self._file, stderr=subprocess.STDOUT, cwd=log.parent,
            env={**environment, "HOME": str(log.parent), **variables},
        )  # fmt: skip
        self.pids = [self._process.pid]
        if cores:
            os.sched_setaffinity(self._process.pid, cores)

    def wait_for(self, url: str) -> None:
        """Wait until the URL responds, with any status.

        :raises RuntimeError: the process exited, or does not respond in time.
        """
        end = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"the process exited: {self.log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(url, timeout=1).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"the process does not respond: {self.log.read_text()[-2000:]}")

    def include_children(self) -> None:
        """Measure the child processes too: workers of a supervisor or of nginx."""
        children = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False)
        self.pids = [self._process.pid, *map(int, children.stdout.split())]

    def cpu_seconds(self) -> float:
        """User and system time of all threads, including those that have ended; in nanosecond resolution."""
        return sum(cpu_seconds(pid) for pid in self.pids)

    def memory(self) -> int:
        """Resident bytes; memory that processes share counts once (PSS)."""
        return sum(_resident(pid) for pid in self.pids)

    def files(self) -> int:
        """Open file descriptors."""
        return sum(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()) for pid in self.pids)

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._file.close()


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, including those that have ended; in nanosecond resolution."""
    return time.clock_gettime(~pid << 3 | 2)  # the clock id of another process, as clock_getcpuclockid(3) computes it


@contextlib.contextmanager
def gateway(
    folder: Path, upstream: str, *, cores: set[int] | None = None, extra_config: str = "", name: str = "gateway",
    python: str = sys.executable,
) -> Iterator[tuple[MeasuredProcess, str]]:  # fmt: skip
    """``modelmux serve`` with default settings, an API key, and a local upstream.

    :param extra_config: more lines for the section ``[server]``.
    :param python: the interpreter of the environment in which the gateway is installed.
    :returns: the process and its base URL.
    """
    port, home = free_port(), folder / name
    home.mkdir(parents=True, exist_ok=True)
    config = home / "config.toml"
    config.write_text(
        f'[server]\nport = {port}\napi_keys = ["sk-bench"]\n{extra_config}\n[auth]\naccess_token = "ya29.bench"\n'
        f'[vertex]\nproject = "bench-project"\nlocation = "global"\nbase_url = "{upstream}"\n'
    )
    process = MeasuredProcess([python, "-m", "modelmux", "serve", "--config", str(config)], home / "log.txt", cores)
    try:
        process.wait_for(f"http://127.0.0.1:{port}/readyz")
        process.include_children()
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@contextlib.contextmanager
def emulator(
    folder: Path, *, tokens_per_second: float, cores: set[int] | None = None
) -> Iterator[tuple[MeasuredProcess, str]]:
    """``modelmux emulate``."""
    port, home = free_port(), folder / "emulator"
    home.mkdir(parents=True, exist_ok=True)
    arguments = [sys.executable, "-m", "modelmux", "emulate", "--port", str(port)]
    process = MeasuredProcess([*arguments, "--tokens-per-second", str(tokens_per_second)], home / "log.txt", cores)
    try:
        process.wait_for(f"http://127.0.0.1:{port}/healthz")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.stop()

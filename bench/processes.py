"""The processes that are measured, and what the kernel knows of them (Linux)."""

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

_PATIENCE = 20.0


def halves() -> tuple[set[int] | None, set[int] | None]:
    """The cores of what is measured, and those of load and upstream. None where there is one core only."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:3])) if len(cores) > 1 else (None, None)


def _resident(pid: int) -> int:
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


class Measured:
    """A running process.

    :param cores: those it may use; None for all.
    """

    def __init__(self, arguments: Sequence[str], log: Path, cores: set[int] | None = None, **variables: str) -> None:
        ours = re.compile("(?i)(modelmux_|google_|vertex|anthropic_|cloud_ml_|llm_|.*_proxy$)")
        kept = {key: value for key, value in os.environ.items() if not ours.match(key)}
        self.log = log
        self._file = log.open("w")
        self._process = subprocess.Popen(
            arguments, stdout=self._file, stderr=subprocess.STDOUT, cwd=log.parent,
            env={**kept, "HOME": str(log.parent), **variables},
        )  # fmt: skip
        self.pids = [self._process.pid]
        if cores:
            os.sched_setaffinity(self._process.pid, cores)

    def wait_for(self, url: str) -> None:
        """Until it answers.

        :raises RuntimeError: it ended, or does not.
        """
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"it ended: {self.log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(url, timeout=1).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"it does not answer: {self.log.read_text()[-2000:]}")

    def adopt_children(self) -> None:
        """Measure the children too: a supervisor's workers, nginx's."""
        found = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False)
        self.pids = [self._process.pid, *map(int, found.stdout.split())]

    def cpu_seconds(self) -> float:
        """User and system time of all threads so far, ended ones too, to the nanosecond."""
        # The clock of another process, as clock_getcpuclockid(3) makes its number.
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self.pids)

    def memory(self) -> int:
        """Resident bytes; what processes share counts once (PSS)."""
        return sum(_resident(pid) for pid in self.pids)

    def files(self) -> int:
        """Open descriptors."""
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


@contextlib.contextmanager
def gateway(
    folder: Path, upstream: str, *, cores: set[int] | None = None, more: str = "", name: str = "gateway"
) -> Iterator[tuple[Measured, str]]:
    """``modelmux serve`` with its defaults, an API key, and an upstream that is not Google.

    :returns: the process and its base URL.
    """
    port, home = free_port(), folder / name
    home.mkdir(parents=True, exist_ok=True)
    config = home / "config.toml"
    config.write_text(
        f'[server]\nport = {port}\napi_keys = ["sk-bench"]\n{more}\n[auth]\naccess_token = "ya29.bench"\n'
        f'[vertex]\nproject = "bench-project"\nlocation = "global"\nbase_url = "{upstream}"\n'
    )
    process = Measured([sys.executable, "-m", "modelmux", "serve", "--config", str(config)], home / "log.txt", cores)
    try:
        process.wait_for(f"http://127.0.0.1:{port}/readyz")
        process.adopt_children()
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@contextlib.contextmanager
def emulator(
    folder: Path, *, tokens_per_second: float, cores: set[int] | None = None
) -> Iterator[tuple[Measured, str]]:
    """``modelmux emulate``."""
    port, home = free_port(), folder / "emulator"
    home.mkdir(parents=True, exist_ok=True)
    arguments = [sys.executable, "-m", "modelmux", "emulate", "--port", str(port)]
    process = Measured([*arguments, "--tokens-per-second", str(tokens_per_second)], home / "log.txt", cores)
    try:
        process.wait_for(f"http://127.0.0.1:{port}/healthz")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.stop()

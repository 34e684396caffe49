"""The real commands as real processes, for end-to-end tests."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 100.0
#: Below what the kernel gives to connections of clients, and above what browsers refuse.
_FIRST_PORT, _END_OF_PORTS = 11_000, 32_000
#: Where this process begins: others begin elsewhere.
_begin = _FIRST_PORT + os.getpid() * 37 % (_END_OF_PORTS - _FIRST_PORT)
_ports = itertools.cycle([*range(_begin, _END_OF_PORTS), *range(_FIRST_PORT, _begin)])


def free_port() -> int:
    """One on which nothing listens. It is not given to anything else before it is used: each comes once in a round."""
    for port in itertools.islice(_ports, _END_OF_PORTS - _FIRST_PORT):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError("all ports are in use")


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """This process's environment without proxies, authorities and anything that configures a gateway, so that files of
    the person who runs the tests are neither read nor written."""
    ours = re.compile(
        "(?i)(modelmux_|xdg_|google_|vertex|anthropic_|cloud_ml_|llm_|notify_|watchdog_|.*_proxy$|port$"
        "|ssl_cert_|.*_ca_bundle$|node_extra_ca_certs$)"
    )
    inherited = {k: v for k, v in os.environ.items() if not ours.match(k)}
    return {**inherited, "HOME": str(home), **variables}


class Process:
    """A command that serves on ``url``. Its output goes to a file, whose folder is its home and working directory.

    :param stderr: a descriptor that gets what it writes to stderr instead.
    :param module: what is run, with its own arguments before those of the command.
    :param prefix: a program that runs it, such as ``ip netns exec``, in place of itself.
    :param address: where it listens.
    """

    def __init__(
        self,
        log: Path,
        *arguments: str,
        port: int,
        stderr: int | None = None,
        module: tuple[str, ...] = ("modelmux",),
        prefix: tuple[str, ...] = (),
        address: str = "127.0.0.1",
        **variables: str,
    ) -> None:
        self.url = f"http://{address}:{port}"
        if "serve" in arguments:  # several run at once, and its port is always the same
            variables.setdefault("MODELMUX_ADMIN_LISTEN", "off")
        self._log = log
        self._file = log.open("w")
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "error", "-m", *module, *arguments],
            stdout=self._file,
            stderr=subprocess.STDOUT if stderr is None else stderr,
            env=clean_environment(log.parent, **variables),
            cwd=log.parent,
        )

    def wait_ready(self, path: str = "/livez") -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise AssertionError(f"it ended with {self._process.returncode}: {self.output()}")
            try:
                urllib.request.urlopen(self.url + path, timeout=100).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise AssertionError(f"not ready after {START_SECONDS} s: {self.output()}")

    def output(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """The exit code."""
        return self._process.wait(seconds)

    def stop(self) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait(3)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self.wait(5)
        self._file.close()

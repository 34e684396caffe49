"""A Redis server in a folder of its own, and a model of what our script does there."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from modelmux.store.base import StoreFailed
from modelmux.store.redis.script import COMMON
from support.processes import START_SECONDS, free_port

PASSWORD = "a/pass@word"
QUOTED = "a%2Fpass%40word"


def reason_to_skip() -> str | None:
    """Why there can be no server here; None if there can be one."""
    try:
        import redis  # noqa: F401
    except ImportError:
        return "the extra redis is not installed"
    if shutil.which("redis-server") is None:
        return "Redis is not installed (on Debian: redis-server)"
    return None


class Server:
    """On a free port. It writes nothing to its folder but a log.

    :param address: of this machine, or of the host that ``prefix`` runs a program on.
    """

    def __init__(
        self,
        *options: str,
        password: str | None = PASSWORD,
        address: str = "127.0.0.1",
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="mmx-redis-")), free_port()
        self._options, self._password = options, password
        self.address, self._prefix = address, prefix
        self.start()

    @property
    def url(self) -> str:
        user = "" if self._password is None else f":{QUOTED}@"
        return f"redis://{user}{self.address}:{self.port}/0"

    def start(self) -> None:
        command = [*self._prefix, "redis-server", "--port", str(self.port), "--bind", self.address]
        command += ["--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no", "--logfile", str(self.folder / "log")]
        if self._password is not None:
            command += ["--requirepass", self._password]
        self._process = subprocess.Popen([*command, *self._options], cwd=self.folder)
        end = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if self.execute("PING") == "+PONG":
                    return
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(0.02)

    def execute(self, *command: str) -> str:
        """The first line of the answer to a command, by its protocol: the library is under test."""
        with socket.create_connection((self.address, self.port), 100) as sock, sock.makefile("rwb") as file:
            commands = [command] if self._password is None else [("AUTH", self._password), command]
            for words in commands:
                parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
                file.write(f"*{len(words)}\r\n{''.join(parts)}".encode())
                file.flush()
                line = file.readline().decode().strip()
        return line

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(100)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def redis_server(*options: str, password: str | None = PASSWORD, **where: Any) -> Iterator[Server]:
    """One that a test may do anything with. :param where: ``address`` and ``prefix``, see ``Server``."""
    reason = reason_to_skip()
    if reason is not None:
        pytest.skip(reason)
    server = Server(*options, password=password, **where)
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def _redis_of_process() -> Iterator[Server]:
    with redis_server() as server:
        yield server


@pytest.fixture
def shared_redis(_redis_of_process: Server) -> Server:
    """One for all tests of a process that leave it as it was; it is empty."""
    _redis_of_process.execute("FLUSHALL")
    return _redis_of_process


@pytest.fixture
def unhurried_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of a server have a minute: how busy the machine is does not matter."""
    for module in ("modelmux.cli.doctor.redis", "modelmux.store.redis.thinking_rows"):
        monkeypatch.setattr(f"{module}.CONNECT_TIMEOUT", 60.0)
    monkeypatch.setattr("modelmux.cli.doctor.redis.FIND_BOUND", 120.0)


class ModelServer:
    """What the script does, in Python, with times that a test decides. A test compares it with the script.

    :param now: milliseconds.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.flush()
        #: Whether a call fails: "before" or "after" it has run.
        self.fails: str | None = None

    def flush(self) -> None:
        self.since: int | None = None
        self.alive: list[dict[str, int]] = [{}, {}]
        self.leases: dict[str, dict[str, tuple[int, int]]] = {}

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> list[Any]:
        fails, self.fails = self.fails, None
        if fails == "before":
            raise StoreFailed("it cannot be reached")
        answer = self._run(keys[len(COMMON) :], list(arguments))
        if fails == "after":
            raise StoreFailed("it has not answered")
        return answer

    async def aclose(self) -> None:
        pass

    def _run(self, keys: Sequence[str], arguments: list[Any]) -> list[Any]:
        now, (process, node, alive, without_grants, leaves) = self._now(), arguments[:5]
        if self.since is None or self.since > now:
            self.since = now
        grants = now - self.since >= without_grants
        answer: list[Any] = [str(self.since).encode()]
        for members, member in zip(self.alive, (process, node), strict=True):
            if leaves:
                members.pop(member, None)
            else:
                members[member] = now + alive
            for other in [other for other, end in members.items() if end < now]:
                del members[other]
            answer.append(len(members))
        for index, key in enumerate(keys):
            limit, amount, needed, ahead, keep = arguments[5 + 5 * index : 10 + 5 * index]
            leases = {p: (a, end) for p, (a, end) in self.leases.get(key, {}).items() if end > now and p != process}
            others, holders = sum(a for a, _ in leases.values()), 1 + len(leases)
            room = limit - others - amount
            if grants and room > 0:
                amount += max(min(needed, room), min(ahead, -(-room // (2 * holders))))
            if amount > 0:
                leases[process] = amount, now + keep
            self.leases[key] = leases
            answer += [amount, others, holders]
        return answer

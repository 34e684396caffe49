"""Risk: an upgrade that refuses or resets connections. Real processes: a second gateway starts on the same address, the
first one is told to stop, and all the time connections are opened."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import clean_environment, free_port
from support.workers import until

#: It needs no upstream, and it is one of those that a gateway which is about to end rejects with a 503.
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: 2\r\nconnection: close\r\n\r\n{}"
)
SETTINGS = ["--set", "vertex.project=p", "--set", "vertex.location=global", "--set", "auth.access_token=x"]
#: sd_listen_fds(3), as a service manager does it: ``LISTEN_PID`` is the process that this one becomes.
WITH_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel has no such order of sockets")


class Serving:
    """A gateway.

    :param sock: the listening socket that it gets, as from a service manager.
    """

    def __init__(self, folder: Path, *options: str, port: int, sock: socket.socket | None = None) -> None:
        folder.mkdir()
        self._log = folder / "log"
        command = ["-m", "modelmux", "serve", *SETTINGS, "--port", str(port), *options]
        if sock is not None:
            command = ["-c", WITH_SOCKET, str(sock.fileno()), *command]
        with self._log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdout=file, stderr=file, env=clean_environment(folder), cwd=folder,
                pass_fds=() if sock is None else [sock.fileno()],
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self._log.read_text()

    def wait_listening(self) -> None:
        until(lambda: "listening" in self.output or self.process.poll() is not None, 100)
        assert self.process.poll() is None, self.output


class Clients(threading.Thread):
    """Opens one connection after another and sends a request on each."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.ended = threading.Event()
        self.results = Counter[str]()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), 60) as sock:
                    sock.sendall(REQUEST)
                    self.results[sock.recv(12).decode()] += 1
            except OSError as error:
                self.results[repr(error)] += 1

    def wait_for(self, more: int) -> None:
        wanted = self.results.total() + more
        until(lambda: self.results.total() >= wanted, 100)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def start(*options: str, port: int, sock: socket.socket | None = None) -> Serving:
        started.append(Serving(tmp_path / str(len(started)), *options, port=port, sock=sock))
        return started[-1]

    yield start
    for serving in started:
        if serving.process.poll() is None:
            serving.process.kill()
            serving.process.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("mode", ["reuse_port", "passed socket"])
def test_a_new_version_replaces_the_old_one_without_a_failed_connection(
    start: Callable[..., Serving], mode: str, workers: str
) -> None:
    options = ["--workers", workers]
    sock = None
    if mode == "reuse_port":
        port = free_port()
        options += ["--set", "server.reuse_port=true"]
    else:
        sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        port = sock.getsockname()[1]
    old = start(*options, port=port, sock=sock)
    old.wait_listening()
    clients = [Clients(port) for _ in range(4)]
    for client in clients:
        client.start()
    clients[0].wait_for(20)
    for _ in range(2):  # an upgrade, and another one after it
        new = start(*options, port=port, sock=sock)
        new.wait_listening()
        clients[0].wait_for(20)
        old.process.send_signal(signal.SIGTERM)
        assert old.process.wait(100) == 0, old.output
        clients[0].wait_for(20)
        old = new
    for client in clients:
        client.ended.set()
    for client in clients:
        client.join(60)
        assert set(client.results) == {"HTTP/1.1 400"}, client.results
    if sock is not None:
        sock.close()


def test_connections_wait_while_a_service_restarts(start: Callable[..., Serving]) -> None:
    """The service manager keeps the socket: what connects in between is served by the next one."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as sock:
        port = sock.getsockname()[1]
        old = start(port=port, sock=sock)
        old.wait_listening()
        old.process.send_signal(signal.SIGTERM)
        assert old.process.wait(100) == 0, old.output
        with socket.create_connection(("127.0.0.1", port), 100) as waiting:
            waiting.sendall(REQUEST)
            start(port=port, sock=sock).wait_listening()
            assert waiting.recv(12) == b"HTTP/1.1 400"


@pytest.mark.parametrize(("first", "workers"), [(False, "1"), (False, "2"), (True, "1"), (True, "2")])
def test_a_gateway_without_the_setting_does_not_share_its_port(
    start: Callable[..., Serving], first: bool, workers: str
) -> None:
    """Whichever has it: the first one that serves, or the second one."""
    port, setting = free_port(), ["--set", "server.reuse_port=true"]
    start(*(setting if first else []), "--workers", workers, port=port).wait_listening()
    second = start(*([] if first else setting), "--workers", workers, port=port)
    assert second.process.wait(100) == 1
    several = not first and workers != "1"  # they have SO_REUSEPORT among themselves
    problem = f"several sockets listen on port {port}" if several else f"port {port} on 127.0.0.1 is in use"
    assert problem in second.output


def test_a_passed_socket_decides_who_can_reach_the_gateway(start: Callable[..., Serving]) -> None:
    """``server.host`` is loopback, and the socket is not: without keys this is refused."""
    with socket.create_server(("0.0.0.0", 0)) as sock:
        serving = start(port=sock.getsockname()[1], sock=sock)
        assert serving.process.wait(100) != 0
        assert "server.api_keys" in serving.output


@pytest.mark.parametrize("kind", ["udp", "unix", "not listening", "a file"])
def test_a_passed_descriptor_that_cannot_be_used_is_named(
    start: Callable[..., Serving], kind: str, tmp_path: Path
) -> None:
    if kind == "a file":
        file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
        sock: socket.socket = _Descriptor(file)  # type: ignore[assignment]
    elif kind == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(tmp_path / "socket"))
        sock.listen()
    else:
        sock = socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        sock.bind(("127.0.0.1", 0))
    serving = start(port=free_port(), sock=sock)
    assert serving.process.wait(100) == 1
    assert "the service manager's socket" in serving.output
    assert "ListenStream=" in serving.output
    sock.close()


class _Descriptor:
    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def close(self) -> None:
        os.close(self._number)

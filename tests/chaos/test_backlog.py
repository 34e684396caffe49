"""Risk: paid calls for clients that left while the process could not even read: it was stopped, and their connections,
requests and goodbyes wait in the kernel. A real process and an upstream that counts calls."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.counting_upstream import CountingUpstream
from support.workers import children, get, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a half-closed connection is not noticed")

LEAVING = 30
STAYING = 3
#: States of the kernel in which a server has not closed its end: ESTABLISHED, SYN_RECV, CLOSE_WAIT.
OPEN = {"01", "03", "08"}
REQUEST = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: " + b"%d\r\n\r\n%b"


@pytest.fixture
def upstream() -> Iterator[CountingUpstream]:
    server = CountingUpstream()
    yield server
    server.close()


def open_connections(port: int) -> int:
    """Of a server that listens on the port, in the kernel's table; also those that it has not accepted."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(local.endswith(f":{port:04X}") and state in OPEN for _, local, _, state, *_ in map(str.split, lines))


def ask(port: int, path: str, *, known: socket.socket | None = None) -> socket.socket:
    sock = known or socket.create_connection(("127.0.0.1", port), 60)
    turns = [{"role": "user", "content": "Hi"}]
    what = {"input": turns} if path == "/v1/responses" else {"messages": turns, "max_tokens": 9}
    body = json.dumps({"model": "claude-sonnet-4-6", **what}).encode()
    sock.sendall(REQUEST % (path.encode(), len(body), body))
    return sock


def leave(sock: socket.socket, *, reset: bool) -> None:
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("workers", [1, 2])
def test_no_call_is_made_for_clients_that_left_while_the_process_was_stopped(
    tmp_path: Path, upstream: CountingUpstream, workers: int, path: str
) -> None:
    gateway = upstream.start_gateway(tmp_path, f"server.workers={workers}")
    port = int(gateway.url.rpartition(":")[2])
    try:
        processes = children(gateway.pid) or [gateway.pid]
        assert len(processes) == workers
        idle = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(LEAVING)]
        for sock in idle:  # their connections are accepted before
            sock.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        leaving = [ask(port, path, known=sock) for sock in idle] + [ask(port, path) for _ in range(LEAVING)]
        staying = [ask(port, path) for _ in range(STAYING)]
        for number, sock in enumerate(leaving):
            leave(sock, reset=number % 2 == 1)
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        for sock in staying:
            assert sock.recv(12) == b"HTTP/1.1 200"
            sock.close()
        until(lambda: open_connections(port) == 0)  # every worker is through with those that left
        until(lambda: b"modelmux_requests_in_flight 0.0" in get(f"{gateway.url}/metrics")[1])
        assert len(upstream.calls) == STAYING
    finally:
        gateway.stop()

"""Risk: paid calls for clients that left while the process could not even read: it was stopped, and their connections,
requests and goodbyes wait in the kernel. A real process and an upstream that counts calls."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.processes import Process, free_port
from support.workers import get, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a half-closed connection is not noticed")

LEAVING = 30
STAYING = 3
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Hello!"}], "usage": {"input_tokens": 7, "output_tokens": 3},
}  # fmt: skip
REQUEST = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: " + b"%d\r\n\r\n%b"


class Upstream(ThreadingHTTPServer):
    """Counts calls."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls = list[str]()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.calls.append(self.path)
        body = json.dumps(MESSAGE).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.shutdown()
    server.server_close()


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
def test_no_call_is_made_for_clients_that_left_while_the_process_was_stopped(
    tmp_path: Path, upstream: Upstream, path: str
) -> None:
    port = free_port()
    settings = [f"vertex.base_url=http://127.0.0.1:{upstream.server_port}", "vertex.project=p"]
    settings += ["vertex.location=global", "auth.access_token=t"]
    options = [word for setting in settings for word in ("--set", setting)]
    gateway = Process(tmp_path / "log", "serve", "--port", str(port), *options, port=port)
    try:
        gateway.wait_ready("/readyz")
        idle = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(LEAVING)]
        for sock in idle:  # their connections are accepted before
            sock.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"
        os.kill(gateway.pid, signal.SIGSTOP)
        leaving = [ask(port, path, known=sock) for sock in idle] + [ask(port, path) for _ in range(LEAVING)]
        staying = [ask(port, path) for _ in range(STAYING)]
        for number, sock in enumerate(leaving):
            leave(sock, reset=number % 2 == 1)
        os.kill(gateway.pid, signal.SIGCONT)
        for sock in staying:
            assert sock.recv(12) == b"HTTP/1.1 200"
            sock.close()
        until(lambda: b"modelmux_requests_in_flight 0.0" in get(f"{gateway.url}/metrics")[1])
        assert len(upstream.calls) == STAYING
    finally:
        gateway.stop()

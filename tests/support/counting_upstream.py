"""An upstream for real gateway processes: counts calls, and replies to each once it may."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support.processes import Process, free_port

MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Hello!"}], "usage": {"input_tokens": 7, "output_tokens": 3},
}  # fmt: skip
_READ_SIZE = 2**20


class CountingUpstream(ThreadingHTTPServer):
    """:ivar calls: the path of each call, once its body has arrived."""

    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls = list[str]()
        self.may_reply = threading.Event()
        self.may_reply.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def start_gateway(self, folder: Path, *settings: str) -> Process:
        """A gateway that calls it. ``stop`` it in the end."""
        port = free_port()
        own = [f"vertex.base_url=http://127.0.0.1:{self.server_port}", "vertex.project=p", "vertex.location=global"]
        options = [word for setting in (*own, "auth.access_token=t", *settings) for word in ("--set", setting)]
        gateway = Process(folder / "log", "serve", "--port", str(port), *options, port=port)
        try:
            gateway.wait_ready("/readyz")
        except BaseException:
            gateway.stop()
            raise
        return gateway

    def close(self) -> None:
        self.may_reply.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write for head and body
    server: CountingUpstream

    def do_POST(self) -> None:
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, _READ_SIZE)))
        self.server.calls.append(self.path)
        self.server.may_reply.wait()
        body = json.dumps(MESSAGE).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

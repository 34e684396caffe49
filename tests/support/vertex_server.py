"""Vertex AI as a script says, and Google's token endpoint, on one port, with TLS or without, in a thread of its own."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

#: Status, body and headers of a reply.
Reply = tuple[int, Any, Mapping[str, str]]
#: The answer to a call, by its bearer token.
Answer = Callable[[str], Reply]

MESSAGE: dict[str, Any] = {
    "id": "msg_vrtx_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip


def hello(token: str) -> Reply:
    del token
    return 200, MESSAGE, {}


@dataclass
class VertexServer:
    """What it answers, which may be changed while it runs, and what it was asked.

    :param token: form of a token request -> the reply.
    """

    url: str = ""
    answer: Answer = hello
    token: Callable[[dict[str, str]], Reply] = lambda form: (400, {"error": "invalid_grant"}, {})
    calls: list[str] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)


@contextmanager
def vertex_server(tls: ssl.SSLContext | None = None) -> Iterator[VertexServer]:
    """A server that runs until the end of the block."""
    script = VertexServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            if self.path == "/token":
                form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                status, value, headers = script.token(form)
            else:
                bearer = self.headers["authorization"].removeprefix("Bearer ")
                script.calls.append(bearer)
                script.called.set()
                status, value, headers = script.answer(bearer)
            data = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"content-type": "application/json", **headers, "content-length": str(len(data))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            """Nothing: the tests look at ``calls``."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Peers that leave, or do not trust the certificate, are expected."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    script.url = f"http{'s' if tls else ''}://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A gateway whose responses a test scripts, in a thread; it notes what it was sent."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

MODEL = "claude-sonnet-5-5"
MESSAGE = {
    "type": "message", "role": "assistant", "model": MODEL, "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn", "usage": {"input_tokens": 8, "output_tokens": 2},
}  # fmt: skip
COMPLETION = {
    "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}}],
    "usage": {"prompt_tokens": 8, "completion_tokens": 2},
}  # fmt: skip
CHUNKS = (
    b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n\ndata: {"choices": [], "usage": {}}\n\ndata: [DONE]\n\n'
)
RESPONSE = {"object": "response", "status": "completed", "output": [], "usage": {"input_tokens": 8, "output_tokens": 2}}
RESPONSE_EVENTS = b"".join(
    b"event: %s\ndata: %s\n\n" % (name.encode(), json.dumps({"type": name, "response": RESPONSE}).encode())
    for name in ("response.created", "response.completed")
)
EVENTS = b"".join(
    b"event: %s\ndata: %s\n\n" % (name.encode(), json.dumps({"type": name}).encode())
    for name in ("message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop")
)


class Answer(NamedTuple):
    status: int = 200
    body: bytes = b""
    type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Received(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


def as_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode())


def stream(data: bytes) -> Answer:
    return Answer(200, data, "text/event-stream")


class StubGateway:
    """:param answers: part of ``"METHOD /path"`` -> response; the first match counts, and those of a good gateway
    follow."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self._answers = answers
        self.received: list[Received] = []
        self.url = ""

    def answer(self, request: Received) -> Answer:
        line = f"{request.method} {request.path}" + (" stream" if (request.body or {}).get("stream") else "")
        for part, answer in self._answers.items():
            if part in line:
                return answer
        if "/models" in line and request.method == "GET":
            entry = {"type": "model", "id": MODEL, "display_name": "Sonnet", "object": "model"}
            return as_json({"data": [entry]})
        if "count" in line:
            return as_json({"input_tokens": 8})
        if "chat/completions" in line:
            return stream(CHUNKS) if line.endswith(" stream") else as_json(COMPLETION)
        if "/responses" in line:
            return stream(RESPONSE_EVENTS) if line.endswith(" stream") else as_json(RESPONSE)
        if request.method == "POST":
            return stream(EVENTS) if line.endswith(" stream") else as_json(MESSAGE)
        return Answer()


@contextlib.contextmanager
def stub_gateway(answers: dict[str, Answer] | None = None) -> Iterator[StubGateway]:
    stub = StubGateway(answers or {})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.command, self.path, headers, json.loads(body) if body else None)
            stub.received.append(request)
            answer = stub.answer(request)
            self.send_response(answer.status)
            self.send_header("content-type", answer.type)
            self.send_header("content-length", str(len(answer.body)))
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = handle_any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""Risk: while one request of 29 MB is translated, nobody else is answered, and the supervisor kills the worker."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator

import pytest

from support.processes import Process, free_port

CONFIG = """
[vertex]
project = "p"
location = "global"
base_url = "http://127.0.0.1:1"
[auth]
access_token = "t"
[retries]
max = 0
"""
MODEL = b"claude-sonnet-4-6"
TURNS = b",".join([b'{"role":"user","content":"' + b"x" * 88 + b'"}'] * 249_000)
CHAT = b'{"model":"' + MODEL + b'","max_tokens":9,"messages":[' + TURNS + b"]}"
PARTS = b",".join([b'{"type":"input_text","text":"' + b"x" * 95 + b'"}'] * 25)
ITEM = b'{"role":"user","content":[' + PARTS + b"]}"
ITEMS = b'{"model":"' + MODEL + b'","store":false,"input":[' + b",".join([ITEM] * 9_000) + b"]}"
#: Answers that others get, of each kind, while the large request is handled: 50 or more on an idle machine, and none
#: if it holds the event loop.
FEWEST = 5
#: Seconds in which a request that has nothing to do with the large one is answered: only a hang takes longer.
HANG = 5.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("gateway")
    config, port = folder / "config.toml", free_port()
    config.write_text(CONFIG)
    process = Process(folder / "out", "serve", "--config", str(config), "--port", str(port), port=port)
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


class Asked(threading.Thread):
    """One request on a connection of its own. ``sent`` is set when all of it has been taken."""

    def __init__(self, gateway: Process, path: str, body: bytes) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=300)
        self._path, self._body = path, body
        self.sent = threading.Event()
        self.status = 0

    def run(self) -> None:
        self._connection.request("POST", self._path, self._body, {"content-type": "application/json"})
        self.sent.set()
        response = self._connection.getresponse()
        response.read()
        self.status = response.status
        self._connection.close()


def ask(gateway: Process, method: str, path: str, body: bytes | None = None) -> int:
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=HANG)
    connection.request(method, path, body, {"content-type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", CHAT), ("/v1/messages", CHAT), ("/v1/responses", ITEMS)],
    ids=["chat", "messages", "responses"],
)
def test_others_are_answered_while_a_large_request_is_handled(gateway: Process, path: str, body: bytes) -> None:
    large = Asked(gateway, path, body)
    large.start()
    assert large.sent.wait(60)
    answered = 0
    while large.is_alive():
        begin = time.monotonic()
        assert ask(gateway, "GET", "/livez") == 200
        assert ask(gateway, "POST", path, b"{") == 400
        assert time.monotonic() - begin < 2 * HANG
        if large.is_alive():  # it was not answered before them
            answered += 1
    assert large.status in (502, 503)  # it was sent, and no upstream is there
    assert answered >= FEWEST


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_more_objects_than_any_model_reads_are_refused_before_they_are_decoded(gateway: Process, path: str) -> None:
    key = b"input" if "responses" in path else b"messages"
    large = Asked(gateway, path, b'{"model":"' + MODEL + b'","' + key + b'":[' + b"{}," * 9_600_000 + b"{}]}")
    large.start()
    assert large.sent.wait(60)
    assert ask(gateway, "GET", "/livez") == 200
    large.join(60)
    assert large.status == 400

"""Risk: a process keeps the memory of a burst of large requests for as long as it runs. A real process; what counts is
its resident memory, as the kernel reports it."""

from __future__ import annotations

import http.client
import json
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.counting_upstream import CountingUpstream
from support.workers import children, until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="looks into /proc; other C libraries differ"
)

MB = 1_000_000
BODY = 8 * MB
BURST = 40
#: Requests of the burst at the same time: more than the bytes at which one is called a burst.
TOGETHER = 10


@pytest.fixture
def upstream() -> Iterator[CountingUpstream]:
    server = CountingUpstream()
    yield server
    server.close()


def body(*texts: str) -> bytes:
    turns = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)]
    return json.dumps({"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": turns}).encode()


def send(address: str, path: str, data: bytes) -> int:
    connection = http.client.HTTPConnection(address, timeout=300)
    try:
        connection.request("POST", path, data, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def resident(processes: list[int]) -> int:
    """Bytes in memory of all processes."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in processes)
    return pages * os.sysconf("SC_PAGE_SIZE")


#: What may be left. Long texts leave nothing; where another thread had a heap of its own, up to 64 MB stayed. Of many
#: small objects, Python keeps each block of 1 MB in which one still lives, such as the duration of a call.
LEFT_OF_TEXTS = 2 * BODY
LEFT_OF_OBJECTS = 128 * MB
TEXT = body("x" * BODY)
OBJECTS = body(*["x" * 60] * (BODY // 99 | 1))  # the last turn is a user's


@pytest.mark.parametrize(
    ("path", "workers", "together", "data", "left"),
    [
        pytest.param("/v1/chat/completions", 1, TOGETHER, TEXT, LEFT_OF_TEXTS, id="chat"),
        pytest.param("/v1/messages", 1, TOGETHER, TEXT, LEFT_OF_TEXTS, id="messages"),
        pytest.param("/v1/chat/completions", 1, 1, TEXT, LEFT_OF_TEXTS, id="one after another"),
        pytest.param("/v1/chat/completions", 2, TOGETHER, TEXT, LEFT_OF_TEXTS, id="two workers"),
        pytest.param("/v1/chat/completions", 1, TOGETHER, OBJECTS, LEFT_OF_OBJECTS, id="small objects"),
    ],
)
def test_the_memory_of_a_burst_is_given_back(
    tmp_path: Path, upstream: CountingUpstream, path: str, workers: int, together: int, data: bytes, left: int
) -> None:
    gateway = upstream.start_gateway(tmp_path, f"server.workers={workers}")
    try:
        address = gateway.url.removeprefix("http://")
        processes = children(gateway.pid) or [gateway.pid]
        for _ in range(40 * workers):
            assert send(address, path, body("Hi")) == 200
        before = resident(processes)
        with ThreadPoolExecutor(together) as pool:
            assert set(pool.map(lambda _: send(address, path, data), range(BURST))) == {200}
        for _ in range(20):
            assert send(address, path, body("Hi")) == 200
        until(lambda: resident(processes) < before + left)
    finally:
        gateway.stop()

"""A gateway with several workers from outside: its processes, which one serves a connection, its totals."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support.processes import Process


def children(pid: int) -> list[int]:
    """The child processes of ``pid``, without zombies, oldest first."""
    try:
        pids = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [p for p in pids if alive(p)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def listening(port: int) -> bool:
    """Whether any process accepts connections on the port, by the kernel's table."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(local.endswith(f":{port:04X}") and state == "0A" for _, local, _, state, *_ in map(str.split, lines))


def until(true: Callable[[], Any], seconds: float = 100.0) -> Any:
    """Wait until ``true`` returns a true value, and return it."""
    end = time.monotonic() + seconds
    while not (got := true()):
        assert time.monotonic() < end, f"not so after {seconds} s"
        time.sleep(0.02)
    return got


def get(url: str, *, timeout: float = 100.0) -> tuple[int, bytes]:
    """Over a connection of its own."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return response.status, response.read()
    except urllib.request.HTTPError as error:  # type: ignore[attr-defined]
        with error:
            return error.code, error.read()


def serving(gateway: Process) -> int:
    """How many workers accept requests, by what any of them says."""
    status, body = get(f"{gateway.url}/readyz")
    workers: dict[str, int] = json.loads(body)["workers"]
    return workers["ready"] if status == 200 else 0


def requests_ok(gateway: Process) -> float:
    """The sum of requests that ended well, of all workers."""
    status, text = get(f"{gateway.url}/metrics")
    assert status == 200, text
    return sum(float(v) for v in re.findall(rb'^modelmux_requests_total\{outcome="ok".*\} (\S+)$', text, re.MULTILINE))


def wait_for_requests(gateway: Process, count: int) -> None:
    """Until any worker shows ``count`` requests that ended well: what it knows of the others may be 20 ms old."""
    until(lambda: requests_ok(gateway) == count)


def say(text: str, *, stream: bool = False) -> bytes:
    message = {"role": "user", "content": f"say exactly: {text}"}
    return json.dumps(
        {"model": "claude-sonnet-4-6", "max_tokens": 1000, "stream": stream, "messages": [message]}
    ).encode()


def ask(gateway: Process, text: str = "ok", *, timeout: float = 100.0) -> int:
    """A request on a connection of its own; its status."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=timeout)
    try:
        connection.request("POST", "/v1/chat/completions", say(text), {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


class Stream:
    """A streamed response, read in a thread over a connection of its own."""

    def __init__(self, gateway: Process, text: str) -> None:
        self._connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=100)
        headers = {"content-type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", say(text, stream=True), headers)
        self.port: int = self._connection.sock.getsockname()[1]
        self._response = self._connection.getresponse()
        self.text = self._response.readline()  # it runs
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while line := self._response.readline():
                self.text += line
        except (OSError, http.client.HTTPException):
            pass  # what is missing from the text says so
        finally:
            self._connection.close()

    def end(self) -> bytes:
        """All that came."""
        self._thread.join(100)
        assert not self._thread.is_alive()
        return self.text

    @property
    def complete(self) -> bool:
        return b"data: [DONE]" in self.end() and b'"error"' not in self.text


def open_streams(gateway: Process, count: int, text: str) -> list[Stream]:
    """Streams that all run, begun together."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: Stream(gateway, text), range(count)))


def server_of(gateway: Process, streams: list[Stream], workers: list[int]) -> dict[Stream, int]:
    """Which worker serves which stream."""
    found = workers_of(gateway, [stream.port for stream in streams], workers)
    return {stream: found[stream.port] for stream in streams}


def workers_of(gateway: Process, ports: list[int], workers: list[int]) -> dict[int, int]:
    """Which worker has the connection from which port, by the kernel's table of connections."""
    port = int(gateway.url.rpartition(":")[2])
    inodes = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            inodes[int(fields[2].rpartition(":")[2], 16)] = fields[9]
    owner = {}
    for pid in workers:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                owner[str(fd.readlink())] = pid
            except OSError:
                continue  # closed meanwhile
    return {each: owner[f"socket:[{inodes[each]}]"] for each in ports}

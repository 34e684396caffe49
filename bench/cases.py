"""What is measured. Each function runs a load against a target and gives figures; what to compare is ``__main__``'s."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from bench.client import Client, Heard
from bench.processes import Measured
from bench.stats import arrivals, middle, percentile

KEY = "sk-bench"


@dataclass
class Target:
    """Something to send requests to.

    :param process: whose CPU and memory count; None where nobody's do.
    :param unary, stream: paths.
    :param headers: more of them; ``stream_headers``: those of requests for a stream, if they are others.
    """

    name: str
    url: str
    process: Measured | None
    unary: str = "/v1/chat/completions"
    stream: str = "/v1/chat/completions"
    key: str = KEY
    headers: dict[str, str] = field(default_factory=dict)
    stream_headers: dict[str, str] | None = None

    def path(self, *, stream: bool) -> str:
        return self.stream if stream else self.unary


class Closed(msgspec.Struct):
    """A closed loop's figures. CPU in microseconds a request."""

    cpu: float
    per_second: float
    failed: float
    requests: int


def closed_loop(
    target: Target, body: bytes, folder: Path, *, stream: bool, seconds: float, connections: int = 32,
    cores: str | None = None,
) -> Closed:  # fmt: skip
    """wrk, as fast as it goes. A request failed if its status was not 2xx, or it timed out."""
    headers = target.headers if not stream or target.stream_headers is None else target.stream_headers
    script = folder / "wrk.lua"
    content = folder / "body.json"
    content.write_bytes(body)
    script.write_text(
        'wrk.method = "POST"\n'
        f'wrk.headers["content-type"] = "application/json"\nwrk.headers["authorization"] = "Bearer {target.key}"\n'
        + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers.items())
        + f'local file = io.open("{content}", "rb")\nwrk.body = file:read("*a")\nfile:close()\n'
    )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "-s", str(script)]
    if cores:
        command = ["taskset", "-c", cores, *command]
    before = target.process.cpu_seconds() if target.process else 0.0
    url = target.url + target.path(stream=stream)
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    used = (target.process.cpu_seconds() if target.process else 0.0) - before
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", said)
    assert found is not None, said
    requests = int(found[1])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    failed = (int(bad[1]) if bad else 0) + (sum(map(int, errors.groups())) if errors else 0)
    return Closed(1e6 * used / max(1, requests), requests / seconds, failed / max(1, requests), requests)


class Latency(msgspec.Struct):
    """Milliseconds, from the moment each request was due."""

    p50: float
    p99: float
    failed: float


def open_loop(target: Target, body: bytes, *, rate: float, seconds: float) -> Latency:
    """Requests at a constant rate, whether the ones before are answered or not."""
    return uvloop.run(_open_loop(target, body, rate, seconds))


async def _open_loop(target: Target, body: bytes, rate: float, seconds: float) -> Latency:
    idle: list[Client] = []
    waits: list[float] = []
    failed = 0

    async def one(due: float) -> None:
        nonlocal failed
        client = idle.pop() if idle else Client(target.url, target.unary, target.key)
        heard = await client.ask(body)
        idle.append(client)
        if heard.whole:
            waits.append(heard.ended - due)
        else:
            failed += 1

    warm = [Client(target.url, target.unary, target.key) for _ in range(16)]
    await asyncio.gather(*(client.ask(body) for client in warm))
    idle += warm
    begin = time.monotonic() + 0.05
    running: set[asyncio.Task[None]] = set()
    for offset in arrivals(rate, seconds):
        due = begin + offset
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    for client in idle:
        client.close()
    total = len(waits) + failed
    return Latency(1000 * percentile(waits, 0.5), 1000 * percentile(waits, 0.99), failed / max(1, total))


class Paced(msgspec.Struct):
    """Streams at a pace. Times in milliseconds, CPU in microseconds an event, memory in bytes a stream."""

    cpu: float
    first: float
    gap_p99: float
    memory: float
    base: float
    failed: float


def paced(target: Target, body: bytes, *, streams: int, gaps: bool = True) -> Paced:
    """So many streams at once, each to its end."""
    return uvloop.run(_paced(target, body, streams, gaps=gaps))


async def _paced(target: Target, body: bytes, streams: int, *, gaps: bool) -> Paced:
    process = target.process
    base = process.memory() if process else 0
    before = process.cpu_seconds() if process else 0.0
    clients = [Client(target.url, target.stream, target.key) for _ in range(streams)]

    async def one(number: int) -> Heard:
        await asyncio.sleep(number / streams)  # spread over a second, as arrivals are
        return await clients[number].ask(body, gaps=gaps)

    running = [asyncio.create_task(one(number)) for number in range(streams)]
    await asyncio.sleep(2.0)
    open_now = process.memory() if process else 0
    heard = await asyncio.gather(*running)
    used = (process.cpu_seconds() if process else 0.0) - before
    for client in clients:
        client.close()
    whole = [h for h in heard if h.whole]
    events = sum(h.events for h in whole)
    every = [gap for h in whole for gap in h.gaps]
    return Paced(
        cpu=1e6 * used / max(1, events), first=1000 * middle([h.first - h.asked for h in whole]),
        gap_p99=1000 * percentile(every, 0.99), memory=(open_now - base) / streams, base=base,
        failed=1 - len(whole) / streams,
    )  # fmt: skip


def aborts(target: Target, body: bytes, upstream: str, *, count: int = 50) -> float:
    """Milliseconds from a client's leaving to the upstream's connection closed, the median."""
    return uvloop.run(_aborts(target, body, upstream, count))


async def _aborts(target: Target, body: bytes, upstream: str, count: int) -> float:
    def closed() -> Sequence[float]:
        with urllib.request.urlopen(f"{upstream}/closed", timeout=5) as reply:
            return msgspec.json.decode(reply.read(), type=list[float])

    known = len(await asyncio.to_thread(closed))
    left = []
    for _ in range(count):
        await Client(target.url, target.stream, target.key).ask(body, leave_after=4)
        left.append(time.monotonic())
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    times = (await asyncio.to_thread(closed))[known:]
    return 1000 * middle([at - went for went, at in zip(left, times, strict=False)])

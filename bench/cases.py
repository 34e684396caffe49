"""What is measured. Each function runs a load against a target and gives figures; what to compare is ``__main__``'s."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from bench import payloads
from bench.client import Client, Heard
from bench.processes import Measured
from bench.stats import arrivals, middle, percentile

KEY = "sk-bench"
#: Seconds after which streams that are not open count as failed.
_OPENING = 10.0


@dataclass
class Target:
    """Something to send requests to.

    :param process: whose CPU and memory count; None where nobody's do.
    :param unary, stream: paths.
    :param headers: more of them; ``stream_headers``: those of requests for a stream, if they are others.
    :param stream_model: the model to name in requests for a stream, if it is another.
    :param slow: a second of load would end with most of its work unfinished and uncounted.
    """

    name: str
    url: str
    process: Measured | None
    unary: str = "/v1/chat/completions"
    stream: str = "/v1/chat/completions"
    key: str = KEY
    headers: dict[str, str] = field(default_factory=dict)
    stream_headers: dict[str, str] | None = None
    stream_model: str | None = None
    slow: bool = False

    def path(self, *, stream: bool) -> str:
        return self.stream if stream else self.unary

    def told(self, *, stream: bool) -> dict[str, str]:
        """Headers of its own."""
        return self.headers if not stream or self.stream_headers is None else self.stream_headers

    def body(self, body: bytes, *, stream: bool) -> bytes:
        """A request as this one has to get it."""
        if not stream or self.stream_model is None:
            return body
        return body.replace(f'"{payloads.MODEL}"'.encode(), f'"{self.stream_model}"'.encode(), 1)

    def client(self, *, stream: bool) -> Client:
        return Client(self.url, self.path(stream=stream), self.key, self.told(stream=stream))


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
    script = folder / "wrk.lua"
    content = folder / "body.json"
    content.write_bytes(target.body(body, stream=stream))
    script.write_text(
        'wrk.method = "POST"\n'
        f'wrk.headers["content-type"] = "application/json"\nwrk.headers["authorization"] = "Bearer {target.key}"\n'
        + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in target.told(stream=stream).items())
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
    if not requests:
        return Closed(math.nan, 0.0, 1.0, 0)
    return Closed(1e6 * used / requests, requests / seconds, failed / requests, requests)


def counted(target: Target, body: bytes, *, stream: bool, count: int, connections: int = 32) -> Closed:
    """A closed loop of so many requests, each read to its end: nothing is under way when the CPU time is taken."""
    return uvloop.run(_counted(target, target.body(body, stream=stream), count, connections, stream=stream))


async def _counted(target: Target, body: bytes, count: int, connections: int, *, stream: bool) -> Closed:
    clients = [target.client(stream=stream) for _ in range(min(count, connections))]
    heard: list[Heard] = []

    async def one(client: Client, share: int) -> None:
        heard.extend([await client.ask(body) for _ in range(share)])
        client.close()

    shares = [count // len(clients) + (number < count % len(clients)) for number in range(len(clients))]
    before = target.process.cpu_seconds() if target.process else 0.0
    begin = time.monotonic()
    await asyncio.gather(*map(one, clients, shares))
    took = time.monotonic() - begin
    used = (target.process.cpu_seconds() if target.process else 0.0) - before
    failed = sum(not _ended(h, stream=stream) for h in heard)
    return Closed(1e6 * used / count, count / took, failed / count, count)


def _ended(heard: Heard, *, stream: bool) -> bool:
    return heard.whole and heard.error is None and (not stream or heard.events > 1)


def warm(target: Target, body: bytes, *, stream: bool, count: int = 50) -> float:
    """Ask before it counts, and look at each answer to its end, which wrk does not.

    :returns: the share that failed: no 200, or a stream without its last event.
    """
    return counted(target, body, stream=stream, count=count, connections=4).failed


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
        client = idle.pop() if idle else target.client(stream=False)
        heard = await client.ask(body)
        idle.append(client)
        if heard.whole:
            waits.append(heard.ended - due)
        else:
            failed += 1

    warm = [target.client(stream=False) for _ in range(16)]
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
    """Streams at a pace. Times in milliseconds, CPU in microseconds an event."""

    cpu: float
    first: float
    gap_p99: float
    failed: float


def paced(target: Target, body: bytes, *, streams: int, gaps: bool = True) -> Paced:
    """So many streams at once, each to its end."""
    return uvloop.run(_paced(target, target.body(body, stream=True), streams, gaps=gaps))


async def _paced(target: Target, body: bytes, streams: int, *, gaps: bool) -> Paced:
    before = target.process.cpu_seconds() if target.process else 0.0
    clients = [target.client(stream=True) for _ in range(streams)]

    async def one(number: int) -> Heard:
        await asyncio.sleep(number / streams)  # spread over a second, as arrivals are
        return await clients[number].ask(body, gaps=gaps)

    heard = await asyncio.gather(*map(one, range(streams)))
    used = (target.process.cpu_seconds() if target.process else 0.0) - before
    for client in clients:
        client.close()
    whole = [h for h in heard if _ended(h, stream=True)]
    events = sum(h.events for h in whole)
    every = [gap for h in whole for gap in h.gaps]
    return Paced(
        cpu=1e6 * used / max(1, events), first=1000 * middle([h.first - h.asked for h in whole]),
        gap_p99=1000 * percentile(every, 0.99), failed=1 - len(whole) / streams,
    )  # fmt: skip


class Steady(msgspec.Struct):
    """Many streams, all open. CPU in microseconds an event, memory in bytes: a stream's, and before there were any."""

    cpu: float
    memory: float
    base: int
    failed: float


def steady(target: Target, body: bytes, *, streams: int, seconds: float) -> Steady:
    """Open so many streams, and look only while all of them are open: none begins, none ends."""
    return uvloop.run(_steady(target, target.body(body, stream=True), streams, seconds))


async def _steady(target: Target, body: bytes, streams: int, seconds: float) -> Steady:
    assert target.process is not None
    base = target.process.memory()
    heard = [Heard() for _ in range(streams)]
    clients = [target.client(stream=True) for _ in range(streams)]

    async def one(number: int) -> None:
        await asyncio.sleep(number / 500)
        await clients[number].ask(body, into=heard[number])

    running = [asyncio.create_task(one(number)) for number in range(streams)]
    for _ in range(int(10 * (streams / 500 + _OPENING))):
        if all(h.events for h in heard):
            break
        await asyncio.sleep(0.1)
    began, before = sum(h.events for h in heard), target.process.cpu_seconds()
    await asyncio.sleep(seconds)
    used, events = target.process.cpu_seconds() - before, sum(h.events for h in heard) - began
    grown = target.process.memory() - base
    going = sum(h.events > 0 and not task.done() for h, task in zip(heard, running, strict=True))
    for client in clients:
        client.close()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return Steady(1e6 * used / max(1, events), grown / max(1, going), base, 1 - going / streams)


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
        await target.client(stream=True).ask(body, leave_after=4)
        left.append(time.monotonic())
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    times = (await asyncio.to_thread(closed))[known:]
    return 1000 * middle([at - went for went, at in zip(left, times, strict=False)])

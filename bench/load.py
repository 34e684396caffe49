"""Load generators: each function runs one kind of load against a target and returns its figures."""

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
from bench.client import Client, Response
from bench.processes import MeasuredProcess
from bench.stats import arrivals, median, percentile

KEY = "sk-bench"
#: Seconds after which streams that are not open count as failed.
_OPEN_TIMEOUT = 10.0
#: Streams opened per second when many are opened.
_OPEN_RATE = 500


@dataclass
class Target:
    """A server to send requests to.

    :param process: whose CPU and memory are measured; None if they are not.
    :param unary, stream: paths.
    :param headers: additional headers; ``stream_headers``: those of streaming requests, if different.
    :param stream_model: the model to name in streaming requests, if different.
    :param slow: the target gets a fixed number of requests: most of those sent within a second would not finish.
    """

    name: str
    url: str
    process: MeasuredProcess | None
    unary: str = "/v1/chat/completions"
    stream: str = "/v1/chat/completions"
    key: str = KEY
    headers: dict[str, str] = field(default_factory=dict)
    stream_headers: dict[str, str] | None = None
    stream_model: str | None = None
    slow: bool = False

    def path(self, *, stream: bool) -> str:
        return self.stream if stream else self.unary

    def extra_headers(self, *, stream: bool) -> dict[str, str]:
        """Headers that only this target needs."""
        return self.headers if not stream or self.stream_headers is None else self.stream_headers

    def body(self, body: bytes, *, stream: bool) -> bytes:
        """The request in the form this target needs."""
        if not stream or self.stream_model is None:
            return body
        return body.replace(f'"{payloads.MODEL}"'.encode(), f'"{self.stream_model}"'.encode(), 1)

    def client(self, *, stream: bool) -> Client:
        return Client(self.url, self.path(stream=stream), self.key, self.extra_headers(stream=stream))

    def cpu_seconds(self) -> float:
        return self.process.cpu_seconds() if self.process else 0.0


class ClosedLoop(msgspec.Struct):
    """Figures of a closed loop. CPU in microseconds per request; ``failed`` is a share."""

    cpu: float
    per_second: float
    failed: float
    requests: int


def closed_loop(
    target: Target, body: bytes, folder: Path, *, stream: bool, seconds: float, connections: int = 32,
    cores: str | None = None,
) -> ClosedLoop:  # fmt: skip
    """wrk at full speed. A request has failed if its status was not 2xx, or if it timed out."""
    script = folder / "wrk.lua"
    content = folder / "body.json"
    content.write_bytes(target.body(body, stream=stream))
    script.write_text(
        'wrk.method = "POST"\n'
        f'wrk.headers["content-type"] = "application/json"\nwrk.headers["authorization"] = "Bearer {target.key}"\n'
        + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in target.extra_headers(stream=stream).items())
        + f'local file = io.open("{content}", "rb")\nwrk.body = file:read("*a")\nfile:close()\n'
    )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "-s", str(script)]
    if cores:
        command = ["taskset", "-c", cores, *command]
    before = target.cpu_seconds()
    url = target.url + target.path(stream=stream)
    output = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    return _read_wrk(output, target.cpu_seconds() - before, seconds)


def _read_wrk(output: str, cpu: float, seconds: float) -> ClosedLoop:
    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", output)
    assert total is not None, output
    requests = int(total[1])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    failed = (int(bad[1]) if bad else 0) + (sum(map(int, errors.groups())) if errors else 0)
    if not requests:
        return ClosedLoop(math.nan, 0.0, 1.0, 0)
    return ClosedLoop(1e6 * cpu / requests, requests / seconds, failed / requests, requests)


def fixed_count(target: Target, body: bytes, *, stream: bool, count: int, connections: int = 32) -> ClosedLoop:
    """A closed loop of ``count`` requests, each read to its end: none is in flight when the CPU time is read."""
    return uvloop.run(_fixed_count(target, target.body(body, stream=stream), count, connections, stream=stream))


async def _fixed_count(target: Target, body: bytes, count: int, connections: int, *, stream: bool) -> ClosedLoop:
    clients = [target.client(stream=stream) for _ in range(min(count, connections))]
    responses: list[Response] = []

    async def send_share(client: Client, share: int) -> None:
        responses.extend([await client.send(body) for _ in range(share)])
        client.close()

    shares = [count // len(clients) + (number < count % len(clients)) for number in range(len(clients))]
    before = target.cpu_seconds()
    begin = time.monotonic()
    await asyncio.gather(*map(send_share, clients, shares))
    elapsed = time.monotonic() - begin
    cpu = target.cpu_seconds() - before
    failed = sum(not _succeeded(response, stream=stream) for response in responses)
    return ClosedLoop(1e6 * cpu / count, count / elapsed, failed / count, count)


def _succeeded(response: Response, *, stream: bool) -> bool:
    return response.complete and response.error is None and (not stream or response.events > 1)


def warm_up(target: Target, body: bytes, *, stream: bool, count: int = 50) -> float:
    """Send requests before the measurement, and check that each response is complete, which wrk does not.

    :returns: the share that failed: the status was not 200, or a stream had no last event.
    """
    return fixed_count(target, body, stream=stream, count=count, connections=4).failed


class Latency(msgspec.Struct):
    """Milliseconds since each request was due."""

    p50: float
    p99: float
    failed: float


def open_loop(target: Target, body: bytes, *, rate: float, seconds: float) -> Latency:
    """Requests at a constant rate, whether or not earlier ones have been answered."""
    return uvloop.run(_open_loop(target, body, rate, seconds))


async def _open_loop(target: Target, body: bytes, rate: float, seconds: float) -> Latency:
    idle: list[Client] = []
    latencies: list[float] = []
    failed = 0

    async def send(due: float) -> None:
        nonlocal failed
        client = idle.pop() if idle else target.client(stream=False)
        response = await client.send(body)
        idle.append(client)
        if response.complete:
            latencies.append(response.ended_at - due)
        else:
            failed += 1

    clients = [target.client(stream=False) for _ in range(16)]
    await asyncio.gather(*(client.send(body) for client in clients))
    idle += clients
    begin = time.monotonic() + 0.05
    running: set[asyncio.Task[None]] = set()
    for offset in arrivals(rate, seconds):
        due = begin + offset
        if (delay := due - time.monotonic()) > 0:
            await asyncio.sleep(delay)
        task = asyncio.create_task(send(due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    for client in idle:
        client.close()
    total = len(latencies) + failed
    return Latency(1000 * percentile(latencies, 0.5), 1000 * percentile(latencies, 0.99), failed / max(1, total))


class PacedStreams(msgspec.Struct):
    """Figures of streams with a fixed interval between events. Times in milliseconds, CPU in microseconds per event."""

    cpu: float
    first: float
    gap_p99: float
    failed: float


def paced_streams(target: Target, body: bytes, *, streams: int, gaps: bool = True) -> PacedStreams:
    """``streams`` streams at once, each read to its end."""
    return uvloop.run(_paced_streams(target, target.body(body, stream=True), streams, gaps=gaps))


async def _paced_streams(target: Target, body: bytes, streams: int, *, gaps: bool) -> PacedStreams:
    before = target.cpu_seconds()
    clients = [target.client(stream=True) for _ in range(streams)]

    async def send(number: int) -> Response:
        await asyncio.sleep(number / streams)  # spread over a second, as real arrivals are
        return await clients[number].send(body, gaps=gaps)

    responses = await asyncio.gather(*map(send, range(streams)))
    cpu = target.cpu_seconds() - before
    for client in clients:
        client.close()
    succeeded = [response for response in responses if _succeeded(response, stream=True)]
    events = sum(response.events for response in succeeded)
    all_gaps = [gap for response in succeeded for gap in response.gaps]
    return PacedStreams(
        cpu=1e6 * cpu / max(1, events),
        first=1000 * median([response.first_at - response.sent_at for response in succeeded]),
        gap_p99=1000 * percentile(all_gaps, 0.99), failed=1 - len(succeeded) / streams,
    )  # fmt: skip


class OpenStreams(msgspec.Struct):
    """Figures while many streams are open: CPU in microseconds per event, memory in bytes per stream.

    ``base_memory`` is the memory of the process before the streams were opened.
    """

    cpu: float
    memory: float
    base_memory: int
    failed: float


def open_streams(target: Target, body: bytes, *, streams: int, seconds: float) -> OpenStreams:
    """Open ``streams`` streams and measure only while all are open: none begins and none ends meanwhile."""
    return uvloop.run(_open_streams(target, target.body(body, stream=True), streams, seconds))


async def _open_streams(target: Target, body: bytes, streams: int, seconds: float) -> OpenStreams:
    assert target.process is not None
    base = target.process.memory()
    responses = [Response() for _ in range(streams)]
    clients = [target.client(stream=True) for _ in range(streams)]

    async def send(number: int) -> None:
        await asyncio.sleep(number / _OPEN_RATE)
        await clients[number].send(body, into=responses[number])

    def total_events() -> int:
        return sum(response.events for response in responses)

    tasks = [asyncio.create_task(send(number)) for number in range(streams)]
    for _ in range(int(10 * (streams / _OPEN_RATE + _OPEN_TIMEOUT))):
        if all(response.events for response in responses):
            break
        await asyncio.sleep(0.1)
    events_before, cpu_before = total_events(), target.cpu_seconds()
    await asyncio.sleep(seconds)
    cpu, events = target.cpu_seconds() - cpu_before, total_events() - events_before
    growth = target.process.memory() - base
    still_open = sum(response.events > 0 and not task.done() for response, task in zip(responses, tasks, strict=True))
    for client in clients:
        client.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return OpenStreams(1e6 * cpu / max(1, events), growth / max(1, still_open), base, 1 - still_open / streams)


def abort_delay(target: Target, body: bytes, upstream: str, *, count: int = 50) -> float:
    """Milliseconds from a client's close to the close of the upstream connection, the median."""
    return uvloop.run(_abort_delay(target, body, upstream, count))


async def _abort_delay(target: Target, body: bytes, upstream: str, count: int) -> float:
    def upstream_closes() -> Sequence[float]:
        with urllib.request.urlopen(f"{upstream}/closed", timeout=5) as reply:
            return msgspec.json.decode(reply.read(), type=list[float])

    earlier = len(await asyncio.to_thread(upstream_closes))
    client_closes = []
    for _ in range(count):
        await target.client(stream=True).send(body, close_after=4)
        client_closes.append(time.monotonic())
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    times = (await asyncio.to_thread(upstream_closes))[earlier:]
    return 1000 * median([end - begin for begin, end in zip(client_closes, times, strict=False)])

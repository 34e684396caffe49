"""``make soak``: hundreds of streams for minutes, a fault in one request of a hundred, every response as expected.

The client requests each fault in the prompt and therefore knows the right response. A single unexpected response is a
failure; so are growing memory, leaked file descriptors and requests missing from the metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.client import Client, Response
from bench.processes import MeasuredProcess, emulator, gateway

STREAMS: Final = 500
#: The share of requests with a fault, and of those that the client aborts.
FAULT_RATE: Final = 0.01
#: Tokens per second of each stream.
TOKEN_RATE: Final = 8.0
#: Bytes by which resident memory may grow between the second quarter of the run and the last.
MAX_MEMORY_GROWTH: Final = 6 * 2**20
#: File descriptors that may be open at rest: idle connections to the upstream, and those of any process.
MAX_IDLE_FILES: Final = 200
_ZERO_AT_REST: Final = ("requests_in_flight", "deployment_in_flight", "requests_queued")
QUESTION: Final = "Tell me something about the sea, the wind and the old boats in the harbour."


def _complete(response: Response) -> bool:
    return response.complete and response.error is None and not response.failure


def _stream_error(code: str) -> Callable[[Response], bool]:
    def check(response: Response) -> bool:
        return response.status == 200 and not response.complete and (response.error or {}).get("code") == code

    return check


def _status(status: int) -> Callable[[Response], bool]:
    return lambda response: response.status == status and response.error is not None


#: Directive for the emulator -> the response that a client must get.
FAULTS: Final[dict[str, Callable[[Response], bool]]] = {
    "status=529 times=1": _complete,
    "status=500 times=2": _complete,
    "reset times=1": _complete,
    "close_after_event=2 times=1": _complete,
    "html times=1": _complete,
    "status=400": _status(400),
    "status=404 shape=google": _status(404),
    "reset_after_event=6": _stream_error("upstream_broken"),
    "close_after_event=7": _stream_error("upstream_broken"),
    "truncate_after_event=6": _stream_error("upstream_broken"),
    "error_after_event=8": _stream_error("overloaded"),
    "garbage": _status(502),  # before the first content, on every attempt
}


@dataclass
class Totals:
    """Counts over all clients.

    :param requests: by fault.
    :param first_events: seconds to the first event, of requests without a fault.
    """

    requests: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    events: int = 0
    first_events: list[float] = field(default_factory=list)
    aborted: int = 0


async def send_one(client: Client, totals: Totals, rng: random.Random, number: int) -> None:
    """Send one request, perhaps with a fault, and check the response."""
    fault = rng.choice(list(FAULTS)) if rng.random() < FAULT_RATE else ""
    abort = not fault and rng.random() < FAULT_RATE
    unary = rng.random() < 0.05
    if unary and not fault.endswith(("times=1", "times=2", "status=400", "google")):
        fault = ""
    directive = f" [[emulator: {fault} key=k{number}]]" if fault else ""
    body = {"model": "claude-sonnet-4-6", "max_tokens": 400, "stream": not unary,
            "messages": [{"role": "user", "content": QUESTION + directive}]}  # fmt: skip
    response = await client.send(json.dumps(body).encode(), close_after=3 if abort and not unary else None)
    totals.events += response.events
    if abort and not unary:
        totals.aborted += 1
        return
    is_expected = FAULTS[fault] if fault else _complete
    totals.requests[fault or "no fault"] += 1
    if not is_expected(response):
        totals.unexpected.append(f"{fault or 'no fault'}: status {response.status}, complete {response.complete}, "
                                 f"error {response.error}, {response.failure}")  # fmt: skip
    if not fault and response.first_at:
        totals.first_events.append(response.first_at - response.sent_at)


async def run_client(url: str, totals: Totals, end: float, number: int) -> None:
    """Send one request after the other until the time is over."""
    rng, client = random.Random(number), Client(url)
    await asyncio.sleep(rng.random() * 5)  # spread the first requests
    count = 0
    while time.monotonic() < end:
        count += 1
        await send_one(client, totals, rng, number * 1_000_000 + count)
    client.close()


@dataclass
class ProcessSamples:
    """Resident bytes and open file descriptors, once per second; CPU seconds in total."""

    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    cpu: float = 0.0

    async def collect(self, process: MeasuredProcess, end: float) -> None:
        before = process.cpu_seconds()
        while time.monotonic() < end:
            self.memory.append(process.memory())
            self.files.append(process.files())
            await asyncio.sleep(1)
        self.cpu = process.cpu_seconds() - before


def metric(url: str, name: str) -> float:
    """The sum of a metric's samples.

    :raises ValueError: the gateway does not export this metric.
    """
    request = urllib.request.Request(f"{url}/metrics", headers={"authorization": "Bearer sk-bench"})
    with urllib.request.urlopen(request, timeout=5) as response:
        lines = response.read().decode().splitlines()
    if not any(line.startswith(f"# TYPE {name} ") for line in lines):
        raise ValueError(f"there is no metric {name}")
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


async def soak(seconds: float, streams: int) -> int:
    """Run the clients, then print a report.

    :returns: the exit status.
    """
    totals, samples = Totals(), ProcessSamples()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with emulator(home, tokens_per_second=TOKEN_RATE) as (_, upstream), gateway(home, upstream) as (process, url):
            end = time.monotonic() + seconds
            clients = [run_client(url, totals, end, number) for number in range(streams)]
            await asyncio.gather(*clients, samples.collect(process, end))
            await asyncio.sleep(1)
            metrics = {name: metric(url, f"modelmux_{name}") for name in ("requests_total", *_ZERO_AT_REST)}
            idle_files = process.files()
        return report(totals, samples, metrics, seconds, streams, idle_files)


def report(
    totals: Totals, samples: ProcessSamples, metrics: dict[str, float], seconds: float, streams: int, idle_files: int
) -> int:
    """Print the figures and the problems.

    :returns: the exit status: 1 if there are problems.
    """
    quarter = max(1, len(samples.memory) // 4)
    warm, last = (
        statistics.median(part) for part in (samples.memory[quarter : 2 * quarter], samples.memory[-quarter:])
    )
    requests = sum(totals.requests.values()) + totals.aborted
    faults = sum(count for fault, count in totals.requests.items() if fault != "no fault")
    first = sorted(totals.first_events) or [0.0]
    print(
        f"{streams} streams for {seconds:.0f} s: {requests} requests, {totals.events} events\n"
        f"  {faults} with a fault, {totals.aborted} aborted by the client\n"
        f"  first event after {1000 * first[len(first) // 2]:.0f} ms (median), "
        f"{1000 * first[int(0.99 * len(first))]:.0f} ms (99 %), including the emulator\n"
        f"  gateway: {100 * samples.cpu / seconds:.0f} % of a core, "
        f"{1e6 * samples.cpu / max(1, totals.events):.0f} us per event, including its share of the request\n"
        f"  {last / 2**20:.1f} MiB resident ({(last - warm) / 2**20:+.1f} MiB since warm-up), "
        f"at most {max(samples.files)} file descriptors, {idle_files} at rest"
    )
    for fault, count in sorted(totals.requests.items()):
        print(f"    {count:>7}  {fault}")
    problems = [f"unexpected: {message}" for message in totals.unexpected[:20]]
    if last - warm > MAX_MEMORY_GROWTH:
        problems.append(f"memory grew by {(last - warm) / 2**20:.1f} MiB")
    problems += [f"{name} is {metrics[name]:.0f} at rest" for name in _ZERO_AT_REST if metrics[name]]
    if metrics["requests_total"] != requests:
        problems.append(f"{metrics['requests_total']:.0f} requests counted of {requests}")
    if idle_files > MAX_IDLE_FILES:
        problems.append(f"{idle_files} file descriptors at rest")
    for problem in problems:
        print(f"  WRONG: {problem}")
    print(f"  {len(totals.unexpected)} unexpected responses" if problems else "  no unexpected responses, no growth")
    return 1 if problems else 0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--streams", type=int, default=STREAMS)
    options = parser.parse_args()
    sys.exit(asyncio.run(soak(options.seconds, options.streams)))


if __name__ == "__main__":
    main()

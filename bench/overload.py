"""``make overload``: what clients get at a half, one, two and four times the capacity, and after the load has fallen.

Real processes: an upstream whose calls take 200 ms, a gateway with 20 slots in front of it, and clients that arrive at
random, give up after 3 s and try again. One key wants a tenth of the capacity, another one all the rest. The same for
the queue of before. About two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.processes import MeasuredProcess, free_port

SLOTS: Final = 20
SERVICE: Final = 0.2
CAPACITY: Final = SLOTS / SERVICE
TIMES: Final = (0.5, 1.0, 2.0, 4.0)
#: Seconds after which a client gives up; how often it tries again.
PATIENCE: Final = 3.0
RETRIES: Final = 2
#: Seconds of load before anything is counted, and while it is counted.
WARM_UP: Final = 4.0
MEASURED: Final = 5.0
#: The load after the peak, in capacities, and for how many seconds.
CALM: Final = 0.6
CALM_SECONDS: Final = 5.0
SMALL: Final = 0.1
#: What the gateway promises (docs/reliability.md): goodput, seconds of the 99th percentile, seconds until recovery.
PROMISED_GOODPUT: Final = 0.85
PROMISED_LATENCY: Final = 2.0
PROMISED_RECOVERY: Final = 2.0
_STEP: Final = 0.25
_BODY: Final = json.dumps({
    "model": "claude-sonnet-4-6", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}],
}).encode()  # fmt: skip


@dataclass
class Served:
    """When requests arrived and were served, in seconds of one clock.

    :param offered: (arrival, key), without retries.
    :param served: (when, key, seconds from the start of the attempt).
    """

    offered: list[tuple[float, str]] = field(default_factory=list)
    served: list[tuple[float, str, float]] = field(default_factory=list)

    def goodput(self, begin: float, end: float, key: str | None = None) -> float:
        """Responses per second."""
        return sum(begin <= when < end and key in (None, k) for when, k, _ in self.served) / (end - begin)

    def demand(self, begin: float, end: float, key: str | None = None) -> float:
        """New requests per second."""
        return sum(begin <= when < end and key in (None, k) for when, k in self.offered) / (end - begin)

    def latency(self, begin: float, end: float, quantile: float = 0.99) -> float:
        """Seconds; infinity if nothing was served."""
        values = sorted(seconds for when, _, seconds in self.served if begin <= when < end)
        return values[int(quantile * len(values))] if values else float("inf")

    def recovery(self, fallen: float, end: float) -> float:
        """Seconds after the load has fallen until nine of ten new requests are served, from then on; infinity if that
        is not reached."""
        recovered, begin = float("inf"), end - 1.0
        while begin >= fallen:
            if self.goodput(begin, begin + 1.0) < 0.9 * CALM * CAPACITY:
                break
            recovered, begin = begin - fallen, begin - _STEP
        return max(0.0, recovered)


@dataclass(frozen=True)
class Row:
    """One line of the report; shares from 0 to 1."""

    queue: str
    times: float
    goodput: float
    waste: float
    latency: float
    fairness: float
    recovery: float | None

    @property
    def problems(self) -> list[str]:
        """Promises that were not kept, at loads above the capacity."""
        found = []
        if self.times > 1 and self.goodput < PROMISED_GOODPUT:
            found.append(f"goodput {self.goodput:.0%}")
        if self.times > 1 and self.latency >= PROMISED_LATENCY:
            found.append(f"99 % of the admitted after {self.latency:.2f} s")
        if self.recovery is not None and self.recovery > PROMISED_RECOVERY:
            found.append(f"recovery after {self.recovery:.1f} s")
        if self.fairness < PROMISED_GOODPUT:
            found.append(f"the small key got {self.fairness:.0%}")
        return found

    def __str__(self) -> str:
        recovery = "" if self.recovery is None else f"{self.recovery:.1f} s" if self.recovery < 100 else "never"
        latency = f"{self.latency:.2f} s" if self.latency < 100 else "-"
        return (
            f"{self.queue:<8} {self.times:>5.1f} {self.goodput:>9.0%} {self.waste:>7.0%} {latency:>9} "
            f"{self.fairness:>10.0%} {recovery:>10}"
        )


HEADING: Final = f"{'queue':<8} {'load':>5} {'goodput':>9} {'waste':>7} {'p99':>9} {'small key':>10} {'recovery':>10}"


async def send(port: int, key: str) -> tuple[int, float]:
    """One attempt.

    :returns: status and the seconds of ``retry-after``, 0 if there are none.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(_BODY)}\r\n\r\n"
        )
        writer.write(head.encode() + _BODY)
        lines = (await reader.read()).partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        after = [float(line[12:]) for line in lines if line.startswith(b"retry-after:")]
        return int((lines[0].split() or [b"", b"0"])[1]), after[0] if after else 0.0
    finally:
        writer.transport.abort()


async def request(port: int, key: str, result: Served, retries: int) -> None:
    """One request with its retries."""
    for _ in range(1 + retries):
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                status, after = await send(port, key)
        except (TimeoutError, OSError):
            continue
        now = time.monotonic()
        if status == 200:
            result.served.append((now, key, now - began))
            return
        await asyncio.sleep(after)


async def arrivals(port: int, key: str, rates: Sequence[tuple[float, float]], result: Served, retries: int) -> None:
    """New requests at random times.

    :param rates: seconds, and requests per second during them, one after the other.
    """
    rng, when, running = random.Random(key), time.monotonic(), set[asyncio.Task[None]]()
    for seconds, rate in rates:
        end = when + seconds
        while rate > 0 and (when := when + rng.expovariate(rate)) < end:
            await asyncio.sleep(when - time.monotonic())
            result.offered.append((time.monotonic(), key))
            task = asyncio.create_task(request(port, key, result, retries))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.sleep(end - time.monotonic())
        when = end
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def calls(port: int) -> tuple[int, int]:
    """Calls that the upstream got, and those whose client left."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/calls", timeout=5) as response:
        values = json.load(response)
    return values["calls"], values["left"]


async def measure(queue: str, times: float, gateway: int, upstream: int, retries: int) -> Row:
    """One load."""
    result, peak = Served(), WARM_UP + MEASURED
    falls = times > 1
    after = [(CALM_SECONDS, CALM - SMALL)] if falls else []
    flood = [(seconds, rate * CAPACITY) for seconds, rate in [(peak, times - SMALL), *after]]
    small = [(peak + (CALM_SECONDS if falls else 0), SMALL * CAPACITY)]
    began = time.monotonic()
    load = asyncio.gather(
        arrivals(gateway, "sk-flood", flood, result, retries), arrivals(gateway, "sk-small", small, result, retries)
    )
    await asyncio.sleep(WARM_UP)
    before = await asyncio.to_thread(calls, upstream)
    await asyncio.sleep(began + peak - 0.2 - time.monotonic())  # before those under way are given up
    after_peak = await asyncio.to_thread(calls, upstream)
    await load
    begin, end = began + WARM_UP, began + peak
    made, left = (now - then for now, then in zip(after_peak, before, strict=True))
    asked = min(CAPACITY, result.demand(begin, end))
    return Row(
        queue,
        times,
        goodput=result.goodput(begin, end) / asked,
        waste=left / max(1, made),
        latency=result.latency(begin, end),
        fairness=result.goodput(begin, end, "sk-small") / max(0.1, result.demand(begin, end, "sk-small")),
        recovery=result.recovery(end, end + CALM_SECONDS) if falls else None,
    )


@contextlib.contextmanager
def running(folder: Path, module: str, upstream: int) -> Iterator[int]:
    """A gateway.

    :param module: what is run: ``modelmux`` or the one with the queue of before.
    :returns: its port.
    """
    port = free_port()
    folder.mkdir()
    config = folder / "config.toml"
    config.write_text(
        f'[server]\nport = {port}\napi_keys = ["sk-flood", "sk-small"]\n[auth]\naccess_token = "ya29.bench"\n'
        f"[limits]\nmax_concurrent_requests = {SLOTS + 2}\n[logs]\nfile = false\n"
        f'[vertex]\nproject = "bench-project"\nlocation = "global"\nbase_url = "http://127.0.0.1:{upstream}"\n'
        '[[vertex.models]]\nname = "claude-sonnet-4-6"\nmodel = "claude-sonnet-4-6"\n'
    )
    command = [sys.executable, "-m", module, "serve", "--config", str(config)]
    process = MeasuredProcess(command, folder / "log.txt", None, PYTHONPATH=str(Path(__file__).parent.parent))
    try:
        process.wait_for(f"http://127.0.0.1:{port}/readyz")
        yield port
    finally:
        process.stop()


def report(times: Sequence[float], retries: int) -> int:
    """Measure and print.

    :returns: the exit status: 1 if a promise was not kept.
    """
    print(f"{SLOTS} slots, calls of {SERVICE:g} s: capacity {CAPACITY:.0f}/s; clients give up after {PATIENCE:g} s and "
          f"try again {retries} times\nload in capacities; p99 of the admitted\n\n{HEADING}", flush=True)  # fmt: skip
    problems = []
    with tempfile.TemporaryDirectory() as name:
        folder, upstream = Path(name), free_port()
        command = [sys.executable, "-m", "bench.slow_upstream", "--port", str(upstream), "--seconds", str(SERVICE)]
        server = MeasuredProcess(command, folder / "log.txt", None, PYTHONPATH=str(Path(__file__).parent.parent))
        try:
            server.wait_for(f"http://127.0.0.1:{upstream}/calls")
            for queue, module in (("now", "modelmux"), ("before", "bench.fifo_gateway")):
                for each in times:
                    with running(folder / f"{queue}-{each}", module, upstream) as gateway:
                        row = asyncio.run(measure(queue, each, gateway, upstream, retries))
                    print(row, flush=True)
                    problems += [f"at {each:g}: {problem}" for problem in row.problems if queue == "now"]
        finally:
            server.stop()
    for problem in problems:
        print(f"  WRONG: {problem}")
    return 1 if problems else 0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=float, nargs="*", default=list(TIMES), help="loads in capacities")
    parser.add_argument("--retries", type=int, default=RETRIES)
    options = parser.parse_args()
    sys.exit(report(options.load, options.retries))


if __name__ == "__main__":
    main()

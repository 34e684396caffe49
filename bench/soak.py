"""``make soak``: hundreds of streams for minutes, one request in a hundred struck by a fault, and nothing unexplained.

The client orders each fault itself, in the prompt, so it knows what has to come of it: every answer that differs is
unexplained, and one is enough to fail. So is memory that grows, a descriptor that stays, a request that is not counted.
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

from bench.client import Client, Heard
from bench.processes import Measured, emulator, gateway

STREAMS: Final = 500
SHARE: Final = 0.01
#: Tokens a second of each stream.
PACE: Final = 8.0
#: Bytes by which the resident memory may have grown at the end, against the time after everything was warm.
GROWTH: Final = 6 * 2**20
#: Descriptors that may be open at rest: kept connections to the upstream, and what every process has.
MOST_IDLE: Final = 200
_ZERO_AT_REST: Final = ("requests_in_flight", "deployment_in_flight", "requests_waiting")
QUESTION: Final = "Tell me something about the sea, the wind and the old boats in the harbour."


def _whole(heard: Heard) -> bool:
    return heard.whole and heard.error is None and not heard.broken


def _inside(code: str) -> Callable[[Heard], bool]:
    return lambda heard: heard.status == 200 and not heard.whole and bool(heard.error and heard.error["code"] == code)


def _refused(status: int) -> Callable[[Heard], bool]:
    return lambda heard: heard.status == status and heard.error is not None


#: Words of a directive -> what a client must see.
FAULTS: Final[dict[str, Callable[[Heard], bool]]] = {
    "status=529 times=1": _whole,
    "status=500 times=2": _whole,
    "reset times=1": _whole,
    "close_after_event=2 times=1": _whole,
    "html times=1": _whole,
    "status=400": _refused(400),
    "status=404 shape=google": _refused(404),
    "reset_after_event=6": _inside("upstream_broken"),
    "close_after_event=7": _inside("upstream_broken"),
    "truncate_after_event=6": _inside("upstream_broken"),
    "error_after_event=8": _inside("overloaded"),
    "garbage": _refused(502),  # it stands before the first content, each time
}


@dataclass
class Tally:
    """What happened."""

    outcomes: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    events: int = 0
    first: list[float] = field(default_factory=list)
    left: int = 0


async def one(client: Client, tally: Tally, dice: random.Random, number: int) -> None:
    """One request of one of the streams, and what is to be said of it."""
    fault = dice.choice(list(FAULTS)) if dice.random() < SHARE else ""
    leaves = not fault and dice.random() < SHARE
    unary = dice.random() < 0.05
    if unary and not fault.endswith(("times=1", "times=2", "status=400", "google")):
        fault = ""
    directive = f" [[emulator: {fault} key=k{number}]]" if fault else ""
    body = {"model": "claude-sonnet-4-6", "max_tokens": 400, "stream": not unary,
            "messages": [{"role": "user", "content": QUESTION + directive}]}  # fmt: skip
    heard = await client.ask(json.dumps(body).encode(), leave_after=3 if leaves and not unary else None)
    tally.events += heard.events
    if leaves and not unary:
        tally.left += 1
        return
    expected = FAULTS[fault] if fault else _whole
    tally.outcomes[fault or "no fault"] += 1
    if not expected(heard):
        tally.unexplained.append(f"{fault or 'no fault'}: status {heard.status}, whole {heard.whole}, "
                                 f"error {heard.error}, {heard.broken}")  # fmt: skip
    if not fault and heard.first:
        tally.first.append(heard.first - heard.asked)


async def stream(url: str, tally: Tally, end: float, number: int) -> None:
    dice, client = random.Random(number), Client(url)
    await asyncio.sleep(dice.random() * 5)  # not all in the same moment
    asked = 0
    while time.monotonic() < end:
        asked += 1
        await one(client, tally, dice, number * 1_000_000 + asked)
    client.close()


@dataclass
class Watched:
    """Of each second: resident bytes, descriptors."""

    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    cpu: float = 0.0

    async def watch(self, process: Measured, end: float) -> None:
        before = process.cpu_seconds()
        while time.monotonic() < end:
            self.memory.append(process.memory())
            self.files.append(process.files())
            await asyncio.sleep(1)
        self.cpu = process.cpu_seconds() - before


def metric(url: str, name: str) -> float:
    """The sum of a metric's samples."""
    asked = urllib.request.Request(f"{url}/metrics", headers={"authorization": "Bearer sk-bench"})
    with urllib.request.urlopen(asked, timeout=5) as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


async def soak(seconds: float, streams: int) -> int:
    """:returns: the exit code."""
    tally, watched = Tally(), Watched()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with emulator(home, tokens_per_second=PACE) as (_, upstream), gateway(home, upstream) as (process, url):
            end = time.monotonic() + seconds
            tasks = [asyncio.create_task(stream(url, tally, end, number)) for number in range(streams)]
            watching = asyncio.create_task(watched.watch(process, end))
            await asyncio.gather(*tasks, watching)
            await asyncio.sleep(1)
            said = {name: metric(url, f"modelmux_{name}") for name in ("requests_total", *_ZERO_AT_REST)}
            idle_files = process.files()
        return report(tally, watched, said, seconds, streams, idle_files)


def report(tally: Tally, watched: Watched, said: dict[str, float], seconds: float, streams: int, idle: int) -> int:
    """Print the figures; the exit code says whether all is as it should be."""
    quarter = max(1, len(watched.memory) // 4)
    warm, last = (
        statistics.median(part) for part in (watched.memory[quarter : 2 * quarter], watched.memory[-quarter:])
    )
    requests = sum(tally.outcomes.values()) + tally.left
    faults = sum(count for fault, count in tally.outcomes.items() if fault != "no fault")
    first = sorted(tally.first) or [0.0]
    print(
        f"{streams} streams for {seconds:.0f} s: {requests} requests, {tally.events} events\n"
        f"  {faults} struck by a fault, {tally.left} left in the middle by their client\n"
        f"  first event after {1000 * first[len(first) // 2]:.0f} ms (median), "
        f"{1000 * first[int(0.99 * len(first))]:.0f} ms (99 %), the emulator's own time included\n"
        f"  gateway: {100 * watched.cpu / seconds:.0f} % of a core, "
        f"{1e6 * watched.cpu / max(1, tally.events):.0f} us an event with all that belongs to it\n"
        f"  {last / 2**20:.1f} MiB resident ({(last - warm) / 2**20:+.1f} MiB since it was warm), "
        f"{max(watched.files)} descriptors at most, {idle} at rest"
    )
    for fault, count in sorted(tally.outcomes.items()):
        print(f"    {count:>7}  {fault}")
    problems = [f"unexplained: {what}" for what in tally.unexplained[:20]]
    if last - warm > GROWTH:
        problems.append(f"memory grew by {(last - warm) / 2**20:.1f} MiB")
    problems += [f"{name} is {said[name]:.0f} at rest" for name in _ZERO_AT_REST if said[name]]
    if said["requests_total"] != requests:
        problems.append(f"{said['requests_total']:.0f} requests counted of {requests}")
    if idle > MOST_IDLE:
        problems.append(f"{idle} descriptors at rest")
    for problem in problems:
        print(f"  WRONG: {problem}")
    print(f"  {len(tally.unexplained)} unexplained" if problems else "  all explained, nothing grows")
    return 1 if problems else 0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--streams", type=int, default=STREAMS)
    chosen = parser.parse_args()
    sys.exit(asyncio.run(soak(chosen.seconds, chosen.streams)))


if __name__ == "__main__":
    main()

"""What is compared: which load, against which targets, and under which name its figures stand in the table."""

from __future__ import annotations

import contextlib
import math
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bench import cases, nginx, payloads, peers
from bench.cases import Target
from bench.plan import Stage
from bench.processes import Measured, free_port, gateway
from bench.stats import exponent, middle

DELTAS: Final = 100
#: Seconds between the events of a paced stream.
PACE: Final = 0.02
#: Events a second of all streams together, where it is their number that varies.
TOGETHER: Final = 2_500
#: Streams of a slow target, whose core two hundred would only block.
FEW: Final = 20
ROOT: Final = Path(__file__).parents[1]


@contextlib.contextmanager
def pair(stage: Stage, upstream: str, name: str) -> Iterator[list[Target]]:
    """nginx and the gateway in front of one upstream."""
    with (
        nginx.pass_through(stage.folder, upstream, cores=stage.front, name=f"pass-{name}") as (proxy, proxy_url),
        gateway(stage.folder, upstream, cores=stage.front, name=f"gateway-{name}") as (ours, our_url),
    ):
        yield [
            Target("nginx", proxy_url, proxy, unary="/x:rawPredict", stream="/x:streamRawPredict"),
            Target("ModelMux", our_url, ours),
        ]


@contextlib.contextmanager
def with_peers(stage: Stage, upstream: str, name: str) -> Iterator[list[Target]]:
    """The two, and the other gateways that are installed and start."""
    with pair(stage, upstream, name) as ours, contextlib.ExitStack() as stack:
        found = []
        for peer in (peers.litellm, peers.portkey) if stage.plan.peers else ():
            try:
                found.append(stack.enter_context(peer(stage.folder, upstream, stage.front)))
            except (RuntimeError, OSError) as error:
                stage.remark(peer.__name__, f"does not start: {str(error)[-200:]}")
        yield ours + [target for target in found if target is not None]


def at_once(stage: Stage, targets: list[Target], mock: Target) -> None:
    """Closed loop against an upstream that answers at once, and what that upstream costs itself."""
    shapes = [("unary, 1 kB", 1_000, False), ("unary, 47 kB prompt", 47_000, False)]
    shapes += [(f"unary, {size // 1000} kB", size, False) for size in stage.plan.sizes]
    shapes += [(f"stream of {DELTAS} deltas", 1_000, True)]
    for name, size, stream in shapes:
        closed(stage, targets, name, payloads.request(size, stream=stream), stream=stream)
    for name, stream in (("a reply", False), ("a stream", True)):
        got = cases.closed_loop(
            mock, payloads.request(1_000, stream=stream), stage.folder, stream=stream, seconds=1, cores=stage.back_list
        )
        stage.remark("upstream's own cost", f"{got.cpu:.0f} us {name}")


def closed(stage: Stage, targets: list[Target], name: str, body: bytes, *, stream: bool, connections: int = 32) -> None:
    """One row of the closed loop."""
    cut = {target.name: cases.warm(target, body, stream=stream, count=8 if target.slow else 50) for target in targets}

    def one(target: Target) -> None:
        if cut[target.name] == 1.0:
            stage.note(name, "us", target.name, math.nan, 1.0)
            return
        if target.slow:
            got = cases.counted(target, body, stream=stream, count=32 if stream else 96, connections=connections)
        else:
            got = cases.closed_loop(
                target, body, stage.folder, stream=stream, seconds=stage.plan.seconds, cores=stage.back_list,
                connections=connections,
            )  # fmt: skip
        stage.note(name, "us", target.name, got.cpu, max(got.failed, cut[target.name]))

    stage.in_turns(targets, one)


def latency(stage: Stage, targets: list[Target], direct: Target) -> None:
    """Open loop: what is added to a request that goes to the upstream directly."""
    body = payloads.request(1_000, stream=False)
    for _ in range(stage.plan.runs):
        base = cases.open_loop(direct, body, rate=500, seconds=2 * stage.plan.seconds)
        for target in targets:
            got = cases.open_loop(target, body, rate=500, seconds=2 * stage.plan.seconds)
            stage.note("added at 500/s, p50", "ms", target.name, got.p50 - base.p50, got.failed)
            stage.note("added at 500/s, p99", "ms", target.name, got.p99 - base.p99, got.failed)


class Source:
    """The upstream that streams at a pace."""

    def __init__(self, stage: Stage) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "bench.paced", "--port", str(port)]
        self.process = Measured(command, stage.folder / "paced.txt", stage.back, PYTHONPATH=str(ROOT))
        self.direct = Target("direct", self.url, self.process)

    def pace(self, interval: float, deltas: int = 1_000_000) -> None:
        """For streams that begin after it."""
        urllib.request.urlopen(f"{self.url}/pace?interval={interval}&deltas={deltas}", timeout=5).close()


@contextlib.contextmanager
def source(stage: Stage) -> Iterator[Source]:
    """A source, running."""
    it = Source(stage)
    try:
        it.process.wait_for(f"{it.url}/closed")
        yield it
    finally:
        it.process.stop()


def at_a_pace(stage: Stage, source: Source) -> None:
    """Streams at 20 ms an event: CPU, what is added, and how soon an abort arrives."""
    body = payloads.request(1_000, stream=True)
    source.pace(PACE, stage.plan.deltas)
    with with_peers(stage, source.url, "paced") as targets:
        targets = [target for target in targets if cases.warm(target, body, stream=True, count=4) < 1.0]
        _paced(stage, source.direct, targets, body, stage.plan.streams)
        few = targets[:2]
        for count in stage.plan.crowds:
            _paced(stage, source.direct, few, body, count)
        if stage.plan.latency:
            for target in few:
                took = cases.aborts(target, body, source.url)
                stage.note("client's abort reaches upstream", "ms", target.name, took)


def _paced(stage: Stage, direct: Target, targets: list[Target], body: bytes, streams: int) -> None:
    own = []
    for _ in range(stage.plan.paced_runs):
        base = cases.paced(direct, body, streams=streams)
        own.append(base.cpu)
        for target in targets:
            got = cases.paced(target, body, streams=min(FEW, streams) if target.slow else streams)
            stage.note(f"paced event, {streams} streams", "us", target.name, got.cpu, got.failed)
            # Beyond the usual number, load and upstream fill their core, and what is added would be their doing.
            if stage.plan.latency and not target.slow and streams <= stage.plan.streams:
                stage.note(f"added to the first event, {streams} streams", "ms", target.name, got.first - base.first)
                stage.note(
                    f"added to the gap, p99, {streams} streams", "ms", target.name, got.gap_p99 - base.gap_p99
                )  # fmt: skip
    stage.remark("upstream's own cost", f"{middle(own):.0f} us an event among {streams} streams")
    if any(target.slow for target in targets):
        stage.remark("fewer paced streams", f"{FEW} for LiteLLM, whose core more would only block")


def open_streams(stage: Stage, source: Source) -> None:
    """What a stream that is open takes, and whether an event costs the same however many there are."""
    body = payloads.request(1_000, stream=True)
    counts = [50, 200, 1000, 2000] if stage.plan.growth else []
    for count in dict.fromkeys([stage.plan.open_streams, *counts]):
        with pair(stage, source.url, f"open-{count}") as targets:
            for target in targets:
                source.pace(0.001, 10)
                cases.warm(target, body, stream=True)
                source.pace(count / TOGETHER)
                got = cases.steady(target, body, streams=count, seconds=2 * stage.plan.seconds)
                if count in counts:
                    stage.note(f"event, {count} streams, {TOGETHER}/s in all", "us", target.name, got.cpu, got.failed)
                if count == stage.plan.open_streams:
                    stage.note(f"memory of a stream, {count} open", "kB", target.name, got.memory / 1000, got.failed)
                    stage.note("memory before", "MB", target.name, got.base / 1e6)
    for name in ("nginx", "ModelMux") if counts else ():
        costs = [middle(stage.rows[f"event, {count} streams, {TOGETHER}/s in all"].values[name]) for count in counts]
        stage.note("an event's cost as streams grow, 50 to 2000", "exponent", name, exponent(counts, costs))


def growth(stage: Stage, target: Target) -> None:
    """How cost grows: 1 is linear in the size, 0 does not grow."""
    _grows(stage, target, "the prompt grows, 10 kB to 1 MB", [1_000, 10_000, 100_000, 1_000_000],
           lambda size: payloads.request(size, stream=False))  # fmt: skip
    _grows(stage, target, "the history grows, 10 to 500", [1, 10, 100, 500],
           lambda count: payloads.request(200 * count, stream=False, messages=count))  # fmt: skip


def _grows(stage: Stage, target: Target, name: str, amounts: list[int], body: Callable[[int], bytes]) -> None:
    costs = [
        cases.closed_loop(
            target, body(amount), stage.folder, stream=False, seconds=2 * stage.plan.seconds, connections=8,
            cores=stage.back_list,
        ).cpu
        for amount in amounts
    ]  # fmt: skip
    # A constant belongs to every request: what is fitted is what the amount adds to it.
    grown = exponent(amounts[1:], [cost - costs[0] for cost in costs[1:]])
    stage.note(f"cost as {name}", "exponent", target.name, grown)


def crowds(stage: Stage, deltas: int = 300) -> None:
    """Sizes times connections, replies at once: requests, and streams at full speed."""
    with (
        nginx.mock(stage.folder, deltas=deltas, cores=stage.back, name="mock-crowds") as (_, mock),
        pair(stage, mock, "crowds") as targets,
    ):
        for size in (1_000, *stage.plan.sizes):
            for count in stage.plan.crowds:
                for stream, what in ((False, "unary"), (True, f"stream of {deltas}")):
                    body = payloads.request(size, stream=stream)
                    name = f"{what}, {size // 1000} kB, {count} at once"
                    closed(stage, targets, name, body, stream=stream, connections=count)

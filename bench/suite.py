"""The benchmarks: which load is applied to which targets, and the name of the row that holds the figures."""

from __future__ import annotations

import contextlib
import math
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench import load, nginx, payloads, peers
from bench.load import ClosedLoop, PacedStreams, Target
from bench.plan import Plan
from bench.processes import MeasuredProcess, free_port, gateway
from bench.session import Session
from bench.stats import exponent, median

DELTAS: Final = 100
RELAYED_DELTAS: Final = 200
TRANSLATED_ROW: Final = f"stream of {RELAYED_DELTAS} deltas, translated"
RELAYED_ROW: Final = f"stream of {RELAYED_DELTAS} deltas, relayed"
RESPONSES_ROW: Final = f"stream of {RELAYED_DELTAS} deltas, Responses"
#: A stream of the Responses API may cost so much more than the same one of Chat Completions: each of its events has a
#: name, a number and the id of its item.
RESPONSES_TIMES: Final = 1.3
#: Seconds between the events of a paced stream.
EVENT_INTERVAL: Final = 0.02
#: Events per second over all streams, where only the number of streams varies.
TOTAL_EVENT_RATE: Final = 2_500
#: Paced streams for a slow target: two hundred would only saturate its core.
SLOW_TARGET_STREAMS: Final = 20
ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class ClosedLoopCase:
    """A row of the closed loop. ``size`` is that of the request, in bytes."""

    name: str
    size: int
    stream: bool

    @property
    def body(self) -> bytes:
        return payloads.request(self.size, stream=self.stream)


def closed_loop_cases(plan: Plan) -> list[ClosedLoopCase]:
    """The closed-loop rows of a plan."""
    return [
        ClosedLoopCase("unary, 1 kB", 1_000, stream=False),
        ClosedLoopCase("unary, 47 kB prompt", 47_000, stream=False),
        *(ClosedLoopCase(f"unary, {size // 1000} kB", size, stream=False) for size in plan.sizes),
        ClosedLoopCase(f"stream of {DELTAS} deltas", 1_000, stream=True),
    ]


def paced_row(streams: int) -> str:
    """The name of the row with the cost of a paced event."""
    return f"paced event, {streams} streams"


@contextlib.contextmanager
def with_baseline(session: Session, upstream: str, name: str) -> Iterator[list[Target]]:
    """nginx and the gateway in front of the same upstream."""
    with (
        nginx.pass_through(session.folder, upstream, cores=session.front, name=f"pass-{name}") as (proxy, proxy_url),
        gateway(session.folder, upstream, cores=session.front, name=f"gateway-{name}") as (modelmux, modelmux_url),
    ):
        yield [
            Target("nginx", proxy_url, proxy, unary="/x:rawPredict", stream="/x:streamRawPredict"),
            Target("ModelMux", modelmux_url, modelmux),
        ]


@contextlib.contextmanager
def with_peers(session: Session, upstream: str, name: str) -> Iterator[list[Target]]:
    """nginx, the gateway, and the other gateways that are installed and start."""
    with with_baseline(session, upstream, name) as targets, contextlib.ExitStack() as stack:
        peer_targets = []
        for peer in (peers.litellm, peers.portkey) if session.plan.peers else ():
            try:
                peer_targets.append(stack.enter_context(peer(session.folder, upstream, session.front)))
            except (RuntimeError, OSError) as error:
                session.remark(peer.__name__, f"does not start: {str(error)[-200:]}")
        yield targets + [target for target in peer_targets if target is not None]


def closed_loops(session: Session, targets: list[Target], mock: Target) -> None:
    """Closed loop against an upstream that replies immediately, and the cost of that upstream itself."""
    for case in closed_loop_cases(session.plan):
        closed_loop_row(session, targets, case.name, case.body, stream=case.stream)
    for name, stream in (("a reply", False), ("a stream", True)):
        figures = load.closed_loop(
            mock, payloads.request(1_000, stream=stream), session.folder, stream=stream, seconds=1,
            cores=session.back_list,
        )  # fmt: skip
        session.remark("upstream's own cost", f"{figures.cpu:.0f} us {name}")


def dialects(session: Session, deltas: int = RELAYED_DELTAS) -> None:
    """What the other dialects cost in comparison with Chat Completions: the same reply to all of them."""
    with (
        nginx.mock(session.folder, deltas=deltas, cores=session.back, name="mock-relayed") as (_, mock),
        with_baseline(session, mock, "relayed") as (proxy, modelmux),
    ):
        native = replace(modelmux, unary="/v1/messages", stream="/v1/messages")
        responses = replace(modelmux, unary="/v1/responses", stream="/v1/responses")
        streams = [
            (TRANSLATED_ROW, modelmux, payloads.request(1_000, stream=True)),
            (RELAYED_ROW, native, payloads.messages_request(1_000, stream=True)),
            (RESPONSES_ROW, responses, payloads.responses_request(1_000, stream=True, store=False)),
            (f"{RESPONSES_ROW}, stored", responses, payloads.responses_request(1_000, stream=True, store=True)),
        ]
        # All rows in turn, because they are compared with each other.
        closed_loop_rows(
            session,
            [(name, target, body) for name, dialect, body in streams for target in (proxy, dialect)],
            stream=True,
        )
        prompt = payloads.messages_request(47_000, stream=False)
        closed_loop_row(session, [proxy, native], "unary, 47 kB prompt, relayed", prompt, stream=False)


def closed_loop_run(
    session: Session, target: Target, body: bytes, *, stream: bool, connections: int = 32
) -> ClosedLoop:
    """One run of a closed loop."""
    if target.slow:
        return load.fixed_count(target, body, stream=stream, count=32 if stream else 96, connections=connections)
    return load.closed_loop(
        target, body, session.folder, stream=stream, seconds=session.plan.seconds, cores=session.back_list,
        connections=connections,
    )  # fmt: skip


def closed_loop_row(
    session: Session, targets: list[Target], name: str, body: bytes, *, stream: bool, connections: int = 32
) -> None:
    """One row of the closed loop."""
    closed_loop_rows(session, [(name, target, body) for target in targets], stream=stream, connections=connections)


def closed_loop_rows(
    session: Session, cells: Sequence[tuple[str, Target, bytes]], *, stream: bool, connections: int = 32
) -> None:
    """Rows of the closed loop, measured in turn.

    :param cells: name of the row, target, body.
    """
    failed = {
        (name, target.name): load.warm_up(target, body, stream=stream, count=8 if target.slow else 50)
        for name, target, body in cells
    }

    def measure(cell: tuple[str, Target, bytes]) -> None:
        name, target, body = cell
        if failed[name, target.name] == 1.0:
            session.record(name, "us", target.name, math.nan, 1.0)
            return
        figures = closed_loop_run(session, target, body, stream=stream, connections=connections)
        session.record(name, "us", target.name, figures.cpu, max(figures.failed, failed[name, target.name]))

    session.alternate(cells, measure)


def added_latency(session: Session, targets: list[Target], direct: Target) -> None:
    """Open loop: the time added to a request in comparison with one sent to the upstream directly."""
    body = payloads.request(1_000, stream=False)
    for _ in range(session.plan.runs):
        base = load.open_loop(direct, body, rate=500, seconds=2 * session.plan.seconds)
        for target in targets:
            figures = load.open_loop(target, body, rate=500, seconds=2 * session.plan.seconds)
            session.record("added at 500/s, p50", "ms", target.name, figures.p50 - base.p50, figures.failed)
            session.record("added at 500/s, p99", "ms", target.name, figures.p99 - base.p99, figures.failed)


class PacedUpstream:
    """The upstream that streams events at a fixed interval."""

    def __init__(self, folder: Path, cores: set[int] | None) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "bench.paced_upstream", "--port", str(port)]
        self.process = MeasuredProcess(command, folder / "paced.txt", cores, PYTHONPATH=str(ROOT))
        self.direct = Target("direct", self.url, self.process)

    def set_pace(self, interval: float, deltas: int = 1_000_000) -> None:
        """Set interval and length of the streams that begin afterwards."""
        urllib.request.urlopen(f"{self.url}/pace?interval={interval}&deltas={deltas}", timeout=5).close()


@contextlib.contextmanager
def paced_upstream(folder: Path, cores: set[int] | None) -> Iterator[PacedUpstream]:
    """A running upstream."""
    upstream = PacedUpstream(folder, cores)
    try:
        upstream.process.wait_for(f"{upstream.url}/closed")
        yield upstream
    finally:
        upstream.process.stop()


def paced_streams(session: Session, upstream: PacedUpstream) -> None:
    """Streams with 20 ms between events: CPU, added latency, and the delay of an abort."""
    body = payloads.request(1_000, stream=True)
    upstream.set_pace(EVENT_INTERVAL, session.plan.deltas)
    with with_peers(session, upstream.url, "paced") as targets:
        targets = [target for target in targets if load.warm_up(target, body, stream=True, count=4) < 1.0]
        _paced_rows(session, upstream.direct, targets, body, session.plan.streams)
        for count in session.plan.connections:
            _paced_rows(session, upstream.direct, targets[:2], body, count)
        if session.plan.latency:
            for target in targets[:2]:
                delay = load.abort_delay(target, body, upstream.url)
                session.record("client abort to upstream close", "ms", target.name, delay)


def paced_run(target: Target, body: bytes, streams: int) -> PacedStreams:
    """One run of paced streams."""
    return load.paced_streams(target, body, streams=min(SLOW_TARGET_STREAMS, streams) if target.slow else streams)


def _paced_rows(session: Session, direct: Target, targets: list[Target], body: bytes, streams: int) -> None:
    upstream_costs = []
    for _ in range(session.plan.paced_runs):
        base = load.paced_streams(direct, body, streams=streams)
        upstream_costs.append(base.cpu)
        for target in targets:
            figures = paced_run(target, body, streams)
            session.record(paced_row(streams), "us", target.name, figures.cpu, figures.failed)
            # With more streams, load generator and upstream saturate their core and would cause most of the delay.
            if session.plan.latency and not target.slow and streams <= session.plan.streams:
                first, gap = figures.first - base.first, figures.gap_p99 - base.gap_p99
                session.record(f"added to the first event, {streams} streams", "ms", target.name, first)
                session.record(f"added to the gap, p99, {streams} streams", "ms", target.name, gap)
    session.remark("upstream's own cost", f"{median(upstream_costs):.0f} us an event with {streams} streams")
    if any(target.slow for target in targets):
        session.remark("fewer paced streams", f"{SLOW_TARGET_STREAMS} for LiteLLM: more would only saturate its core")


def open_streams(session: Session, upstream: PacedUpstream) -> None:
    """The memory of an open stream, and whether the cost of an event depends on the number of streams."""
    body = payloads.request(1_000, stream=True)
    counts = [50, 200, 1000, 2000] if session.plan.growth else []

    def event_row(count: int) -> str:
        return f"event, {count} streams, {TOTAL_EVENT_RATE}/s in total"

    for count in dict.fromkeys([session.plan.open_streams, *counts]):
        with with_baseline(session, upstream.url, f"open-{count}") as targets:
            for target in targets:
                upstream.set_pace(0.001, 10)
                load.warm_up(target, body, stream=True)
                upstream.set_pace(count / TOTAL_EVENT_RATE)
                figures = load.open_streams(target, body, streams=count, seconds=2 * session.plan.seconds)
                if count in counts:
                    session.record(event_row(count), "us", target.name, figures.cpu, figures.failed)
                if count == session.plan.open_streams:
                    name = f"memory per stream, {count} open"
                    session.record(name, "kB", target.name, figures.memory / 1000, figures.failed)
                    session.record("memory without streams", "MB", target.name, figures.base_memory / 1e6)
    for target_name in ("nginx", "ModelMux") if counts else ():
        costs = [median(session.rows[event_row(count)].values[target_name]) for count in counts]
        session.record("cost of an event, 50 to 2000 streams", "exponent", target_name, exponent(counts, costs))


def growth(session: Session, target: Target) -> None:
    """How cost grows: 1 is linear in the size, 0 is constant."""
    _growth_row(session, target, "prompt from 10 kB to 1 MB", [1_000, 10_000, 100_000, 1_000_000],
                lambda size: payloads.request(size, stream=False))  # fmt: skip
    _growth_row(session, target, "history from 10 to 500 messages", [1, 10, 100, 500],
                lambda count: payloads.request(200 * count, stream=False, messages=count))  # fmt: skip


def _growth_row(session: Session, target: Target, name: str, amounts: list[int], body: Callable[[int], bytes]) -> None:
    costs = [
        load.closed_loop(
            target, body(amount), session.folder, stream=False, seconds=2 * session.plan.seconds, connections=8,
            cores=session.back_list,
        ).cpu
        for amount in amounts
    ]  # fmt: skip
    # Every request has a constant cost: the exponent is that of the cost in excess of the smallest request.
    slope = exponent(amounts[1:], [cost - costs[0] for cost in costs[1:]])
    session.record(f"cost, {name}", "exponent", target.name, slope)


def connection_counts(session: Session, deltas: int = 300) -> None:
    """Every size at every number of connections, replies sent immediately: unary, and streams at full speed."""
    with (
        nginx.mock(session.folder, deltas=deltas, cores=session.back, name="mock-connections") as (_, mock),
        with_baseline(session, mock, "connections") as targets,
    ):
        for size in (1_000, *session.plan.sizes):
            for count in session.plan.connections:
                for stream, kind in ((False, "unary"), (True, f"stream of {deltas}")):
                    body = payloads.request(size, stream=stream)
                    name = f"{kind}, {size // 1000} kB, {count} connections"
                    closed_loop_row(session, targets, name, body, stream=stream, connections=count)

"""``python -m bench``: the gateway beside a dumb nginx, same upstream, same load, same cores, in one run.

python -m bench run [--quick|--full] [--out FILE]    measure and print the table
python -m bench check                                fail if a ratio to nginx is worse than the stored one
python -m bench publish FILE                         put a result into README.md and docs/benchmarks.md
python -m bench profile unary|stream [--native]      where the gateway's time goes (needs py-spy)
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import cases, nginx, payloads, peers, report
from bench.cases import Target
from bench.processes import Measured, free_port, gateway, halves
from bench.profiling import profile
from bench.stats import exponent

ROOT: Final = Path(__file__).parents[1]
STORED: Final = ROOT / "bench" / "baseline.json"
DELTAS: Final = 100


@dataclass
class Plan:
    """How much is measured."""

    runs: int = 3
    seconds: float = 2.0
    streams: int = 200
    open_streams: int = 1000
    sizes: tuple[int, ...] = (40_000, 115_000, 400_000)
    growth: bool = False
    peers: bool = True


PLANS: Final = {
    "quick": Plan(runs=3, seconds=1.0, streams=0, open_streams=0, sizes=(40_000,), peers=False),
    "usual": Plan(),
    "full": Plan(runs=5, seconds=4.0, growth=True),
}


@dataclass
class Stage:
    """Where it is measured.

    :param front: the cores of what is measured; ``back``: of load and upstream. None where there is one core only.
    """

    folder: Path
    plan: Plan
    front: set[int] | None
    back: set[int] | None
    rows: dict[str, report.Row] = field(default_factory=dict)

    @property
    def back_list(self) -> str | None:
        return ",".join(map(str, sorted(self.back))) if self.back else None

    def note(self, name: str, unit: str, target: str, value: float, failed: float = 0.0) -> None:
        row = self.rows.setdefault(name, report.Row(name, unit, defaultdict(list), {}))
        row.values.setdefault(target, []).append(value)
        row.failed[target] = max(row.failed.get(target, 0.0), failed)
        report.say(f"  {name}: {target} {value:.4g} {unit}" + (f", {100 * failed:.2f} % failed" if failed else ""))


def in_turns(stage: Stage, targets: list[Target], measure: Callable[[Target], None]) -> None:
    """Every run measures all targets, one after the other: what changes on the machine changes for all."""
    for _ in range(stage.plan.runs):
        for target in targets:
            measure(target)


def at_once(stage: Stage, targets: list[Target]) -> None:
    """Closed loop against an upstream that answers at once."""
    shapes = [("unary, 1 kB", 1_000, False), ("unary, 47 kB prompt", 47_000, False)]
    shapes += [(f"unary, {size // 1000} kB", size, False) for size in stage.plan.sizes]
    shapes += [(f"stream of {DELTAS} deltas", 1_000, True)]
    for name, size, stream in shapes:
        body = payloads.request(size, stream=stream)

        def one(target: Target, name: str = name, body: bytes = body, stream: bool = stream) -> None:
            if target.name == "LiteLLM" and stream:
                body = body.replace(b'"claude-sonnet-4-6"', b'"streamed"')
            got = cases.closed_loop(
                target, body, stage.folder, stream=stream, seconds=stage.plan.seconds, cores=stage.back_list
            )
            stage.note(name, "us", target.name, got.cpu, got.failed)

        in_turns(stage, targets, one)


def latency(stage: Stage, targets: list[Target], mock: str) -> None:
    """Open loop: what the gateway adds to a request that goes to the upstream directly."""
    body = payloads.request(1_000, stream=False)
    direct = Target("direct", mock, None, unary="/x:rawPredict")
    for _ in range(stage.plan.runs):
        base = cases.open_loop(direct, body, rate=500, seconds=2 * stage.plan.seconds)
        for target in targets:
            got = cases.open_loop(target, body, rate=500, seconds=2 * stage.plan.seconds)
            stage.note("added at 500/s, p50", "ms", target.name, got.p50 - base.p50, got.failed)
            stage.note("added at 500/s, p99", "ms", target.name, got.p99 - base.p99, got.failed)


def at_a_pace(stage: Stage) -> None:
    """Streams at 20 ms an event: CPU, what is added, memory, and how soon an abort arrives."""
    plan, port = stage.plan, free_port()
    upstream = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "bench.paced", "--port", str(port), "--deltas", "200"]
    source = Measured(command, stage.folder / "paced.txt", stage.back, PYTHONPATH=str(ROOT))
    try:
        source.wait_for(f"{upstream}/closed")
        body = payloads.request(1_000, stream=True)
        direct = Target("direct", upstream, None)
        with _pair(stage, upstream, "paced") as targets:
            for _ in range(max(1, plan.runs - 1)):
                base = cases.paced(direct, body, streams=plan.streams)
                for target in targets:
                    got = cases.paced(target, body, streams=plan.streams)
                    stage.note(f"paced event, {plan.streams} streams", "us", target.name, got.cpu, got.failed)
                    stage.note("added to the first event", "ms", target.name, got.first - base.first)
                    stage.note("added to the gap, p99", "ms", target.name, got.gap_p99 - base.gap_p99)
            for target in targets:
                stage.note("client's abort reaches upstream", "ms", target.name, cases.aborts(target, body, upstream))
        if plan.growth:
            _events_as_streams_grow(stage, upstream, body)
        with _pair(stage, upstream, "many") as targets:
            for target in targets:
                got = cases.paced(target, body, streams=plan.open_streams, gaps=False)
                stage.note(
                    f"memory of a stream, {plan.open_streams} open", "kB", target.name, got.memory / 1000, got.failed
                )
                stage.note("memory before", "MB", target.name, got.base / 1e6)
    finally:
        source.stop()


def _events_as_streams_grow(stage: Stage, upstream: str, body: bytes) -> None:
    """An event has to cost the same among two thousand streams as among a few."""
    counts = [50, 200, 1000, 2000]
    with _pair(stage, upstream, "grow") as targets:
        for target in targets:
            got = [cases.paced(target, body, streams=count, gaps=False) for count in counts]
            for count, figure in zip(counts, got, strict=True):
                stage.note(f"paced event among {count} streams", "us", target.name, figure.cpu, figure.failed)
            stage.note(
                "cost as streams grow, 50 to 2000", "exponent", target.name, exponent(counts, [f.cpu for f in got])
            )


def growth(stage: Stage, target: Target) -> None:
    """How cost grows: 1 is linear in the size, 0 does not grow."""
    sizes = [1_000, 10_000, 100_000, 1_000_000]
    costs = [_cpu(stage, target, payloads.request(size, stream=False)) for size in sizes]
    # A constant belongs to every request: what is fitted is what a prompt adds to it.
    stage.note(
        "cost as the prompt grows, 10 kB to 1 MB",
        "exponent",
        target.name,
        exponent(sizes[1:], [c - costs[0] for c in costs[1:]]),
    )
    counts = [1, 10, 100, 500]
    costs = [_cpu(stage, target, payloads.request(200 * count, stream=False, messages=count)) for count in counts]
    stage.note(
        "cost as the history grows, 10 to 500",
        "exponent",
        target.name,
        exponent(counts[1:], [c - costs[0] for c in costs[1:]]),
    )


def _cpu(stage: Stage, target: Target, body: bytes) -> float:
    got = cases.closed_loop(
        target, body, stage.folder, stream=False, seconds=stage.plan.seconds, connections=8, cores=stage.back_list
    )
    return got.cpu


@contextlib.contextmanager
def _pair(stage: Stage, upstream: str, name: str) -> Iterator[list[Target]]:
    """nginx and the gateway in front of one upstream."""
    with (
        nginx.pass_through(stage.folder, upstream, cores=stage.front, name=f"pass-{name}") as (proxy, proxy_url),
        gateway(stage.folder, upstream, cores=stage.front, name=f"gateway-{name}") as (ours, our_url),
    ):
        yield [
            Target("nginx", proxy_url, proxy, unary="/x:rawPredict", stream="/x:streamRawPredict"),
            Target("ModelMux", our_url, ours),
        ]


def measure(plan: Plan) -> report.Result:
    """One run of the whole."""
    everywhere = sorted(os.sched_getaffinity(0))
    front, back = halves()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), plan, front, back)
        if back:
            os.sched_setaffinity(0, back)
        with (
            nginx.mock(stage.folder, deltas=DELTAS, cores=back) as (_, mock),
            _pair(stage, mock, "at-once") as pair,
            contextlib.ExitStack() as stack,
        ):
            targets = list(pair)
            if plan.peers:
                for peer in (peers.litellm, peers.portkey):
                    try:
                        found = stack.enter_context(peer(stage.folder, mock, front))
                    except (RuntimeError, OSError) as error:
                        report.say(f"  {peer.__name__} does not start: {error}")
                        continue
                    targets += [found] if found else []
            at_once(stage, targets)
            if plan.streams:
                latency(stage, pair, mock)
            if plan.growth:
                growth(stage, pair[1])
        if plan.streams:
            at_a_pace(stage)
    cores = f"{len(everywhere)}; measured ones on {front}, load and upstream on {back}" if front else "one for all"
    about = report.about(ROOT, plan.runs, plan.seconds, cores) | (peers.versions() if plan.peers else {})
    return report.Result(about, list(stage.rows.values()))


def check() -> int:
    """:returns: the exit code: 1 if something is slower than it was."""
    now = measure(PLANS["quick"])
    print(report.table(now))
    if not STORED.exists():
        print(f"nothing is stored in {STORED.name} to compare with")
        return 1
    found = report.worse(now, report.read(STORED))
    for line in found:
        print(f"WORSE: {line}")
    return 1 if found else 0


def publish(path: Path) -> None:
    """Put a result into the pages."""
    result = report.read(path)
    (ROOT / "docs" / "benchmarks.svg").write_text(report.drawing(result))
    for page in (ROOT / "README.md", ROOT / "docs" / "benchmarks.md"):
        page.write_text(report.insert(page.read_text("utf-8"), report.table(result)), "utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["run", "check", "publish", "profile"])
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--native", action="store_true", help="profile: C functions by their own names")
    chosen = parser.parse_args()
    if chosen.command == "publish":
        publish(Path(chosen.what))
        return
    missing = [name for name in ("nginx", "wrk") if not shutil.which(name, path=f"{os.environ.get('PATH')}:/usr/sbin")]
    if missing:
        sys.exit(f"{' and '.join(missing)} must be installed: apt-get install nginx-light wrk")
    if chosen.command == "profile":
        profile(stream=chosen.what == "stream", native=chosen.native)
    elif chosen.command == "check":
        sys.exit(check())
    else:
        result = measure(PLANS["quick" if chosen.quick else "full" if chosen.full else "usual"])
        print(report.table(result))
        report.write(chosen.out or ROOT / "bench" / "results" / "latest.json", result)


if __name__ == "__main__":
    main()

"""``python -m bench``: the gateway in comparison with nginx, with the same upstream, load and cores, in one run.

python -m bench run [--quick|--full] [--out FILE]    measure and print the table
python -m bench check                                fail if a ratio to nginx is worse than the stored one
python -m bench publish FILE                         insert a result into README.md and docs/benchmarks.md
python -m bench layers                               what each layer adds to the cost of a request
python -m bench profile unary|stream [--native]      where the gateway's CPU time goes (needs py-spy)
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench import machine, nginx, peers, report, suite
from bench.layers import measure_layers
from bench.load import Target
from bench.plan import PLANS, Plan, Session
from bench.processes import split_cores
from bench.profiling import profile

ROOT: Final = Path(__file__).parents[1]
STORED: Final = ROOT / "bench" / "baseline.json"
#: Cores kept busy by other processes, above which figures are not reliable.
MAX_BUSY_CORES: Final = 0.1


def measure(plan: Plan) -> report.Result:
    """Execute a plan."""
    cores = len(os.sched_getaffinity(0))
    front, back = split_cores()
    with machine.exclusive(), tempfile.TemporaryDirectory() as folder:
        busy = machine.busy_cores()
        if busy > MAX_BUSY_CORES:
            report.progress(f"other processes keep {busy:.1f} cores busy: figures will be too high")
        session = Session(Path(folder), plan, front, back)
        if back:
            os.sched_setaffinity(0, back)
        _measure_all(session)
    placement = f"{cores}; measured processes on {front}, load and upstream on {back}" if front else "one for all"
    about = report.about(ROOT, plan.runs, plan.seconds, placement) | (peers.versions() if plan.peers else {})
    about |= session.remarks | {"busy with other processes at the start": f"{busy:.2f} cores"}
    return report.Result(about, list(session.rows.values()))


def _measure_all(session: Session) -> None:
    plan = session.plan
    with (
        nginx.mock(session.folder, deltas=suite.DELTAS, cores=session.back) as (process, mock),
        suite.with_peers(session, mock, "closed-loop") as targets,
    ):
        direct = Target("direct", mock, process, unary="/x:rawPredict", stream="/x:streamRawPredict")
        suite.closed_loops(session, targets, direct)
        if plan.latency:
            suite.added_latency(session, targets[:2], direct)
        if plan.growth:
            suite.growth(session, targets[1])
    with suite.paced_upstream(session.folder, session.back) as upstream:
        suite.paced_streams(session, upstream)
        if plan.open_streams:
            suite.open_streams(session, upstream)
    if plan.connections:
        suite.connection_counts(session)


def check() -> int:
    """Compare with the stored figures.

    :returns: the exit status: 1 if a ratio is worse in two measurements in a row.
    """
    if not STORED.exists():
        print(f"error: there are no stored figures to compare with\nhint: python -m bench run --quick --out {STORED}")
        return 1
    stored, regressions = report.read(STORED), dict[str, str]()
    for _ in range(2):
        result = measure(PLANS["quick"])
        print(report.table(result))
        messages = report.regressions(result, stored)
        regressions = {row: text for row, text in messages.items() if not regressions or row in regressions}
        if not regressions:
            return 0
    for message in regressions.values():
        print(f"WORSE: {message}")
    return 1


def publish(path: Path) -> None:
    """Insert a result into the pages."""
    result = report.read(path)
    (ROOT / "docs" / "benchmarks.svg").write_text(report.chart(result))
    for page in (ROOT / "README.md", ROOT / "docs" / "benchmarks.md"):
        page.write_text(report.replace_block(page.read_text("utf-8"), report.table(result)), "utf-8")


def run(plan: Plan, out: Path) -> None:
    """Measure, print the table and store the result."""
    result = measure(plan)
    print(report.table(result))
    report.write(out, result)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run")
    scope = run_parser.add_mutually_exclusive_group()
    scope.add_argument("--quick", dest="plan", action="store_const", const="quick", default="usual")
    scope.add_argument("--full", dest="plan", action="store_const", const="full")
    run_parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "latest.json")
    commands.add_parser("check")
    commands.add_parser("publish").add_argument("file", type=Path)
    commands.add_parser("layers")
    profile_parser = commands.add_parser("profile")
    profile_parser.add_argument("kind", choices=["unary", "stream"])
    profile_parser.add_argument("--native", action="store_true", help="show C functions under their own names")
    return parser.parse_args(arguments)


def require_tools() -> None:
    """Exit with a message if nginx or wrk is not installed."""
    missing = [name for name in ("nginx", "wrk") if not shutil.which(name, path=f"{os.environ.get('PATH')}:/usr/sbin")]
    if missing:
        sys.exit(f"error: {' and '.join(missing)} not installed\nhint: apt-get install nginx-light wrk")


def main() -> None:
    """The command."""
    options = parse()
    if options.command == "publish":
        publish(options.file)
        return
    require_tools()
    match options.command:
        case "run":
            run(PLANS[options.plan], options.out)
        case "check":
            sys.exit(check())
        case "layers":
            with machine.exclusive():
                measure_layers()
        case "profile":
            with machine.exclusive():
                profile(stream=options.kind == "stream", native=options.native)


if __name__ == "__main__":
    main()

"""``python -m bench``: the gateway beside a dumb nginx, same upstream, same load, same cores, in one run.

python -m bench run [--quick|--full] [--out FILE]    measure and print the table
python -m bench check                                fail if a ratio to nginx is worse than the stored one
python -m bench publish FILE                         put a result into README.md and docs/benchmarks.md
python -m bench ladder                               what a request costs, rung by rung
python -m bench profile unary|stream [--native]      where the gateway's time goes (needs py-spy)
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench import measures, nginx, peers, quiet, report
from bench.cases import Target
from bench.ladder import ladder
from bench.plan import PLANS, Plan, Stage
from bench.processes import halves
from bench.profiling import profile

ROOT: Final = Path(__file__).parents[1]
STORED: Final = ROOT / "bench" / "baseline.json"
#: Cores that others kept busy before the run, from which on its figures are not to be trusted.
DISTURBED: Final = 0.1


def measure(plan: Plan) -> report.Result:
    """One run of the whole."""
    everywhere = len(os.sched_getaffinity(0))
    front, back = halves()
    with quiet.alone(), tempfile.TemporaryDirectory() as folder:
        others = quiet.busy()
        if others > DISTURBED:
            report.say(f"others keep {others:.1f} cores busy: these figures will be worse than the truth")
        stage = Stage(Path(folder), plan, front, back)
        if back:
            os.sched_setaffinity(0, back)
        _all(stage)
    cores = f"{everywhere}; measured ones on {front}, load and upstream on {back}" if front else "one for all"
    about = report.about(ROOT, plan.runs, plan.seconds, cores) | (peers.versions() if plan.peers else {})
    about |= stage.remarks | {"busy with others at the start": f"{others:.2f} cores"}
    return report.Result(about, list(stage.rows.values()))


def _all(stage: Stage) -> None:
    plan = stage.plan
    with (
        nginx.mock(stage.folder, deltas=measures.DELTAS, cores=stage.back) as (process, mock),
        measures.with_peers(stage, mock, "at-once") as targets,
    ):
        direct = Target("direct", mock, process, unary="/x:rawPredict", stream="/x:streamRawPredict")
        measures.at_once(stage, targets, direct)
        if plan.latency:
            measures.latency(stage, targets[:2], direct)
        if plan.growth:
            measures.growth(stage, targets[1])
    with measures.source(stage) as source:
        measures.at_a_pace(stage, source)
        if plan.open_streams:
            measures.open_streams(stage, source)
    if plan.crowds:
        measures.crowds(stage)


def check() -> int:
    """:returns: the exit code: 1 if something is slower than it was, and is so again when looked at a second time."""
    if not STORED.exists():
        print(f"error: nothing is stored to compare with\nhint: python -m bench run --quick --out {STORED}")
        return 1
    stored, found = report.read(STORED), dict[str, str]()
    for _ in range(2):
        now = measure(PLANS["quick"])
        print(report.table(now))
        worse = report.worse(now, stored)
        found = {name: said for name, said in worse.items() if not found or name in found}
        if not found:
            return 0
    for said in found.values():
        print(f"WORSE: {said}")
    return 1


def publish(path: Path) -> None:
    """Put a result into the pages."""
    result = report.read(path)
    (ROOT / "docs" / "benchmarks.svg").write_text(report.drawing(result))
    for page in (ROOT / "README.md", ROOT / "docs" / "benchmarks.md"):
        page.write_text(report.insert(page.read_text("utf-8"), report.table(result)), "utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["run", "check", "publish", "ladder", "profile"])
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
        with quiet.alone():
            profile(stream=chosen.what == "stream", native=chosen.native)
    elif chosen.command == "ladder":
        with quiet.alone():
            ladder()
    elif chosen.command == "check":
        sys.exit(check())
    else:
        result = measure(PLANS["quick" if chosen.quick else "full" if chosen.full else "usual"])
        print(report.table(result))
        report.write(chosen.out or ROOT / "bench" / "results" / "latest.json", result)


if __name__ == "__main__":
    main()

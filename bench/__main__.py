"""``python -m bench``: the gateway in comparison with nginx, with the same upstream, load and cores, in one run.

python -m bench run [--quick|--full] [--out FILE]    measure and print the table
python -m bench check                                fail if a ratio to nginx is worse than the stored one
python -m bench compare REV [--rounds N] [--rows PATTERN]
                                                     fail if this tree is slower than another revision
python -m bench publish FILE                         insert a result into docs/benchmarks.md
python -m bench layers                               what each layer adds to the cost of a request
python -m bench costliest [DIALECT ...]               search the requests that cost most for their size
python -m bench lag                                  how long large requests hold the event loop
python -m bench accounts [--parts]                   what rows, journal, budgets and limits add to a request, and which
                                                     part of it takes how long
python -m bench ledger [--rows N] [--keys N] [--folder DIR] [--questions [all|many]]
                                                     size and CPU time of a ledger's rows, the time of reports and of
                                                     pages, and what many keys cost
python -m bench pages [--rows N] [--rate N] [--rounds N] [--seconds N] [--folder DIR]
                                                     how long pages and the API of the dashboard take, alone and beside
                                                     load, and what an open one costs requests
python -m bench scale [--nodes N ...] [--seconds N]  one to four nodes beside one PostgreSQL: requests, rows, queries
python -m bench leases [--nodes N] [--keys N] [--rate N] [--seconds N] [--seed N] [--cores N] [--cases NAME ...]
                                                     a simulation of many nodes that lease budgets from one database
python -m bench profile unary|stream [--native]      where the gateway's CPU time goes (needs py-spy)
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from bench import account_parts, accounts, ledger, machine, nginx, pages, peers, report, scale, suite
from bench.compare import compare
from bench.costly import lag, search
from bench.costly.forms import PATHS
from bench.layers import measure_layers
from bench.leases import simulation
from bench.leases.database import Costs
from bench.leases.traffic import Plan as LeasePlan
from bench.load import Target
from bench.plan import PLANS, Plan
from bench.profiling import profile
from bench.session import Session, new_session

ROOT: Final = Path(__file__).parents[1]
STORED: Final = ROOT / "bench" / "stored"


def measure(plan: Plan) -> report.Result:
    """Execute a plan."""
    with new_session(plan) as session:
        _measure_all(session)
    about = report.about(ROOT, plan.runs, plan.seconds) | (peers.versions() if plan.peers else {})
    return report.Result(about | session.remarks, list(session.rows.values()))


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
    suite.dialects(session)
    with suite.paced_upstream(session.folder, session.back) as upstream:
        suite.paced_streams(session, upstream)
        if plan.open_streams:
            suite.open_streams(session, upstream)
    if plan.connections:
        suite.connection_counts(session)


def check() -> int:
    """Compare with the figures that are stored for this type of processor.

    :returns: the exit status: 1 if a ratio is worse in two measurements in a row.
    """
    path = report.stored_for(STORED, report.cpu())
    if not path.exists():
        known = ", ".join(sorted(path.stem for path in STORED.glob("*.json"))) or "none"
        print(f"error: no figures are stored for this type of processor, {report.cpu()} (stored: {known})")
        print("hint: make bench-compare REV=main compares two revisions on any machine; to store this tree's figures: "
              f"python -m bench run --quick --out {path}")  # fmt: skip
        return 1
    stored, regressions = report.read(path), dict[str, str]()
    for _ in range(2):
        result = measure(PLANS["quick"])
        print(report.table(result))
        messages = (
            report.regressions(result, stored)
            | report.more_expensive(result, suite.RELAYED_ROW, than=suite.TRANSLATED_ROW)
            | report.more_expensive(result, suite.RESPONSES_ROW, than=suite.TRANSLATED_ROW, times=suite.RESPONSES_TIMES)
        )
        regressions = {row: text for row, text in messages.items() if not regressions or row in regressions}
        if not regressions:
            return 0
    for message in regressions.values():
        print(f"WORSE: {message}")
    return 1


def publish(path: Path) -> None:
    """Insert a result into its page. `make docs` then renews the three rows of the README."""
    result = report.read(path)
    (ROOT / "docs" / "benchmarks.svg").write_text(report.chart(result))
    page = ROOT / "docs" / "benchmarks.md"
    page.write_text(report.replace_block(page.read_text("utf-8"), report.page(result)), "utf-8")


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
    compare_parser = commands.add_parser("compare")
    compare_parser.add_argument("revision", metavar="REV", help="anything that git resolves to a commit")
    compare_parser.add_argument("--rounds", metavar="N", type=_rounds, default=7, help="at least 2; default: 7")
    compare_parser.add_argument(
        "--rows", metavar="PATTERN", type=_pattern, default="", help="measure only the rows whose name matches"
    )
    commands.add_parser("publish").add_argument("file", type=Path)
    commands.add_parser("layers")
    accounts_parser = commands.add_parser("accounts")
    accounts_parser.add_argument("--parts", action="store_true", help="only what each part takes, within one process")
    commands.add_parser("lag")
    pages_parser = commands.add_parser("pages")
    pages_parser.add_argument("--rows", metavar="N", type=int, default=1_000_000, help="default: 1,000,000")
    pages_parser.add_argument("--rate", metavar="N", type=float, default=200.0, help="requests a second; default: 200")
    pages_parser.add_argument("--rounds", metavar="N", type=_rounds, default=7, help="of each kind; default: 7")
    pages_parser.add_argument("--seconds", metavar="N", type=float, default=10.0, help="of a round; default: 10")
    pages_parser.add_argument("--folder", type=Path, help="where the ledger is, or will be; without it, it is deleted")
    ledger_parser = commands.add_parser("ledger")
    ledger_parser.add_argument("--rows", metavar="N", type=int, default=1_000_000, help="default: 1,000,000")
    ledger_parser.add_argument("--keys", metavar="N", type=int, default=100_000, help="default: 100,000")
    ledger_parser.add_argument(
        "--folder", type=Path, help="where the ledger is, or will be and stay; without it, it is deleted"
    )
    ledger_parser.add_argument(
        "--questions", nargs="?", choices=("all", "many"), const="all", default="",
        help="only: every kind of question about usage, or the 360 about very many keys or people",
    )  # fmt: skip
    _add_scale(commands)
    commands.add_parser("costliest").add_argument("dialects", nargs="*", choices=[[], *PATHS], metavar="DIALECT")
    profile_parser = commands.add_parser("profile")
    profile_parser.add_argument("kind", choices=["unary", "stream"])
    profile_parser.add_argument("--native", action="store_true", help="show C functions under their own names")
    return parser.parse_args(arguments)


def _add_scale(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    scale_parser = commands.add_parser("scale")
    scale_parser.add_argument("--nodes", metavar="N", type=int, nargs="+", default=[1, 2, 3, 4], help="default: 1 to 4")
    scale_parser.add_argument("--seconds", metavar="N", type=int, default=6, help="of each measurement; default: 6")
    leases_parser = commands.add_parser("leases")
    for name, default, text in (
        ("nodes", 50, "processes that lease"), ("keys", 100_000, "keys with a budget each"),
        ("rate", 100, "requests a second, of all keys together"), ("seconds", 30, "of virtual time"),
        ("seed", 1, "of the requests"), ("cores", 8, "cores of the database"),
    ):  # fmt: skip
        leases_parser.add_argument(
            f"--{name}", metavar="N", type=int, default=default, help=f"{text}; default: {default:,}"
        )
    leases_parser.add_argument("--cases", nargs="+", choices=simulation.CASES, default=simulation.CASES)


def plan_of(options: argparse.Namespace) -> LeasePlan:
    """What `leases` simulates."""
    return LeasePlan(
        nodes=options.nodes, keys=options.keys, rate=options.rate, seconds=options.seconds, seed=options.seed
    )


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 2:
        raise argparse.ArgumentTypeError("a single round has no spread; at least 2 are needed")
    return rounds


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid regular expression: {error}") from None


def require_tools() -> None:
    """Exit with a message if nginx or wrk is not installed."""
    missing = [name for name in ("nginx", "wrk") if not shutil.which(name, path=f"{os.environ.get('PATH')}:/usr/sbin")]
    if missing:
        sys.exit(f"error: {' and '.join(missing)} not installed\nhint: apt-get install nginx-light wrk")


def main() -> None:
    """The command."""
    options = parse()
    match options.command:
        case "publish":
            publish(options.file)
        case "costliest":
            sys.exit(search.main(options.dialects))
        case "lag":
            sys.exit(lag.main())
        case "ledger":
            ledger.main(options.rows, options.keys, options.folder, questions=options.questions)
        case "leases":
            simulation.main(plan_of(options), Costs(cores=options.cores), options.cases)
        case _:
            require_tools()
            measure_gateways(options)


def measure_gateways(options: argparse.Namespace) -> None:
    """The commands that need nginx and wrk."""
    match options.command:
        case "run":
            run(PLANS[options.plan], options.out)
        case "check":
            sys.exit(check())
        case "compare":
            sys.exit(compare(options.revision, rounds=options.rounds, rows=options.rows))
        case "pages":
            pages.main(options.rows, options.rate, options.folder, options.rounds, options.seconds)
        case "accounts":
            if not options.parts:
                accounts.main()
            account_parts.main()
        case "scale":
            scale.main(options.nodes, options.seconds)
        case "layers":
            with machine.exclusive():
                measure_layers()
        case "profile":
            with machine.exclusive():
                profile(stream=options.kind == "stream", native=options.native)


if __name__ == "__main__":
    main()

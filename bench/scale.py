"""One to four nodes beside one PostgreSQL: requests and rows a second, and what the database has to do for them.

A node is a gateway process with accounts in the database. A budget of all and one of each key apply to each request.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import nginx, payloads, postgres, report
from bench.leases.measure import exchanges
from bench.load import ClosedLoop, Target, closed_loop, warm_up
from bench.pass_through import Counts, PassThrough, pass_through
from bench.plan import Plan
from bench.processes import MeasuredProcess, gateway
from bench.session import BUSY, new_session

_CONNECTIONS: Final = 16
#: Seconds until the rows of all requests are written.
_WRITTEN_WITHIN: Final = 120.0
_BUDGET: Final = '[[accounts.budgets]]\nname = "{name}"\nlimit = "1000000"\nwindow = "month"\n{applies_to}\n'
_ACCOUNTS: Final = (
    'state_dir = "{state}"\n[admin]\nlisten = "off"\n[accounts]\nenabled = true\nstore = "{store}"\n'
    'peppers = ["a-pepper-of-all-nodes-0123456789abcdef"]\n'
    + _BUDGET.format(name="all", applies_to="")
    + _BUDGET.format(name="each", applies_to='applies_to = { each = "key" }').replace("{", "{{").replace("}", "}}")
)


@dataclass(frozen=True)
class Figures:
    """Of one number of nodes.

    :param rows: of the ledger a second, until the last one is written. :param node_cpu, database_cpu: seconds.
    :param transactions: of the database, committed and rolled back.
    """

    nodes: int
    requests: int
    failed: float
    per_second: float
    rows: float
    node_cpu: float
    database_cpu: float
    counts: Counts
    transactions: int


@contextlib.contextmanager
def _nodes(folder: Path, mock: str, store: str, count: int) -> Iterator[list[Target]]:
    with contextlib.ExitStack() as stack:
        targets = []
        for number in range(count):
            home = folder / f"{count}-nodes-{number}"
            process, url = stack.enter_context(
                gateway(home, mock, extra_config=_ACCOUNTS.format(state=home / "state", store=store))
            )
            targets.append(Target(f"node {number}", url, process))
        yield targets


def _load(folder: Path, targets: Sequence[Target], seconds: int) -> list[ClosedLoop]:
    """On all nodes at once, each with connections and a generator of its own."""
    body = payloads.request(1_000, stream=False)

    def one(number: int) -> ClosedLoop:
        own = folder / f"load-{number}"
        own.mkdir(exist_ok=True)
        return closed_loop(targets[number], body, own, stream=False, seconds=seconds, connections=_CONNECTIONS)

    with ThreadPoolExecutor(len(targets)) as threads:
        return list(threads.map(one, range(len(targets))))


def _rows(server: postgres.Server) -> int:
    ((count,),) = server.fetch("SELECT count(*) FROM ledger")
    return int(count)


def _transactions(server: postgres.Server) -> int:
    ((count,),) = server.fetch(
        "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    )
    return int(count)


def _when_written(server: postgres.Server) -> float:
    """When the rows had stopped to come."""
    end, rows, since = time.monotonic() + _WRITTEN_WITHIN, -1, 0.0
    while time.monotonic() < end:
        now, count = time.monotonic(), _rows(server)
        if count != rows:
            rows, since = count, now
        elif now - since > 1.0:
            return since
        time.sleep(0.1)
    raise RuntimeError("rows are still written: the database is too slow")


def _measure(
    folder: Path, mock: str, server: postgres.Server, between: PassThrough, nodes: int, seconds: int
) -> Figures:
    with _nodes(folder, mock, server.url(between.port), nodes) as targets:
        for target in targets:
            warm_up(target, payloads.request(1_000, stream=False), stream=False)
        _load(folder, targets, 1)
        _when_written(server)
        processes = [target.process for target in targets if target.process is not None]
        counts, rows, transactions = between.counts(), _rows(server), _transactions(server)
        cpu, begin = (_cpu(processes), server.cpu_seconds()), time.monotonic()
        loops = _load(folder, targets, seconds)
        written = _when_written(server)
        rows = _rows(server) - rows
        requests = sum(loop.requests for loop in loops)
        return Figures(
            nodes, rows, sum(loop.failed * loop.requests for loop in loops) / max(1, requests),
            sum(loop.per_second for loop in loops), rows / (written - begin), _cpu(processes) - cpu[0],
            server.cpu_seconds() - cpu[1], between.counts().since(counts), _transactions(server) - transactions,
        )  # fmt: skip


def _cpu(processes: Sequence[MeasuredProcess]) -> float:
    return sum(process.cpu_seconds() for process in processes)


def table(measured: Sequence[Figures]) -> str:
    """In Markdown. What is counted for 1,000 requests is that of all nodes together."""
    rows = {
        "requests/s": [f"{one.per_second:,.0f}" for one in measured],
        "rows of the ledger/s": [f"{one.rows:,.0f}" for one in measured],
        "failed requests": [f"{one.failed:.2%}" for one in measured],
        "CPU of the nodes for a request, us": [f"{1e6 * one.node_cpu / one.requests:,.0f}" for one in measured],
        "CPU of the database for a request, us": [
            f"{1e6 * one.database_cpu / one.requests:,.0f}" for one in measured
        ],
        "transactions for 1,000 requests": [f"{1e3 * one.transactions / one.requests:,.1f}" for one in measured],
        "queries for 1,000 requests": [f"{1e3 * one.counts.queries / one.requests:,.1f}" for one in measured],
        "round trips for 1,000 requests": [f"{1e3 * one.counts.trips / one.requests:,.1f}" for one in measured],
        "kB to the database for 1,000 requests": [f"{one.counts.sent / one.requests:,.0f}" for one in measured],
        "kB from it for 1,000 requests": [f"{one.counts.received / one.requests:,.0f}" for one in measured],
    }  # fmt: skip
    lines = [f"| nodes | {' | '.join(str(one.nodes) for one in measured)} |", "|---" * (len(measured) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(values)} |" for name, values in rows.items())])


def main(nodes: Sequence[int], seconds: int) -> None:
    """Measure and print."""
    lacking = postgres.missing()
    if lacking is not None:
        sys.exit(f"error: {lacking}")
    cores = os.sched_getaffinity(0)
    with new_session(Plan()) as session, postgres.server() as server, pass_through(server.port) as between:
        os.sched_setaffinity(0, cores)  # all processes use all of them
        transaction = exchanges(server.url())
        measured = []
        with nginx.mock(session.folder, deltas=1) as (_, mock):
            for count in nodes:
                measured.append(_measure(session.folder, mock, server, between, count, seconds))
                report.progress(f"  {count} nodes: {measured[-1].per_second:,.0f} requests/s")
    print(f"{len(cores)} cores for all of it; {session.remarks[BUSY]} busy with other processes at the start")
    print(
        f"alone, an exchange took {1e3 * transaction.exchange:.1f} ms, {1e6 * transaction.window:.0f} us more for each "
        f"window, and {1e6 * transaction.row:.0f} us for each row\n"
    )
    print(table(measured))

"""``python -m bench compare REV``: this tree and another revision on one machine, in alternating rounds.

Both gateways run with the same load generator, upstream and settings; those are of this tree. The settings in
``processes.py`` must therefore be ones that the other revision knows as well. Every round starts a new process for each
side, so that the spread includes what differs from process to process.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench import load, nginx, payloads, report, suite
from bench.load import Target
from bench.plan import PLANS, Plan
from bench.processes import gateway
from bench.revision import RevisionError, installed
from bench.session import Session, new_session
from bench.stats import median

ROOT: Final = Path(__file__).parents[1]
#: One run of each row per round, of the rows that ``python -m bench check`` measures.
PLAN: Final = replace(PLANS["quick"], runs=1, paced_runs=1)


@dataclass(frozen=True)
class Side:
    """One of the two gateways. ``name`` is the title of its column, ``python`` the interpreter that runs it."""

    name: str
    python: str


@dataclass(frozen=True)
class Rows:
    """The rows to measure. ``paced`` is the one of paced streams, if any."""

    closed_loop: Sequence[suite.ClosedLoopCase]
    paced: str | None


def select_rows(plan: Plan, pattern: re.Pattern[str]) -> Rows:
    """The rows of a plan whose name matches.

    :raises ValueError: none does.
    """
    cases, paced = suite.closed_loop_cases(plan), suite.paced_row(plan.streams)
    rows = Rows([case for case in cases if pattern.search(case.name)], paced if pattern.search(paced) else None)
    if not rows.closed_loop and not rows.paced:
        raise ValueError(f"there are rows named {'; '.join([*(case.name for case in cases), paced])}")
    return rows


def compare(revision: str, *, rounds: int, rows: re.Pattern[str]) -> int:
    """Measure both sides and print a table.

    :returns: the exit status: 1 if a row of this tree is worse.
    """
    try:
        selected = select_rows(PLAN, rows)
    except ValueError as error:
        print(f"error: no row matches {rows.pattern!r}\nhint: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that everything is removed
    try:
        with new_session(PLAN) as session:
            report.progress(f"installing {revision}")
            with installed(ROOT, revision) as other:
                sides = (Side("this tree", sys.executable), Side(other.name, other.python))
                measure(session, sides, selected, rounds)
    except RevisionError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the temporary files have been removed", file=sys.stderr)
        return 128 + signal.SIGINT
    result = list(session.rows.values())
    about = report.about(ROOT, rounds, PLAN.seconds) | session.remarks
    print(table(result, sides[0].name, sides[1].name, about))
    return 1 if any(verdict(row, sides[0].name, sides[1].name) in ("worse", "failed") for row in result) else 0


def measure(session: Session, sides: Sequence[Side], rows: Rows, rounds: int) -> None:
    """Measure the sides in turn, ``rounds`` times."""
    with (
        nginx.mock(session.folder, deltas=suite.DELTAS, cores=session.back) as (_, mock),
        suite.paced_upstream(session.folder, session.back) as paced,
    ):
        paced.set_pace(suite.EVENT_INTERVAL, session.plan.deltas)
        for number in range(1, rounds + 1):
            for side in sides:
                report.progress(f"round {number} of {rounds}, {side.name}")
                _measure_closed_loop(session, side, rows.closed_loop, mock)
                if rows.paced:
                    _measure_paced(session, side, rows.paced, paced.url)


def _measure_closed_loop(session: Session, side: Side, cases: Sequence[suite.ClosedLoopCase], upstream: str) -> None:
    if not cases:
        return
    with gateway(session.folder, upstream, cores=session.front, python=side.python) as (process, url):
        target = Target(side.name, url, process)
        for case in cases:
            suite.closed_loop_row(session, [target], case.name, case.body, stream=case.stream)


def _measure_paced(session: Session, side: Side, row: str, upstream: str) -> None:
    body = payloads.request(1_000, stream=True)
    with gateway(session.folder, upstream, cores=session.front, python=side.python) as (process, url):
        target = Target(side.name, url, process)
        load.warm_up(target, body, stream=True, count=4)
        figures = suite.paced_run(target, body, session.plan.streams)
        session.record(row, "us", side.name, figures.cpu, figures.failed)


def verdict(row: report.Row, new: str, old: str) -> str:
    """``worse`` or ``better`` if the ranges of the two sides do not overlap; lower is better in every row.

    :returns: also ``failed`` if too many requests of the new side failed, ``no baseline`` if those of the old one did,
        and nothing if the difference is within the spread.
    """
    if _failed(row, new):
        return "failed"
    if _failed(row, old):
        return "no baseline"
    values, old_values = row.values[new], row.values[old]
    if min(values) > max(old_values):
        return "worse"
    return "better" if max(values) < min(old_values) else ""


def _failed(row: report.Row, side: str) -> bool:
    return not row.values.get(side) or row.failed.get(side, 0.0) > report.MAX_FAILED


def table(rows: Sequence[report.Row], new: str, old: str, about: Mapping[str, str]) -> str:
    """Markdown: of each row the median, the lowest and the highest figure of both sides, their ratio and a verdict."""
    cells = [["", "unit", new, old, "ratio", "verdict"], ["---"] * 6]
    for row in rows:
        failed = _failed(row, new) or _failed(row, old)
        ratio = "" if failed else f"{median(row.values[new]) / median(row.values[old]):.3f}"
        cells.append([row.name, row.unit, _cell(row, new), _cell(row, old), ratio, verdict(row, new, old)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    notes = "; ".join(f"{key} {value}" for key, value in about.items())
    return "\n".join([*lines, "", "median (lowest..highest) of all rounds; lower is better", notes])


def _cell(row: report.Row, side: str) -> str:
    if _failed(row, side):
        return "failed"
    values = row.values[side]
    return f"{report.number(median(values))} ({report.number(min(values))}..{report.number(max(values))})"

"""``python -m bench leases``: many nodes and keys beside one database, in virtual time."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from bench import report
from bench.leases import clock
from bench.leases.database import Costs, ModelStore
from bench.leases.traffic import USD, Plan
from bench.leases.world import Outcome, simulate
from bench.stats import percentile

#: More than is spent by far.
_AMPLE: Final = 1_000_000 * USD
#: A request costs so much of what it holds, on average: see ``traffic``.
_COST: Final = 0.325
#: The budget of all, as a share of what the requests would spend, and that of each key, in what a request holds.
_SCARCE: Final = 0.6
_KEY_HOLDS: Final = 20
#: Moments of which the table shows what is leased.
_SAMPLES: Final = 4


CASES: Final = ("keys", "shared", "scarce")


def cases(plan: Plan) -> dict[str, Plan]:
    """Name -> what is simulated."""
    spent = round(plan.rate * plan.seconds * plan.hold * _COST)
    return {
        "keys": dataclasses.replace(plan, key_limit=_AMPLE),
        "shared": dataclasses.replace(plan, key_limit=_AMPLE, all_limit=_AMPLE),
        "scarce": dataclasses.replace(
            plan, key_limit=_KEY_HOLDS * plan.hold, all_limit=max(plan.hold, round(_SCARCE * spent))
        ),
    }


def figures(plan: Plan, outcome: Outcome, store: ModelStore) -> dict[str, str]:
    """Name -> what is shown of a run."""
    database, seconds, waits = outcome.database, plan.seconds, outcome.waits or [0.0]
    count, last = len(database.times), outcome.samples[-1] if outcome.samples else None
    shown = {
        "requests": f"{outcome.requests:,}",
        "... whose node had leased too little": f"{len(outcome.waits) / max(1, outcome.requests):.1%}",
        "... which then waited, p50 and p99, ms": _ms(waits),
        "refused": f"{outcome.refused:,}",
        "... while enough was left for this one": f"{outcome.while_left:,}",
        "... while enough was left for all that waited": f"{outcome.while_enough:,}",
        "left when one was refused, of the limit, mean": f"{fmean(outcome.left):.1%}" if outcome.left else "",
        "holds above a limit": f"{outcome.over:,}",
        "transactions a second": f"{count / seconds:,.0f}",
        "... per request": f"{count / max(1, outcome.requests):.1f}",
        "... a node": f"{count / seconds / plan.nodes:.1f}",
        "windows of one, mean and p99": f"{fmean(database.sizes):.1f}, {percentile(database.sizes, 0.99):,.0f}",
        "windows a second": f"{sum(database.sizes) / seconds:,.0f}",
        "windows per request": f"{sum(database.sizes) / max(1, outcome.requests):.1f}",
        "a transaction took, p50 and p99, ms": _ms(database.times),
        "... waiting for locked rows, mean, ms": f"{1000 * fmean(database.waits):.1f}",
        "looks a second, which lock nothing": f"{database.looks / seconds:,.0f}",
        "busy cores of the database": f"{database.busy / seconds:.1f}",
        "recalls a second": f"{store.recalls / seconds:.1f}",
        "CPU of asking, share of a core, a node": f"{outcome.deciding / seconds / plan.nodes:.1%}",
    }
    if last is not None:
        shown["windows that a node knows at the end"] = f"{last.slices / plan.nodes:,.0f}"
    for sample in outcome.samples[:: max(1, len(outcome.samples) // _SAMPLES)]:
        shown[f"leased, idle, stranded after {sample.at:.0f} s, USD"] = ", ".join(
            f"{amount / USD:,.2f}" for amount in (sample.leased, sample.idle, sample.stranded)
        )
    return shown


def _ms(seconds: Sequence[float]) -> str:
    return f"{1000 * percentile(seconds, 0.5):.0f}, {1000 * percentile(seconds, 0.99):.0f}"


def table(columns: Mapping[str, Mapping[str, str]]) -> str:
    """A table in Markdown: a column for each case."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(column.get(name, '') for column in columns.values())} |" for name in names]
    return "\n".join(lines)


def main(plan: Plan, costs: Costs, names: Sequence[str] = CASES) -> None:
    """Simulate cases and print a table."""
    print(
        f"{plan.nodes} nodes, {plan.keys:,} keys (Zipf, exponent {plan.exponent:g}), {plan.rate:,.0f} requests/s for "
        f"{plan.seconds:.0f} s of virtual time, each holds {plan.hold / USD:.2f} USD and takes {plan.duration:g} s on "
        f"average; seed {plan.seed}\na transaction takes {1000 * (costs.before + costs.after):g} ms, "
        f"{1e6 * costs.per_window:g} us more for each window and {1e6 * costs.per_row:g} us for each row; "
        f"{costs.cores} cores"
    )
    columns = {}
    for name in names:
        begin, store, case = time.monotonic(), ModelStore(), cases(plan)[name]
        columns[name] = figures(case, clock.run(simulate(case, store, costs)), store)
        report.progress(f"  {name}: simulated in {math.ceil(time.monotonic() - begin)} s")
    print(table(columns))

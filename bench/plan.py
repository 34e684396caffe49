"""How much is measured, on which cores, and the figures so far."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import report
from bench.load import Target


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    :param seconds: of each closed loop; the open loop and open streams take twice as long. wrk needs whole seconds.
    :param sizes: bytes of further unary requests.
    :param streams: number of paced streams; ``deltas``: the length of each.
    :param open_streams: number of open streams for the memory of a stream; 0 to skip it.
    :param growth: measure how cost grows with the size of requests and the number of streams.
    :param connections: numbers of connections at which every size is measured.
    """

    runs: int = 5
    seconds: int = 1
    sizes: tuple[int, ...] = (40_000, 115_000, 400_000)
    latency: bool = True
    streams: int = 200
    paced_runs: int = 2
    deltas: int = 300
    open_streams: int = 1000
    growth: bool = False
    connections: tuple[int, ...] = ()
    peers: bool = True


PLANS: Final = {
    "quick": Plan(runs=3, sizes=(40_000,), latency=False, deltas=100, open_streams=0, peers=False),
    "usual": Plan(),
    "full": Plan(seconds=2, paced_runs=3, growth=True, connections=(1, 100, 1000)),
}


@dataclass
class Session:
    """One execution of a plan: its environment and its figures.

    :param front: the cores of the measured process; ``back``: of load generator and upstream. None on a single core.
    :param remarks: notes printed below the table.
    """

    folder: Path
    plan: Plan
    front: set[int] | None
    back: set[int] | None
    rows: dict[str, report.Row] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def back_list(self) -> str | None:
        return ",".join(map(str, sorted(self.back))) if self.back else None

    def record(self, name: str, unit: str, target: str, value: float, failed: float = 0.0) -> None:
        """Add the figure of one run. NaN adds none: that all requests failed is visible in ``failed``."""
        row = self.rows.setdefault(name, report.Row(name, unit, defaultdict(list), {}))
        if not math.isnan(value):
            row.values.setdefault(target, []).append(value)
        row.failed[target] = max(row.failed.get(target, 0.0), failed)
        report.progress(f"  {name}: {target} {value:.4g} {unit}" + (f", {100 * failed:.2f} % failed" if failed else ""))

    def remark(self, key: str, text: str) -> None:
        self.remarks[key] = f"{self.remarks[key]}, {text}" if key in self.remarks else text
        report.progress(f"  {key}: {text}")

    def alternate(self, targets: list[Target], measure: Callable[[Target], None]) -> None:
        """Measure all targets in turn, once per run, so that changes of the machine affect all of them."""
        for _ in range(self.plan.runs):
            for target in targets:
                measure(target)

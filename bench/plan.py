"""How much is measured, where, and what was found so far."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import report
from bench.cases import Target


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    :param seconds: of each closed loop; the open loop and what is steady take twice as long. wrk knows whole ones only.
    :param deltas: of a paced stream.
    :param open_streams: among which memory is looked at; 0 for not at all.
    :param growth, crowds: how cost grows with size, and what many and few connections make of it.
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
    crowds: tuple[int, ...] = ()
    peers: bool = True


PLANS: Final = {
    "quick": Plan(runs=3, sizes=(40_000,), latency=False, deltas=100, open_streams=0, peers=False),
    "usual": Plan(),
    "full": Plan(seconds=2, paced_runs=3, growth=True, crowds=(1, 100, 1000)),
}


@dataclass
class Stage:
    """Where it is measured.

    :param front: the cores of what is measured; ``back``: of load and upstream. None where there is one core only.
    :param remarks: what has to be said beside the figures.
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

    def note(self, name: str, unit: str, target: str, value: float, failed: float = 0.0) -> None:
        """A figure of one run. NaN is none: that nothing was served shows among the failures."""
        row = self.rows.setdefault(name, report.Row(name, unit, defaultdict(list), {}))
        if not math.isnan(value):
            row.values.setdefault(target, []).append(value)
        row.failed[target] = max(row.failed.get(target, 0.0), failed)
        report.say(f"  {name}: {target} {value:.4g} {unit}" + (f", {100 * failed:.2f} % failed" if failed else ""))

    def remark(self, key: str, words: str) -> None:
        self.remarks[key] = f"{self.remarks[key]}, {words}" if key in self.remarks else words
        report.say(f"  {key}: {words}")

    def in_turns(self, targets: list[Target], measure: Callable[[Target], None]) -> None:
        """Every run measures all targets, one after the other: what changes on the machine changes for all."""
        for _ in range(self.plan.runs):
            for target in targets:
                measure(target)

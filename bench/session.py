"""One execution of a plan: the environment it runs in, and the figures so far."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from bench import machine, report
from bench.plan import Plan
from bench.processes import split_cores

T = TypeVar("T")
#: Cores kept busy by other processes, above which figures are not reliable.
MAX_BUSY_CORES: Final = 0.1
BUSY: Final = "busy with other processes at the start"


@dataclass
class Session:
    """One execution of a plan.

    :param folder: for the files of all processes; temporary.
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

    def alternate(self, cases: Sequence[T], measure: Callable[[T], None]) -> None:
        """Measure all cases in turn, once per run, so that changes of the machine affect all of them."""
        for _ in range(self.plan.runs):
            for case in cases:
                measure(case)


@contextlib.contextmanager
def new_session(plan: Plan) -> Iterator[Session]:
    """Reserve the machine, and move this process to the cores of load generator and upstream."""
    cores = len(os.sched_getaffinity(0))
    front, back = split_cores()
    with machine.exclusive(), tempfile.TemporaryDirectory() as folder:
        busy = machine.busy_cores()
        if busy > MAX_BUSY_CORES:
            report.progress(f"other processes keep {busy:.1f} cores busy: figures will be too high")
        session = Session(Path(folder), plan, front, back)
        placement = f"{cores}; measured processes on {front}, load and upstream on {back}" if front else "one for all"
        session.remarks["cores"] = placement
        session.remarks[BUSY] = f"{busy:.2f} cores"
        if back:
            os.sched_setaffinity(0, back)
        yield session

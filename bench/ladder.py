"""``python -m bench ladder``: what a request costs, rung by rung, from nginx to the whole gateway. CPU in microseconds.

Each rung does what the one before does and more. The least of several runs counts: others on the machine only add.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import cases, nginx, payloads
from bench.cases import Target
from bench.processes import Measured, free_port, gateway, halves

ROOT: Final = Path(__file__).parents[1]
RUNS: Final = 5
SAID: Final = {
    "nginx": "nginx, handing bytes through",
    "bare": "uvloop and llhttp on both sides, without a task, a check or a timeout",
    "server": "ModelMux's server alone, which answers by itself",
    "http": "ModelMux's server and its upstream client, bytes handed through",
    "gateway": "ModelMux, all of it",
}
_RUNGS: Final = ("bare", "server", "http")


@contextlib.contextmanager
def rung(kind: str, folder: Path, upstream: str, cores: set[int] | None) -> Iterator[Target]:
    """One of ``rungs.py``, running."""
    port = free_port()
    arguments = [sys.executable, "-m", "bench.rungs", kind, str(port), upstream]
    process = Measured(arguments, folder / f"{kind}.txt", cores, PYTHONPATH=str(ROOT))
    try:
        process.wait_for(f"http://127.0.0.1:{port}/")
        yield Target(kind, f"http://127.0.0.1:{port}", process)
    finally:
        process.stop()


def ladder(seconds: float = 2.0) -> None:
    """Measure and print."""
    front, back = halves()
    if back:
        os.sched_setaffinity(0, back)
    body, least = payloads.request(1000, stream=False), dict[str, float]()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        _, mock = stack.enter_context(nginx.mock(folder, deltas=1, cores=back))
        through, at = stack.enter_context(nginx.pass_through(folder, mock, cores=front))
        targets = [
            Target("nginx", at, through),
            *(stack.enter_context(rung(kind, folder, mock, front)) for kind in _RUNGS),
        ]
        served, url = stack.enter_context(gateway(folder, mock, cores=front))
        targets.append(Target("gateway", url, served))
        for _ in range(RUNS):
            for target in targets:
                got = cases.closed_loop(target, body, folder, stream=False, seconds=seconds)
                least[target.name] = min(got.cpu, least.get(target.name, got.cpu))
    for name, cpu in least.items():
        print(f"{cpu:7.1f} us  {SAID[name]}")

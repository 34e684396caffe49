"""``python -m bench layers``: what each layer adds to the cost of a request, from nginx to the complete gateway.

Each server does what the one before does, and more. The figure is the minimum of several runs, in microseconds of CPU:
other load on the machine can only increase it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import load, nginx, payloads
from bench.load import Target
from bench.processes import MeasuredProcess, free_port, gateway, split_cores

ROOT: Final = Path(__file__).parents[1]
RUNS: Final = 5
DESCRIPTIONS: Final = {
    "nginx": "nginx as a reverse proxy",
    "bare": "uvloop and llhttp on both sides, without tasks, checks or timeouts",
    "server": "ModelMux's server alone, with a constant response",
    "http": "ModelMux's server and its upstream client, bytes forwarded unchanged",
    "gateway": "ModelMux, complete",
}
#: Those that ``layer_servers.py`` runs.
_LAYERS: Final = ("bare", "server", "http")


@contextlib.contextmanager
def layer_server(kind: str, folder: Path, upstream: str, cores: set[int] | None) -> Iterator[Target]:
    """One of the servers of ``layer_servers.py``."""
    port = free_port()
    arguments = [sys.executable, "-m", "bench.layer_servers", kind, str(port), upstream]
    process = MeasuredProcess(arguments, folder / f"{kind}.txt", cores, PYTHONPATH=str(ROOT))
    try:
        process.wait_for(f"http://127.0.0.1:{port}/")
        yield Target(kind, f"http://127.0.0.1:{port}", process)
    finally:
        process.stop()


def measure_layers(seconds: float = 2.0) -> None:
    """Measure all layers and print the figures."""
    front, back = split_cores()
    if back:
        os.sched_setaffinity(0, back)
    body, costs = payloads.request(1000, stream=False), dict[str, float]()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        _, mock = stack.enter_context(nginx.mock(folder, deltas=1, cores=back))
        proxy, proxy_url = stack.enter_context(nginx.pass_through(folder, mock, cores=front))
        targets = [
            Target("nginx", proxy_url, proxy),
            *(stack.enter_context(layer_server(kind, folder, mock, front)) for kind in _LAYERS),
        ]
        process, url = stack.enter_context(gateway(folder, mock, cores=front))
        targets.append(Target("gateway", url, process))
        for _ in range(RUNS):
            for target in targets:
                figures = load.closed_loop(target, body, folder, stream=False, seconds=seconds)
                costs[target.name] = min(figures.cpu, costs.get(target.name, figures.cpu))
    for name, cpu in costs.items():
        print(f"{cpu:7.1f} us  {DESCRIPTIONS[name]}")

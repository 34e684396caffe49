"""The lag of the event loop, as the gateways in a test's own process know it."""

from __future__ import annotations

from modelmux.server.loop_lag import LoopLag


class LoopLagOfTests(LoopLag):
    """Knows only the measurements that a test records. A timer would run inside of what a test counts, and the more
    often the busier the machine is; real processes are measured in ``tests/chaos/test_overload_of_processes.py``."""

    def _schedule(self) -> None:
        pass

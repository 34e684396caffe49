"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


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

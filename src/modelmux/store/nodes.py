"""Nodes that share a store: how they show that they are alive, and how many there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

#: Seconds between two renewals of a process.
RENEWED_EVERY: Final = 5.0
#: Seconds since its last renewal after which a node counts as lost.
LOST_AFTER: Final = 60.0

#: How many nodes are alive, this one included: at least 1. While the store gives no answer, as many as there were. A
#: node is what counts rate limits together: all workers of one server. It is called often: it does not wait.
LiveNodes = Callable[[], int]


def one_node() -> int:
    """``LiveNodes`` where no store is shared."""
    return 1


class Renewal(NamedTuple):
    """What the store answers a process that is alive.

    :param nodes: how many nodes are alive, this one included.
    :param epoch: changes when the leases of the process were ended by another one.
    :param processes: how many have leases or may have some, this one and those that are silent included; 0 if that is
        not known.
    """

    nodes: int = 1
    epoch: int = 0
    processes: int = 0


class LastSeen(NamedTuple):
    """When a process last wrote.

    :param at: microseconds in UTC.
    :param is_overdue: by the clock of the store, it has not renewed its leases for so long that none of its requests
        can be running; None where the store cannot tell.
    """

    at: int
    is_overdue: bool | None = None

"""``python -m bench.fifo_gateway``: the gateway with the queue of before, first in, first out, to compare with.

Everything else is the gateway of this tree.
"""

from __future__ import annotations

import math
from typing import Any

from modelmux.cli.main import main
from modelmux.gateway import concurrency
from modelmux.routing.admission import Admission, Reason, Ticket


class Fifo(Admission):
    """Waits until the configured timeout, in order of arrival, whoever waits."""

    def enter(self, model: str) -> bool:
        return not self.waiting and super().enter(model)

    def arrive(self, ticket: Ticket) -> Reason | tuple[Ticket, Reason] | None:
        ticket.key, ticket.deadline = "", math.inf
        return super().arrive(ticket)

    def resize(self, *args: Any, reserved: int = 0) -> None:
        del reserved
        super().resize(*args)

    @property
    def longest_wait(self) -> float:
        return self._queue_timeout

    def _is_overloaded(self, now: float) -> bool:
        del now
        return False


if __name__ == "__main__":
    concurrency.Admission = Fifo  # type: ignore[attr-defined]
    main()

"""What ``accounts.on_outage`` allows one process: how much of it, and what the log says about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelmux.accounts.amounts import format_amount
from modelmux.accounts.outage import Outage, part_of
from modelmux.telemetry import names
from modelmux.telemetry.log import Log

_BEGINS: Final = (
    "the store of accounts does not answer: requests whose budgets are not known to be spent are served beyond leases, "
    "by this process up to {} USD of each window"
)
OUTAGE_IS_OVER: Final = "the store of accounts answers again: nothing more is held beyond leases"


class OutageAllowance:
    """
    :param outage: of the process. :param amount: nano-USD for all processes together; 0 allows nothing.
    :param processes: returns how many there are; 0 if that is not known.
    :param on_used: gets the nano-USD that a request holds beyond leases.
    """

    def __init__(
        self, outage: Outage, amount: int, processes: Callable[[], int], log: Log, on_used: Callable[[int], None]
    ) -> None:
        self.outage = outage
        self._amount = amount
        self._processes = processes
        self._log = log
        self._on_used = on_used

    @property
    def is_open(self) -> bool:
        return self._amount > 0

    @property
    def part(self) -> int:
        """nano-USD that this process may hold beyond its lease of a window."""
        return part_of(self._amount, self._processes())

    def used(self, amount: int) -> None:
        """:param amount: nano-USD that a request holds beyond leases; 0 if those of before cover it after all."""
        self._on_used(amount)
        if amount and self.outage.used() == "first":
            self._log.warning(names.EVENT_LEDGER, message=_BEGINS.format(format_amount(self.part, "usd")))

"""Renews the leases of this process, so that other nodes leave them alone, and knows how many nodes there are.

A process that cannot renew them for ``STOPS_AFTER`` holds nothing more of hard budgets until it has exchanged leases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelmux.accounts.lease_term import LeaseTerm
from modelmux.gateway.metering.background_loop import BackgroundTask
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import Ledger
from modelmux.store.nodes import LOST_AFTER, RENEWED_EVERY, Renewal
from modelmux.telemetry import names
from modelmux.telemetry.log import Log

_STOPPED: Final = "the leases of this process could not be renewed: hard budgets hold nothing from them until they are"
_RENEWED: Final = "the leases of this process are renewed again"
_WAS_LOST: Final = "; meanwhile they were booked as in doubt by another node, and are its own again"


class Heartbeat(BackgroundTask):
    """
    :param term: is told of renewals; exchanges of leases tell it, too.
    :param longest: returns the seconds that a request may run at most.
    """

    def __init__(
        self,
        ledger: Ledger,
        holder: str,
        node: str,
        term: LeaseTerm,
        longest: Callable[[], float],
        runtime: Runtime,
        log: Log,
        every: float = RENEWED_EVERY,
    ) -> None:
        super().__init__()
        self._ledger = ledger
        self._holder = holder
        self._node = node
        self._term = term
        self._longest = longest
        self._runtime = runtime
        self._log = log
        self._every = every
        self._last = Renewal()
        self._first_at: float | None = None
        self._last_at = 0.0
        self._has_stopped = False

    @property
    def processes(self) -> int:
        """How many processes share the budgets, as of the last renewal. 0 while others may not know of this one: they
        hear of it with their next renewal."""
        known_for = 0.0 if self._first_at is None else self._last_at - self._first_at
        return self._last.processes if known_for >= 2 * self._every else 0

    @property
    def nodes(self) -> int:
        """See ``LiveNodes``."""
        return self._last.nodes

    async def _run(self) -> None:
        while True:
            await self.renew()
            await self._runtime.sleep(self._every)

    async def renew(self) -> None:
        """Once. What fails is logged, when nothing is held any more because of it."""
        began = self._runtime.clock()
        try:
            renewal = await self._ledger.renew(self._holder, self._node, LOST_AFTER + self._longest())
        except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
            cause = str(error) if isinstance(error, StoreFailed) else type(error).__name__
            if not self._has_stopped and self._term.has_ended(self._runtime.clock()):
                self._has_stopped = True
                self._log.error(names.EVENT_LEDGER, message=f"{_STOPPED} ({cause})")
            return
        was_lost = self._last.epoch not in (0, renewal.epoch)
        self._term.renewed(began, self._runtime.clock())
        self._last, self._last_at = renewal, began
        if self._first_at is None or was_lost:  # others did not count it while it was lost
            self._first_at = began
        if was_lost or self._has_stopped:
            self._log.info(names.EVENT_LEDGER, message=_RENEWED + (_WAS_LOST if was_lost else ""))
        self._has_stopped = False

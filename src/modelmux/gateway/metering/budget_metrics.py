"""The windows of budgets that metrics show, read from the ledger now and then by one process."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable
from datetime import tzinfo
from typing import Final

from modelmux.accounts.budget_windows import WindowState
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.catalog.prices import NANO
from modelmux.gateway.metering.background_loop import BackgroundTask
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.budget_states import states_from
from modelmux.telemetry.ledger_counts import BudgetNumbers

#: Seconds between two reads; Prometheus scrapes no more often by default.
EVERY: Final = 15.0
#: Budgets that are shown: the first ones by their ids.
MOST: Final = 200
_MICRO: Final = 1_000_000


class BudgetMetrics(BackgroundTask):
    """Reads at the start, and again and again after that.

    :param directory: returns that of now. :param zone: returns ``accounts.zone``.
    :ivar numbers: of the last read; those of before while the store fails.
    """

    def __init__(
        self, ledger: Ledger, directory: Callable[[], Directory], zone: Callable[[], tzinfo], runtime: Runtime
    ) -> None:
        super().__init__()
        self._ledger = ledger
        self._directory = directory
        self._zone = zone
        self._runtime = runtime
        self.numbers: tuple[BudgetNumbers, ...] = ()

    async def _run(self) -> None:
        while True:
            # Of the store, the metric modelmux_store_up and the log tell; the others are of a zone that is not known.
            with contextlib.suppress(StoreFailed, ValueError, KeyError, OSError):
                await self.read()
            await self._runtime.sleep(EVERY)

    async def read(self) -> None:
        """Once. :raises StoreFailed: :raises ValueError, KeyError, OSError: a zone is not known here."""
        directory = self._directory()
        shown = [one for one in directory.budgets.values() if one.metric and one.status == "active"]
        chosen = heapq.nsmallest(MOST, shown, key=lambda budget: budget.id)
        now = round(self._runtime.now() * _MICRO)
        states = (
            await states_from(self._ledger.windows, directory, now, self._zone(), ((one, None) for one in chosen))
            if chosen
            else []
        )
        self.numbers = tuple(_numbers(budget, of) for budget, (of,) in zip(chosen, states, strict=True))


def _numbers(budget: Budget, state: WindowState) -> BudgetNumbers:
    end = state.window.end
    return BudgetNumbers(
        budget.name, state.limit / NANO, state.spent / NANO, state.held / NANO, None if end is None else end / _MICRO
    )

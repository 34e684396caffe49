"""What is told beside the thresholds of budgets: keys that expire soon, and a ledger that lags."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Final, Protocol

from modelmux.accounts.alert_times import expiring, lag_id, lags
from modelmux.accounts.alert_types import LagAlert, alert_time
from modelmux.accounts.directory import Directory
from modelmux.gateway.metering.background_loop import BackgroundTask
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.alerts import AlertStore
from modelmux.telemetry.ledger_counts import LedgerCounts

#: Seconds between two looks at the lag.
EVERY: Final = 5.0
_MICRO: Final = 1_000_000


class AlertSource(Protocol):
    async def look(self) -> None:
        """Note what is to be told. :raises StoreFailed: it is noted with the next look."""
        ...


class ExpiringKeys:
    """Looks at all keys when accounts have changed, and when the next one is to be told; at none in between."""

    def __init__(self, alerts: AlertStore, directory: Callable[[], Directory], runtime: Runtime) -> None:
        self._alerts = alerts
        self._directory = directory
        self._runtime = runtime
        self._keys: object = None
        self._next: int | None = None
        self._noted: frozenset[str] = frozenset()

    async def look(self) -> None:
        """See ``AlertSource``."""
        keys, now = self._directory().keys, round(self._runtime.now() * _MICRO)
        if keys is self._keys and (self._next is None or now < self._next):
            return
        alerts, following = expiring(keys.values(), now)
        fresh = [one for one in alerts if one.id not in self._noted]
        if fresh:
            await self._alerts.note(fresh, now)
        self._keys, self._next, self._noted = keys, following, frozenset(one.id for one in alerts)


class LedgerLag(BackgroundTask):
    """In every process, as each has rows of its own; what several see within an hour is told once.

    :param counts: of this process, now.
    :ivar unsaved: what could not be noted, because the store fails.
    """

    def __init__(self, alerts: AlertStore, counts: Callable[[], LedgerCounts], runtime: Runtime) -> None:
        super().__init__()
        self._alerts = alerts
        self._counts = counts
        self._runtime = runtime
        self._is_lagging = False
        self.unsaved: LagAlert | None = None

    async def _run(self) -> None:
        while True:
            await self.look()
            await self._runtime.sleep(EVERY)

    async def look(self) -> None:
        """Once."""
        counts, now = self._counts(), round(self._runtime.now() * _MICRO)
        was_lagging, self._is_lagging = self._is_lagging, lags(counts.lag, counts.waiting, is_lagging=self._is_lagging)
        alert = self.unsaved
        if self._is_lagging and not was_lagging:
            host = platform.node()
            alert = LagAlert(
                id=lag_id(host, now), at=alert_time(now), host=host, waiting=counts.waiting, seconds=int(counts.lag),
                failing=counts.is_up is False,
            )  # fmt: skip
        if alert is None:
            return
        try:
            await self._alerts.note([alert], now)
        except StoreFailed:
            self.unsaved = alert
        else:
            self.unsaved = None

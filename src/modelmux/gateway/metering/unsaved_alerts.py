"""Tells of a ledger that cannot be written, which therefore cannot remember it: from memory, until it can."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from modelmux.accounts.alert_types import Alert, delivery_id, encode_alert, type_of
from modelmux.accounts.alerts import pause_after
from modelmux.gateway.metering.alert_log import log_alert
from modelmux.gateway.metering.webhook import Endpoint
from modelmux.runtime import Runtime
from modelmux.store.ledger.alerts import AlertStore, Outcome
from modelmux.telemetry.log import Log

Send = Callable[[Endpoint, str, bytes], Awaitable[tuple[int | None, str | None]]]
_MICRO = 1_000_000


class UnsavedAlerts:
    """
    :param unsaved: returns what the store could not take, None where it takes all.
    """

    def __init__(self, unsaved: Callable[[], Alert | None], runtime: Runtime, log: Log) -> None:
        self._unsaved = unsaved
        self._runtime = runtime
        self._log = log
        self._alert: Alert | None = None
        self._outcomes: dict[str, Outcome] = {}
        self._tries = 0
        self._at = 0.0

    async def look(self, endpoints: Mapping[str, Endpoint], send: Send, alerts: AlertStore) -> None:
        """Send what is not noted yet; once the store works again, write down what was delivered.

        :raises StoreFailed: it does not yet.
        """
        alert = self._unsaved()
        if alert is not None and (self._alert is None or alert.id != self._alert.id):
            self._alert, self._outcomes, self._tries, self._at = alert, {}, 0, 0.0
            log_alert(self._log, alert)
        if self._alert is None:
            return
        if alert is not None and self._runtime.now() >= self._at:
            await self._send(self._alert, endpoints, send)
        await alerts.told(self._alert, self._outcomes)
        self._alert = None

    async def _send(self, alert: Alert, endpoints: Mapping[str, Endpoint], send: Send) -> None:
        self._tries += 1
        for id, endpoint in endpoints.items():
            known = self._outcomes.get(id)
            takes = endpoint.types is None or type_of(alert) in endpoint.types
            if not takes or (known is not None and known.problem is None):
                continue
            status, problem = await send(endpoint, delivery_id(id, alert.id), encode_alert(alert))
            now = round(self._runtime.now() * _MICRO)
            self._outcomes[id] = Outcome(at=now, status=status, problem=problem, again=None if problem is None else now)
        self._at = self._runtime.now() + pause_after(self._tries)

"""Tells what has happened: in the log, and to the webhooks that take it.

What is to be told is in the ledger's file, so it is told after a restart, too. A delivery is taken in a transaction,
and is due again unless its end is written: each is made at least once, and has an id by which a second one is known.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from modelmux.accounts.alerts import pause_after
from modelmux.gateway.metering.alert_log import log_alert
from modelmux.gateway.metering.alert_sources import AlertSource
from modelmux.gateway.metering.background_loop import BackgroundLoop
from modelmux.gateway.metering.deliver import Sender
from modelmux.gateway.metering.endpoints import Endpoints
from modelmux.gateway.metering.unsaved_alerts import UnsavedAlerts
from modelmux.gateway.metering.webhook import Endpoint
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.alerts import AlertStore, DueDelivery, Outcome
from modelmux.telemetry import names
from modelmux.telemetry.log import Log
from modelmux.upstream.base import Upstream

#: Seconds between two looks.
INTERVAL: Final = 1.0
#: Seconds after which a delivery whose process has ended is due again: longer than one takes.
CLAIMED_FOR: Final = 60.0
#: Deliveries at the same time, each to another webhook.
MOST_AT_ONCE: Final = 8
#: Seconds for which a delivery is tried again.
GIVEN_UP_AFTER: Final = 3 * 86_400.0
#: Seconds for which it is known what was delivered.
KEPT: Final = 30 * 86_400.0
_DAY: Final = 86_400.0
_MICRO: Final = 1_000_000


class Notifier:
    """
    :param sources: looked at before each look for what is due.
    :param unsaved: what is told although the store fails.
    :param open_guarded: opens what sends to webhooks of the admin API.
    """

    def __init__(
        self,
        alerts: AlertStore,
        endpoints: Endpoints,
        runtime: Runtime,
        log: Log,
        *,
        open_guarded: Callable[[], Upstream],
        sources: Sequence[AlertSource] = (),
        unsaved: UnsavedAlerts | None = None,
    ) -> None:
        self._alerts = alerts
        self._endpoints = endpoints
        self._runtime = runtime
        self._log = log
        self._sources = sources
        self._unsaved = unsaved
        self._sender = Sender(runtime, open_guarded)
        self._problems: dict[str, str] = {}
        self._forget_at = runtime.now() + INTERVAL
        self._loop = BackgroundLoop()

    def start(self, upstream: Upstream) -> None:
        """Idempotent. :param upstream: sends to the webhook of the configuration."""
        self._loop.start(functools.partial(self._run, upstream))

    async def aclose(self) -> None:
        """Idempotent. What was not told yet is told after the next start."""
        await self._loop.aclose()
        await self._sender.aclose()

    async def _run(self, upstream: Upstream) -> None:
        while True:
            try:
                await self._look(upstream)
            except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
                cause = str(error) if isinstance(error, StoreFailed) else type(error).__name__
                self._report("the store", f"what has happened cannot be told; it is told later ({cause})")
            else:
                self._report("the store", None)
            await self._runtime.sleep(INTERVAL)

    async def _look(self, upstream: Upstream) -> None:
        """:raises StoreFailed:"""
        endpoints = await self._current()
        if self._unsaved is not None:
            await self._unsaved.look(endpoints, functools.partial(self._sender.send, upstream), self._alerts)
        for source in self._sources:
            await source.look()
        while await self._hand_out(endpoints):
            pass
        while await self._deliver_some(endpoints, upstream):
            pass
        if self._runtime.now() >= self._forget_at:
            await self._alerts.forget(_micro(self._runtime.now() - KEPT))
            self._forget_at = self._runtime.now() + _DAY

    async def _current(self) -> Mapping[str, Endpoint]:
        if self._endpoints.are_current:
            return self._endpoints.current()
        return await asyncio.to_thread(self._endpoints.current)

    async def _hand_out(self, endpoints: Mapping[str, Endpoint]) -> bool:
        """Whether there was something to tell."""
        takers = {id: endpoint.types for id, endpoint in endpoints.items()}
        alert = await self._alerts.hand_out(_micro(self._runtime.now()), takers)
        if alert is None:
            return False
        log_alert(self._log, alert)
        return True

    async def _deliver_some(self, endpoints: Mapping[str, Endpoint], upstream: Upstream) -> bool:
        """Whether there was something to deliver. One that fails does not hold up the others."""
        now = self._runtime.now()
        due = await self._alerts.claim(_micro(now), _micro(now + CLAIMED_FOR), MOST_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._deliver(one, endpoints.get(one.webhook), upstream)) for one in due]
        for one, task in zip(due, tasks, strict=True):
            await self._alerts.tried(one.id, task.result())
        return bool(due)

    async def _deliver(self, due: DueDelivery, endpoint: Endpoint | None, upstream: Upstream) -> Outcome:
        if endpoint is None:
            return Outcome(at=_micro(self._runtime.now()), problem="the webhook was disabled or deleted")
        status, problem = await self._sender.send(upstream, endpoint, due.id, due.body)
        now = self._runtime.now()
        again = None if problem is None else self._again(due, now)
        self._report_webhook(endpoint, problem, is_last=again is None)
        return Outcome(at=_micro(now), status=status, problem=problem, again=again)

    def _again(self, due: DueDelivery, now: float) -> int | None:
        at = _micro(now + pause_after(due.tries + 1))
        return at if at < due.created + _micro(GIVEN_UP_AFTER) else None

    def _report_webhook(self, endpoint: Endpoint, problem: str | None, *, is_last: bool) -> None:
        what = f"the webhook {endpoint.name!r}" if endpoint.name else "the webhook"
        if problem is not None and is_last:
            self._log.error(names.EVENT_ALERT, message=f"{what} fails, and one event is given up ({problem})")
        text = None if problem is None else f"{what} fails, and is tried again for 3 days ({problem})"
        self._report(what, text)

    def _report(self, what: str, problem: str | None) -> None:
        """Log when something begins to fail, and when it works again."""
        if problem is not None and what not in self._problems:
            self._log.error(names.EVENT_ALERT, message=problem)
            self._problems[what] = problem
        elif problem is None and self._problems.pop(what, None) is not None:
            self._log.info(names.EVENT_ALERT, message=f"{what} works again: what has happened is told")


def _micro(seconds: float) -> int:
    return round(seconds * _MICRO)

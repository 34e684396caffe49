"""Tells what budgets have reached: in the log, and to the webhook if there is one.

What is to be told is in the ledger's file, so it is told after a restart, too. A delivery is taken in a transaction,
and is due again unless its end is written: each is made at least once, and has an id by which a second one is known.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Final

from modelmux.accounts.alerts import pause_after
from modelmux.errors import GatewayError
from modelmux.gateway.metering.background_loop import BackgroundLoop
from modelmux.gateway.metering.webhook import TIMEOUT, Webhook
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import DueAlert, Ledger
from modelmux.telemetry import names
from modelmux.telemetry.log import Log
from modelmux.upstream.base import Upstream

#: Seconds between two looks.
INTERVAL: Final = 1.0
#: Seconds after which a delivery whose process has ended is due again: longer than one takes.
CLAIMED_FOR: Final = 60.0
_MICRO: Final = 1_000_000
#: A reply to a webhook is not read, but for the end of it, so that the connection can be used again.
_MOST_READ: Final = 64 * 1024


class Notifier:
    """:param webhook: None if only the log is told."""

    def __init__(self, ledger: Ledger, webhook: Webhook | None, runtime: Runtime, log: Log) -> None:
        self._ledger = ledger
        self._webhook = webhook
        self._runtime = runtime
        self._log = log
        self._problems: dict[str, str] = {}
        self._loop = BackgroundLoop()

    def start(self, upstream: Upstream) -> None:
        """Idempotent."""
        self._loop.start(functools.partial(self._run, upstream))

    async def aclose(self) -> None:
        """Idempotent. What was not told yet is told after the next start."""
        await self._loop.aclose()

    async def _run(self, upstream: Upstream) -> None:
        while True:
            try:
                while await self._tell_next(upstream):
                    pass
            except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
                cause = str(error) if isinstance(error, StoreFailed) else type(error).__name__
                self._report("the store", f"what budgets have reached cannot be told; it is told later ({cause})")
            else:
                self._report("the store", None)
            await self._runtime.sleep(INTERVAL)

    async def _tell_next(self, upstream: Upstream) -> bool:
        """Whether there was something to tell. :raises StoreFailed:"""
        now = self._runtime.now()
        due = await self._ledger.due_alert(_micro(now), _micro(now + CLAIMED_FOR))
        if due is None:
            return False
        alert = due.alert
        if not due.tries:
            self._log.warning(names.EVENT_BUDGET, message=alert.message, budget=alert.budget.id, percent=alert.percent)
        problem = None if self._webhook is None else await self._deliver(self._webhook, due, upstream)
        again = None if problem is None else _micro(self._runtime.now() + pause_after(due.tries + 1))
        await self._ledger.set_due(alert.id, again)
        if problem is not None:
            self._report("the webhook", f"the webhook fails, and is tried again until it works ({problem})")
        elif self._webhook is not None:
            self._report("the webhook", None)
        return True

    async def _deliver(self, webhook: Webhook, due: DueAlert, upstream: Upstream) -> str | None:
        """What went wrong, without the URL, which may be a secret; None if it was delivered."""
        try:
            async with asyncio.timeout(TIMEOUT):
                reply = await upstream.send(webhook.call(due.body, int(self._runtime.now())))
                try:
                    if not 200 <= reply.status < 300:
                        return f"it answered {reply.status}"
                    await reply.read(_MOST_READ)
                finally:
                    await reply.aclose()
        except TimeoutError:
            return f"no answer within {TIMEOUT:g} s"
        except GatewayError as error:
            return error.kind.name
        return None

    def _report(self, what: str, problem: str | None) -> None:
        """Log when something begins to fail, and when it works again."""
        if problem is not None and what not in self._problems:
            self._log.error(names.EVENT_BUDGET, message=problem)
            self._problems[what] = problem
        elif problem is None and self._problems.pop(what, None) is not None:
            self._log.info(names.EVENT_BUDGET, message=f"{what} works again: what budgets have reached is told")


def _micro(seconds: float) -> int:
    return round(seconds * _MICRO)

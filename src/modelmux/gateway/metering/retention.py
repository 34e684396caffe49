"""Drops the rows of the ledger that are older than ``accounts.retention``, once a day."""

from __future__ import annotations

from typing import Final

from modelmux.gateway.metering.background_loop import BackgroundLoop
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import Ledger
from modelmux.telemetry import names
from modelmux.telemetry.log import Log

#: Seconds between two runs.
DAY: Final = 86_400.0
_MICRO: Final = 1_000_000


class Retention:
    """A run follows the start, and another one each day after that. One that fails is made up for by the next.

    :param age: seconds.
    """

    def __init__(self, ledger: Ledger, age: float, runtime: Runtime, log: Log) -> None:
        self._ledger = ledger
        self._age = age
        self._runtime = runtime
        self._log = log
        self._loop = BackgroundLoop()

    def start(self) -> None:
        """Idempotent."""
        self._loop.start(self._run)

    async def aclose(self) -> None:
        """Idempotent. What was not dropped yet is dropped after the next start."""
        await self._loop.aclose()

    async def _run(self) -> None:
        while True:
            await self._drop()
            await self._runtime.sleep(DAY)

    async def _drop(self) -> None:
        days = f"{self._age / DAY:g} days"
        try:
            count = await self._ledger.drop_before(int((self._runtime.now() - self._age) * _MICRO))
        except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
            cause = str(error) if isinstance(error, StoreFailed) else type(error).__name__
            message = f"rows of the ledger that are older than {days} could not be dropped; the next try is tomorrow"
            self._log.error(names.EVENT_LEDGER, message=f"{message} ({cause})")
            return
        if count:
            self._log.info(names.EVENT_LEDGER, message=f"{count} rows of the ledger older than {days} were dropped")

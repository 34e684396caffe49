"""Once a day: prepares the days to come, and drops the rows that are older than ``accounts.retention``. Each hour:
makes the sums of days that are over, also those that a correction of many rows has made slower to read."""

from __future__ import annotations

from typing import Final

from modelmux.gateway.metering.background_loop import BackgroundTask
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import Ledger
from modelmux.telemetry import names
from modelmux.telemetry.log import Log

#: Seconds between two runs, and between two looks at days that are over.
DAY: Final = 86_400.0
HOUR: Final = 3_600.0
#: Seconds after the end of a day in which most of its rows arrive.
LATE: Final = 3_600.0
_MICRO: Final = 1_000_000


class Retention(BackgroundTask):
    """A run follows the start, and another one each day after that. One that fails is made up for by the next;
    preparing days is tried again each hour, and days that are over are looked at each hour.

    :param age: seconds.
    """

    def __init__(self, ledger: Ledger, age: float, runtime: Runtime, log: Log) -> None:
        super().__init__()
        self._ledger = ledger
        self._age = age
        self._runtime = runtime
        self._log = log

    async def _run(self) -> None:
        while True:
            problem = await self._prepare()
            if problem is not None:
                message = "partitions of the days to come could not be made, without which rows go to ledger_default"
                self._log.error(names.EVENT_LEDGER, message=f"{message}; it is tried each hour ({problem})")
            await self._seal()
            await self._drop()
            for _ in range(int(DAY / HOUR) - 1):
                await self._runtime.sleep(HOUR)
                if problem is not None:  # a backup may use the ledger for hours, each day at this time
                    problem = await self._prepare()
                await self._seal()
            await self._runtime.sleep(HOUR)

    async def _prepare(self) -> str | None:
        """:returns: why it failed."""
        try:
            await self._ledger.prepare_days(int(self._runtime.now() * _MICRO))
        except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
            return str(error) if isinstance(error, StoreFailed) else type(error).__name__
        return None

    async def _seal(self) -> None:
        try:
            await self._ledger.seal_days(int((self._runtime.now() - LATE) * _MICRO))
        except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
            cause = str(error) if isinstance(error, StoreFailed) else type(error).__name__
            message = "sums of days that are over could not be made, so reports are slower; the next try is in an hour"
            self._log.error(names.EVENT_LEDGER, message=f"{message} ({cause})")

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

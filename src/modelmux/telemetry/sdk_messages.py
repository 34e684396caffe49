"""What OpenTelemetry's SDK says, as log events: a collector that does not answer is in the log files, too.

The SDK says it by ``logging``, from its own threads, with each attempt to send; the log has each kind of message once
in a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from typing import Final

from modelmux.telemetry import names
from modelmux.telemetry.log import Log

#: Name of the loggers of the SDK and its exporters.
_LOGGER: Final = "opentelemetry"
#: Seconds in which one kind of message has one line.
INTERVAL: Final = 60.0
#: Characters of a message: an answer of a collector is part of it.
_LONGEST: Final = 500
#: Of an address, which may have a secret there.
_QUERY: Final = re.compile(r"\?[^\s)'\"]+")


class SdkMessages(logging.Handler):
    """Made in the event loop that logs. :param clock: monotonic seconds."""

    def __init__(self, log: Log, clock: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._clock = clock
        self._logged_at: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now, kind = self._clock(), f"{record.name} {record.msg}"
        if now - self._logged_at.get(kind, -INTERVAL) < INTERVAL:
            return
        self._logged_at[kind] = now
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message += f" {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        message = _QUERY.sub("?…", message)[:_LONGEST]
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._note, message)

    def _note(self, message: str) -> None:
        self._log.warning(names.EVENT_TELEMETRY, message=message)


def hear(log: Log, clock: Callable[[], float]) -> SdkMessages | None:
    """Take what the SDK says to the log; None where the program around this library takes it elsewhere."""
    logger = logging.getLogger(_LOGGER)
    if logger.hasHandlers():
        return None
    handler = SdkMessages(log, clock)
    logger.addHandler(handler)
    return handler


def hear_no_more(handler: SdkMessages | None) -> None:
    if handler is not None:
        logging.getLogger(_LOGGER).removeHandler(handler)

"""``python -m support.killed_at POINT COUNT COMMAND…``: the command ``modelmux``, killed when it is at a point for the
COUNT-th time. Nothing of the program knows of it: the functions of a point are wrapped here.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

from modelmux.cli.main import main
from modelmux.gateway.attempts import Attempts
from modelmux.gateway.metering.ledger_observer import LedgerObserver
from modelmux.gateway.metering.recovery import Recovery
from modelmux.gateway.metering.request_journal import Note, RequestJournal
from modelmux.store import accounts_file
from modelmux.store.journal.journal import DeadJournal
from modelmux.store.journal.slots import SlotFile
from modelmux.store.ledger.sqlite_append import Appender
from modelmux.store.ledger.sqlite_ledger import SqliteLedger

#: Name of the point -> the function, and whether the process is killed before it or after it.
POINTS: dict[str, tuple[type[Any], str, bool]] = {
    "before the call is noted": (Note, "save", True),
    "before the call leaves": (Note, "save", False),
    "after the headers": (Attempts, "_send", False),
    "after message_start": (LedgerObserver, "attempted", False),
    "before the request is settled": (LedgerObserver, "settled", True),
    "between settling and the commit": (LedgerObserver, "settled", False),
    "inside the transaction": (Appender, "append", False),
    "before the exchange": (SqliteLedger, "exchange", True),
    "after the exchange": (SqliteLedger, "exchange", False),
    "after the commit": (RequestJournal, "drop", True),
    "while the note is dropped": (SlotFile, "clear", True),
    "when the note is dropped": (SlotFile, "clear", False),
    "before the recovery": (Recovery, "_recover", True),
    "before leases end": (SqliteLedger, "end_holder", True),
    "after leases end": (SqliteLedger, "end_holder", False),
    "before the journal is removed": (DeadJournal, "remove", True),
}
BEFORE_CHECKPOINT, AFTER_CHECKPOINT = "before a checkpoint", "after a checkpoint"


class Countdown:
    def __init__(self, count: int) -> None:
        self._left = count

    def step(self) -> None:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_at(point: str, count: int) -> None:
    countdown = Countdown(count)
    if point in (BEFORE_CHECKPOINT, AFTER_CHECKPOINT):
        kill_at_checkpoint(countdown, before=point == BEFORE_CHECKPOINT)
        return
    owner, name, before = POINTS[point]
    setattr(owner, name, wrapped(getattr(owner, name), countdown, before=before))


def wrapped(function: Callable[..., Any], countdown: Countdown, *, before: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if before:
            countdown.step()
        result = function(*arguments, **named)
        if not before:
            countdown.step()
        return result

    @functools.wraps(function)
    async def call_async(*arguments: Any, **named: Any) -> Any:
        if before:
            countdown.step()
        result = await function(*arguments, **named)
        if not before:
            countdown.step()
        return result

    return call_async if asyncio.iscoroutinefunction(function) else call


def kill_at_checkpoint(countdown: Countdown, *, before: bool) -> None:
    accounts_file.CHECKPOINT_BYTES = 1  # type: ignore[misc]

    class Connection(accounts_file._Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            is_checkpoint = "wal_checkpoint" in sql
            if is_checkpoint and before:
                countdown.step()
            result = super().execute(sql, *parameters)
            if is_checkpoint and not before:
                result.fetchall()
                countdown.step()
            return result

    accounts_file._Connection = Connection  # type: ignore[misc]


if __name__ == "__main__":
    kill_at(sys.argv[1], int(sys.argv[2]))
    sys.argv[1:3] = []
    main()

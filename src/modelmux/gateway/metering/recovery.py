"""Makes the rows of requests whose process was killed, from its journal, and frees what it had leased.

The journal of a process is complete unless the machine itself went down: then pages of it may be missing. What the
process had leased counts as spent then, and where a note cannot be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from modelmux.accounts.alert_types import Alert
from modelmux.accounts.alerts import in_doubt_alert, is_in_doubt
from modelmux.accounts.cost import Cost
from modelmux.accounts.entry import Entry
from modelmux.accounts.journal_record import decode_record, recovered_entry
from modelmux.accounts.silence import Silences
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.uuid7 import Uuid7s
from modelmux.catalog.prices import PriceList
from modelmux.gateway.metering.background_loop import BackgroundTask
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.journal.journal import DeadJournal, journal_paths, owner_of, take_dead
from modelmux.store.ledger.base import Ledger
from modelmux.telemetry import names
from modelmux.telemetry.log import Log

#: Seconds between two looks for journals of processes that were killed.
EVERY: Final = 30.0
#: Seconds until the next look after one that failed, twice as many after each further one, up to ``EVERY``.
_AGAIN: Final = 1.0
#: Rows of one transaction.
_BATCH: Final = 1_000
_MICRO: Final = 1_000_000
#: The key of rows that charge what no key is known of.
_UNKNOWN: Final = "unknown"
_REASON: Final = "lease of a process that was lost with its journal"


class Recovery(BackgroundTask):
    """Looks at the start, and again and again after that.

    :param prices: returns those of now; a reload may replace it.
    :param on_charged: gets what was charged because it is not known whether it was spent.
    """

    def __init__(
        self,
        ledger: Ledger,
        directory: Path,
        prices: Callable[[], PriceList],
        ids: Uuid7s,
        runtime: Runtime,
        log: Log,
        on_charged: Callable[[Mapping[WindowKey, int]], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self._on_charged = on_charged
        self._ledger = ledger
        self._directory = directory
        self.prices = prices
        self._ids = ids
        self._runtime = runtime
        self._log = log
        self._problem: str | None = None  # which the log has already
        self._silences = Silences()

    async def _run(self) -> None:
        again = _AGAIN
        while True:
            pause = EVERY
            try:
                await self.run()
                self._problem, again = None, _AGAIN
            except Exception as error:  # noqa: BLE001 - whatever it is, there is a next time
                cause = str(error) if isinstance(error, StoreFailed | OSError) else type(error).__name__
                if cause != self._problem:
                    self._problem = cause
                    message = "requests of a process that was killed could not be written to the ledger yet"
                    self._log.error(names.EVENT_LEDGER, message=f"{message} ({cause})")
                pause, again = min(again, EVERY), 2 * again
            await self._runtime.sleep(pause)

    async def run(self) -> None:
        """Once. A journal that fails holds up no other.

        :raises StoreFailed: :raises OSError: of the first that failed; what was not recovered is there still.
        """
        owners: set[str] = set()
        failure: Exception | None = None
        for path in await asyncio.to_thread(journal_paths, self._directory):
            try:
                await self._look_at(path, owners)
            except Exception as error:  # noqa: BLE001 - raised when the others are done
                failure = failure or error
        for holder in self._silences.look(await self._ledger.holders(), self._runtime.clock()):
            if holder not in owners:
                await self._end_holder(holder, [], charges=True)
        if failure is not None:
            raise failure

    async def _look_at(self, path: Path, owners: set[str]) -> None:
        """:param owners: gets the process whose journal it is."""
        journal = await asyncio.to_thread(take_dead, path)
        owner = await asyncio.to_thread(owner_of, path) if journal is None else journal.owner
        if owner is not None:
            owners.add(owner.holder)
        if journal is None:
            return
        try:
            await self._recover(journal)
        finally:
            journal.close()

    async def _recover(self, journal: DeadJournal) -> None:
        owner = journal.owner
        if owner is not None:
            entries, unreadable = await asyncio.to_thread(self._entries, journal)
            for begin in range(0, len(entries), _BATCH):
                now = round(self._runtime.now() * _MICRO)
                await self._ledger.exchange(owner.holder, entries[begin : begin + _BATCH], {}, now)
            is_whole = journal.is_of_this_boot and not unreadable
            await self._end_holder(owner.holder, [one for one in entries if is_in_doubt(one)], charges=not is_whole)
            self._report(len(entries), unreadable)
        await asyncio.to_thread(journal.remove)

    async def _end_holder(self, holder: str, in_doubt: Sequence[Entry], *, charges: bool) -> None:
        """:param in_doubt: its rows. :param charges: what it had leased counts as spent."""
        charged: dict[WindowKey, int] = {}

        def row(window: WindowKey, amount: int) -> Entry:
            charged[window] = amount
            return self._row_of_lease(window, amount)

        def alert() -> Alert | None:
            windows = sum(amount > 0 for amount in charged.values())
            return in_doubt_alert(holder, in_doubt, windows, round(self._runtime.now() * _MICRO))

        await self._ledger.end_holder(holder, row if charges else None, alert)
        self._on_charged(charged)

    def _entries(self, journal: DeadJournal) -> tuple[list[Entry], int]:
        """The rows, and how many there should be beside them."""
        entries: dict[bytes, Entry] = {}
        unreadable = 0
        for text in journal.texts:
            try:
                entry = recovered_entry(decode_record(text), self.prices())
                self._ledger.check_entry(entry)
            except Exception:  # noqa: BLE001 - whatever it is, one note must not hold up all others
                unreadable += 1
            else:
                entries[entry.id] = entry  # of two texts the later one
        return list(entries.values()), unreadable

    def _report(self, count: int, unreadable: int) -> None:
        if count:
            message = f"{count} requests of a process that was killed were written to the ledger"
            self._log.info(names.EVENT_LEDGER, message=message)
        if unreadable:
            message = "requests of a process that was killed cannot be read in its journal, and have no rows"
            self._log.error(names.EVENT_LEDGER, message=message, lost=unreadable)

    def _row_of_lease(self, window: WindowKey, amount: int) -> Entry:
        at = round(self._runtime.now() * _MICRO)
        return Entry(
            id=self._ids.new(at),
            at=at,
            kind="in_doubt",
            reason=_REASON,
            key=_UNKNOWN,
            cost=Cost(),
            recovered=True,
            debits=((window, amount),),
        )

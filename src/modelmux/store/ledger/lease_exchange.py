"""Writes rows and exchanges leases in one transaction: the store never knows the one without the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from modelmux.accounts.alerts import Watches
from modelmux.accounts.entry import Entry
from modelmux.accounts.lease_book import LeaseBook, sums
from modelmux.accounts.lease_term import LeaseTerm
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.base import Ledger

_MICRO: Final = 1_000_000


class LeaseExchange:
    """
    :param holder: names this process and its start.
    :param clock: monotonic seconds. :param now: Unix seconds.
    :param watches: of windows whose thresholds are told.
    :param on_exchanged: gets the seconds that an exchange took.
    :param term: of the leases, which an exchange renews.
    """

    def __init__(
        self,
        ledger: Ledger,
        book: LeaseBook,
        holder: str,
        clock: Callable[[], float],
        now: Callable[[], float],
        watches: Watches | None = None,
        on_exchanged: Callable[[float], None] = lambda _: None,
        term: LeaseTerm | None = None,
    ) -> None:
        self._ledger = ledger
        self.book = book
        self._holder = holder
        self._clock = clock
        self._now = now
        self._watches = watches or Watches()
        self._on_exchanged = on_exchanged
        self._term = term or LeaseTerm(math.inf)
        self.is_ending = False

    @property
    def has_leases(self) -> bool:
        """Whether exchanges have to go on, so that nothing is kept from others."""
        return self.book.has_leases

    async def leave(self) -> None:
        """The process ends, after its last exchange. :raises StoreFailed:"""
        await self._ledger.leave(self._holder)

    async def write(self, entries: Sequence[Entry]) -> None:
        """Write rows, and ask for what requests need. Nothing is written if there is neither.

        :raises StoreFailed: it may be repeated with the same rows.
        """
        try:
            await self._write(entries)
        except StoreFailed:
            self.book.repeat()
            raise

    async def _write(self, entries: Sequence[Entry]) -> None:
        await self._look()
        debits, clock = sums(entry.debits for entry in entries), self._clock()
        has_ended = self._term.has_ended(clock)  # what is free is given back: it may have been ended by another node
        asks = self.book.asks(debits, clock, all_back=self.is_ending or has_ended)
        watches = self._watches.of(debits)
        if asks or debits or watches or has_ended:
            grants = await self._ledger.exchange(self._holder, entries, asks, round(self._now() * _MICRO), watches)
            self._term.exchanged(clock)
            self._watches.looked_at(watches)
            ended = self._clock()
            self._on_exchanged(ended - clock)
            self.book.granted(debits, grants, ended)
        elif entries:
            await self._ledger.append(entries)

    async def _look(self) -> None:
        """See which windows are recalled that this process only keeps; it gives back in the exchange that follows."""
        clock = self._clock()
        if self.book.is_look_due(clock) and not (self.is_ending or self._term.has_ended(clock)):
            self.book.looked(await self._ledger.recalled(self._holder, round(self._now() * _MICRO)), clock)

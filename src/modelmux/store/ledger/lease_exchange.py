"""Writes rows and exchanges leases in one transaction: the store never knows the one without the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from modelmux.accounts.alerts import Watches
from modelmux.accounts.entry import Entry
from modelmux.accounts.lease_book import LeaseBook, sums
from modelmux.store.ledger.base import Ledger

_MICRO: Final = 1_000_000


class LeaseExchange:
    """
    :param holder: names this process and its start.
    :param clock: monotonic seconds. :param now: Unix seconds.
    :param watches: of windows whose thresholds are told.
    """

    def __init__(
        self,
        ledger: Ledger,
        book: LeaseBook,
        holder: str,
        clock: Callable[[], float],
        now: Callable[[], float],
        watches: Watches | None = None,
    ) -> None:
        self._ledger = ledger
        self.book = book
        self._holder = holder
        self._clock = clock
        self._now = now
        self._watches = watches or Watches()
        self.is_ending = False

    @property
    def has_leases(self) -> bool:
        """Whether exchanges have to go on, so that nothing is kept from others."""
        return self.book.has_leases

    async def write(self, entries: Sequence[Entry]) -> None:
        """Write rows, and ask for what requests need. Nothing is written if there is neither.

        :raises StoreFailed: it may be repeated with the same rows.
        """
        debits, clock = sums(entry.debits for entry in entries), self._clock()
        asks = self.book.asks(debits, clock, all_back=self.is_ending)
        watches = self._watches.of(debits)
        if asks or debits or watches:
            grants = await self._ledger.exchange(self._holder, entries, asks, round(self._now() * _MICRO), watches)
            self._watches.looked_at(watches)
            self.book.granted(debits, grants, self._clock())
        elif entries:
            await self._ledger.append(entries)

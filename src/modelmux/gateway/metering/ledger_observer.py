"""The observer that hands every request that is over to the ledger, however it ended."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from modelmux.accounts.entry import Entry
from modelmux.accounts.uuid7 import Uuid7s
from modelmux.errors import GatewayError
from modelmux.gateway.metering.entry_of import Rules, entry_of
from modelmux.gateway.metering.held import Held
from modelmux.runtime import Runtime
from modelmux.store.ledger.writer import LedgerWriter
from modelmux.telemetry.records import AttemptRecord, Charged, ExchangeRecord

_MICRO: Final = 1_000_000


class LedgerObserver:
    """An ``ExchangeObserver``. It makes a row of the request and puts it in line; it is written elsewhere.

    :param ids: makes the ids of rows whose requests have no note.
    :param on_row: called with each row that was made, in the event loop.
    :param settle: ends what a request holds of budgets; called in the event loop.
    """

    def __init__(
        self,
        writer: LedgerWriter,
        rules: Rules,
        runtime: Runtime,
        ids: Uuid7s,
        on_row: Callable[[Entry], None],
        settle: Callable[[Held, Entry | None], Entry | None],
    ) -> None:
        self._writer = writer
        self._rules = rules
        self._now = runtime.now
        self._ids = ids
        self._on_row = on_row
        self._settle = settle
        #: Of the request that was settled last; None where its row is made later, or not at all.
        self.charged: Charged | None = None

    def started(self) -> None:
        pass

    def attempted(self, request_id: str, record: AttemptRecord) -> None:
        del request_id
        if record.note is not None:
            record.note.save()

    def error_sent(self, error: GatewayError, status: int) -> None:
        pass

    def store_failed(self, request_id: str, error: Exception) -> None:
        pass

    def settled(self, record: ExchangeRecord) -> None:
        note = record.attempts[-1].note if record.attempts else None
        if note is None:
            at = round((self._now() - record.duration) * _MICRO)
            id = self._ids.new(at)
        else:
            note.end()
            id, at = note.id, note.at
        held: Held | None = None
        has_body, rows = False, list[Entry]()  # one at most
        for attempt in record.attempts:
            held = attempt.held or held
            has_body |= attempt.body is not None
        make = functools.partial(entry_of, record, id, at, self._rules)
        on_row = functools.partial(self._settled, held, rows)
        self._writer.add(make, on_row, at_once=not has_body)  # what is estimated of a body may take long
        self.charged = _charged(rows[0]) if rows else None

    def _settled(self, held: Held | None, rows: list[Entry], entry: Entry | None) -> Entry | None:
        """:param rows: gets the row, with what it spent of budgets."""
        if entry is not None:
            self._on_row(entry)
        settled = entry if held is None else self._settle(held, entry)
        if settled is not None:
            rows.append(settled)
        return settled


def _charged(entry: Entry) -> Charged:
    cost = entry.cost
    total = None if cost is None else cost.total
    return Charged(cost=total, price=entry.price, hold=entry.hold or None, tags=entry.tags)

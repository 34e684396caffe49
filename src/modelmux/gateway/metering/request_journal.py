"""Notes what a running request has cost so far, so that it has its row though its process be killed.

A note is written right before a call leaves, when its reply begins, when it ends, and when the request is over. It is
dropped when the row is in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from modelmux.accounts.entry import Entry
from modelmux.accounts.journal_record import (
    JournalCall,
    JournalRecord,
    encode_record,
)
from modelmux.accounts.uuid7 import Uuid7s
from modelmux.claude.demand import Demand, demand_of
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.metering.arrival import arrival_of
from modelmux.gateway.metering.entry_of import MAX_NAME
from modelmux.gateway.metering.held import Held
from modelmux.gateway.preparation import Prepared
from modelmux.routing.model import Deployment
from modelmux.runtime import Runtime
from modelmux.store.base import accounts_unavailable
from modelmux.store.journal.journal import Journal
from modelmux.store.journal.slots import Slot
from modelmux.telemetry.records import AttemptRecord


class Note:
    """That of one request.

    :param attempts: of its exchange. Those before the last are over.
    :ivar id, at: of its row.
    """

    __slots__ = ("_attempts", "_before", "_demand", "_journal", "_record", "_saved", "at", "id", "slot")

    def __init__(self, journal: Journal, record: JournalRecord, attempts: Sequence[AttemptRecord]) -> None:
        self.id = record.id
        self.at = record.at
        self._journal = journal
        self._record = record
        self._attempts = attempts
        self._before: tuple[JournalCall, ...] = ()
        self._demand: Demand | None = None  # of the last call
        self._saved: JournalCall | None = None
        self.slot: Slot | None = None

    def add(self, demand: Demand, held: Held | None) -> None:
        """Another call begins soon."""
        if self._demand is not None and (last := self._attempts[-1]).was_sent:
            call = _call(last, self._demand)
            self._before += (call,)
            if call != self._saved:  # how it ended: the next one may never leave
                self._record.calls = self._before
                self.slot = self._journal.write(self.slot, encode_record(self._record))
        self._demand, self._saved = demand, None
        if held is not None:
            self._record.windows = held.charged

    def save(self) -> None:
        """Write what is known by now, if the last call has left and there is news."""
        last, demand, saved = self._attempts[-1], self._demand, self._saved
        if demand is None or not last.was_sent or (saved is not None and saved.is_complete):
            return
        call = _call(last, demand)
        if call != saved:
            self._saved = call
            self._record.calls = (*self._before, call)
            self.slot = self._journal.write(self.slot, encode_record(self._record))

    def end(self) -> None:
        """The request is over: save it, and keep nothing of it, for its row may wait for long."""
        self.save()
        self._attempts, self._before, self._demand, self._saved = (), (), None, None
        self._record.calls = self._record.windows = ()


class RequestJournal:
    """The notes of a process.

    :param open_journal: opens that of the process; called when the first note is written.
    """

    def __init__(self, open_journal: Callable[[], Journal], runtime: Runtime, ids: Uuid7s) -> None:
        self._open = open_journal
        self._opened: Journal | None = None
        self._runtime = runtime
        self._ids = ids
        self._notes: dict[bytes, Note] = {}

    @property
    def size(self) -> int:
        """Notes that are in the file."""
        return 0 if self._opened is None else self._opened.size

    def open(self) -> Journal:
        """
        :raises StoreUnavailable: the file cannot be created. No call may leave without a note.
        """
        if self._opened is None:
            try:
                self._opened = self._open()
            except OSError as error:
                message = "The journal of requests cannot be written at the moment."
                raise accounts_unavailable(message, error.strerror or str(error)) from None
        return self._opened

    async def note_call(
        self, keys: Mapping[str, str], exchange: Exchange, prepared: Prepared, deployment: Deployment, held: Held | None
    ) -> Note:
        """The note of a request, of which a call begins soon.

        :param keys: owner of a caller -> id of the key, as rows have it.
        :raises StoreUnavailable: see ``open``.
        """
        demand = held.demand if held is not None else None
        if demand is None:
            body, card = prepared.encoded, deployment.card
            if exchange.is_costly:
                demand = await exchange.services.large_requests.run(demand_of, body, card)
            else:
                demand = demand_of(body, card)
        note: Note | None = exchange.attempts[-1].note if exchange.attempts else None
        if note is None:
            note = self._new(exchange, keys)
        note.add(demand, held)
        return note

    def drop(self, entries: Sequence[Entry]) -> None:
        """Their rows are in the ledger."""
        for entry in entries:
            note = self._notes.pop(entry.id, None)
            if note is not None and note.slot is not None:
                self.open().clear(note.slot)

    def close(self) -> None:
        """Of rows that are not in the ledger, the notes stay. Idempotent."""
        if self._opened is not None:
            self._opened.close()

    def _new(self, exchange: Exchange, keys: Mapping[str, str]) -> Note:
        inbound, caller = exchange.inbound, exchange.inbound.caller
        at = arrival_of(exchange, self._runtime)
        record = JournalRecord(
            self._ids.new(at),
            at,
            keys.get(caller.owner, caller.owner),
            caller.person,
            caller.team,
            exchange.dialect.name,
            inbound.operation,
            exchange.route.name if exchange.route is not None else None,
            exchange.decoded is not None and exchange.decoded.stream,
        )
        note = self._notes[record.id] = Note(self.open(), record, exchange.attempts)
        return note


def _call(attempt: AttemptRecord, demand: Demand) -> JournalCall:
    """:param attempt: one that was sent."""
    return JournalCall(
        attempt.deployment,
        attempt.card.id,
        attempt.location,
        attempt.usage,
        attempt.is_complete,
        attempt.output_reported,
        attempt.error is None or attempt.may_be_billed,
        attempt.characters,
        demand.prompt,
        demand.output,
        attempt.ended_at is not None or attempt.is_complete,
        attempt.message_id[:MAX_NAME] if attempt.message_id else None,
        demand.writes,
        demand.searches,
        demand.fast,
    )

"""Notes of requests that run: from before anything is leased until the row is written.

Risk: a hold that stays because the note cannot be written; leases without a journal; memory that grows while the ledger
cannot be written; a journal that nobody ever looks at; a stop that fails because requests still run.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from behaviour.test_budgets_are_never_passed import NANO, World, unanswered
from modelmux.accounts.journal_record import JournalRecord, decode_record
from modelmux.catalog.models import builtin
from modelmux.claude.demand import Demand
from modelmux.gateway.metering.recovery import Recovery
from modelmux.gateway.metering.request_journal import Note
from modelmux.store.journal.journal import Journal, take_dead
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.telemetry.records import AttemptRecord
from modelmux.wire.anthropic import Usage
from support.fakes import message_reply


def journals(folder: Path) -> list[Path]:
    return list((folder / "accounts.db-journals").glob("*"))


async def test_a_journal_that_cannot_begin_refuses_before_anything_is_held(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(NANO)
    obstacle = tmp_path / "accounts.db-journals"
    obstacle.write_text("not a directory")

    response = await world.ask()

    assert (response.status, response.json()["error"]["code"]) == (503, "accounts_unavailable")
    assert (world.held(), world.upstream.calls) == (0, [])
    obstacle.unlink()
    assert (await world.ask()).status == 200
    await world.end()
    assert [row[1] for row in world.windows()] == [0]


async def test_nothing_is_leased_by_a_process_without_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(NANO)
    at_exchanges: list[int] = []
    exchange = SqliteLedger.exchange

    async def watched(self: SqliteLedger, *arguments: Any) -> Any:
        at_exchanges.append(len(journals(tmp_path)))
        return await exchange(self, *arguments)

    monkeypatch.setattr(SqliteLedger, "exchange", watched)
    assert (await world.ask()).status == 200
    await world.end()
    assert set(at_exchanges) == {1}


async def test_without_a_lifespan_the_first_request_begins_the_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(Recovery, "start", lambda self: started.append(self))
    world = World(tmp_path, message_reply(), message_reply())
    await world.begin(NANO)
    assert started == []
    for _ in range(2):
        assert (await world.ask()).status == 200
    await world.end()
    assert started == [world.app.metering._recovery]


async def test_a_note_keeps_nothing_of_a_request_that_is_over(tmp_path: Path) -> None:
    """Its body may be large, and the ledger may fail for long."""
    world = World(tmp_path, unanswered(), retries={"max": 0}, traces={"enabled": False})
    await world.begin(NANO)
    metering = world.app.metering
    assert metering.writer is not None
    assert metering._journal is not None
    assert (await world.ask()).status == 504
    metering.writer._new.clear()
    world.upstream.calls.clear()  # which tell their records what has left
    gc.collect()
    kept = [one for one in gc.get_objects() if isinstance(one, AttemptRecord) and one.body is not None]
    assert (len(metering._journal._notes), kept) == (1, [])
    await world.end()
    assert len(journals(tmp_path)) == 1, "the row was not written"


async def test_a_stop_with_running_requests_leaves_their_notes(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "me", print)
    slot = journal.write(None, b"one")
    assert slot is not None
    journal.close()

    assert journal.write(slot, b"two") is slot
    assert journal.write(None, b"three") is None
    journal.clear(slot)

    dead = take_dead(journal.path)
    assert dead is not None
    assert dead.texts == [b"one"]
    dead.close()


class _Texts:
    """A journal that remembers what was written."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []

    def write(self, slot: object, text: bytes) -> object:
        self.texts.append(text)
        return slot or object()


def test_a_call_that_has_ended_is_noted_though_the_next_one_never_leaves() -> None:
    """A reply that pauses for its tools, whose continuation finds no slot."""
    texts, attempts, demand = _Texts(), list[AttemptRecord](), Demand(prompt=1_000, output=64_000)
    note = Note(texts, JournalRecord(bytes(16), 1, "key", None, "", "chat", "chat", "r", True), attempts)  # type: ignore[arg-type]

    def begin(number: int) -> AttemptRecord:
        note.add(demand, None)
        attempts.append(AttemptRecord(number, False, "d", builtin().cards[0], 0.0, location="global", note=note))
        return attempts[-1]

    first = begin(1)
    first.mark_sent()
    first.usage = Usage(7, output_tokens=1)
    note.save()
    first.usage, first.is_complete, first.output_reported = Usage(7, output_tokens=3), True, True
    first.end(1.0)
    begin(2).end(2.0)
    note.end()
    (call,) = decode_record(texts.texts[-1]).calls
    assert (call.is_ended, call.usage) == (True, Usage(7, output_tokens=3))

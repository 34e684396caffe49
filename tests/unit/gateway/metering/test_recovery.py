"""What a killed process left becomes rows, once, and its leases end.

Risk: one journal that cannot be read or written keeps all others from their rows; a journal of another version is
removed; what a process may have spent is free again; a row of a lease is charged twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.alert_types import InDoubtAlert
from modelmux.accounts.amounts import format_amount
from modelmux.accounts.debits import ChargedWindow
from modelmux.accounts.entry import Entry
from modelmux.accounts.journal_record import JournalCall, JournalRecord, encode_record
from modelmux.accounts.leases import Ask
from modelmux.accounts.silence import LOST_AFTER
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.uuid7 import Uuid7s, uuid7
from modelmux.catalog import builtin_prices
from modelmux.gateway.metering import recovery as module
from modelmux.gateway.metering.recovery import EVERY, Recovery
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.journal import journal as journals
from modelmux.store.journal.journal import Journal, journal_paths
from modelmux.store.journal.slots import MAGIC
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.wire.anthropic import Usage

NOW = 1_790_000_000.0
MICRO = 1_000_000
MONTH = WindowKey("bud_1", "", 5)
LEASED = 1_000_000_000
USAGE = Usage(input_tokens=100, output_tokens=20)


class Log:
    """Messages with their levels, and what was lost."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, Any]] = []

    def debug(self, event: str, **fields: Any) -> None:
        raise AssertionError(event)

    warning = debug

    def info(self, event: str, **fields: Any) -> None:
        self.messages.append(("info", fields["message"], fields.get("lost")))

    def error(self, event: str, **fields: Any) -> None:
        self.messages.append(("error", fields["message"], fields.get("lost")))


class FailingLedger(SqliteLedger):
    """Fails at the exchanges of one process, as long as there is one."""

    failing: str | None = None

    async def exchange(self, holder: str, entries: Sequence[Entry], *others: Any) -> Any:
        if holder == self.failing:
            raise StoreFailed("no space left")
        return await super().exchange(holder, entries, *others)


class World:
    def __init__(self, folder: Path) -> None:
        self.ledger = FailingLedger(folder / "accounts.db")
        self.directory = folder / "accounts.db-journals"
        self.now = NOW
        self.log = Log()
        self.slept: list[float] = []
        #: How many looks fail, if any does.
        self.outage = 1
        runtime = Runtime(now=lambda: self.now, clock=lambda: self.now, sleep=self.sleep)
        self.charged: list[dict[WindowKey, int]] = []
        self.recovery = Recovery(
            self.ledger, self.directory, builtin_prices, Uuid7s(lambda count: bytes(count)), runtime, self.log,
            lambda charged: self.charged.append(dict(charged)),
        )  # fmt: skip

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) >= self.outage:
            self.ledger.failing = None
        if len(self.slept) > self.outage + 1:
            await self.recovery.aclose()

    def killed(self, holder: str, *texts: bytes) -> Path:
        """The journal that a process left."""
        journal = Journal(self.directory, holder, print)
        for text in texts:
            journal.write(None, text)
        journal.size += 1  # else the stop removes it
        journal.close()
        return journal.path

    async def lease(self, holder: str) -> None:
        await self.ledger.exchange(holder, [], {MONTH: Ask(LEASED, LEASED, 10 * LEASED)}, round(self.now * MICRO))

    async def rows(self) -> list[Entry]:
        return (await self.ledger.entries(EntryQuery())).entries

    async def leased(self) -> int:
        """Of the window, by all. What it has spent is the sum of its rows."""
        grants = await self.ledger.exchange("asks", [], {MONTH: Ask(0, 0, 10**15)}, round(self.now * MICRO))
        await self.ledger.end_holder("asks")
        return grants[MONTH].leased_by_others


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.recovery.aclose()
    await world.ledger.aclose()


def note(number: int, **changes: Any) -> bytes:
    call = JournalCall(
        "global/sonnet", "claude-sonnet-4-6", "global", USAGE, is_complete=True, output_reported=True,
        may_be_billed=True, characters=50, prompt_bound=400, output_bound=1_000, is_ended=True, message_id="msg_1",
    )  # fmt: skip
    call = replace(call, **changes)
    at = round(NOW * MICRO)
    id = uuid7(at, number.to_bytes(8, "big"))
    window = ChargedWindow(MONTH, "usd", None, 9_000_000)
    return encode_record(
        JournalRecord(id, at, "key_1", None, "team_1", "chat", "chat", "fast", False, (window,), (call,))
    )


async def test_requests_of_a_killed_process_have_their_rows_once_and_its_leases_end(world: World) -> None:
    await world.lease("dead")
    world.killed("dead", note(1), note(2))

    await world.recovery.run()
    await world.recovery.run()

    rows = await world.rows()
    assert [(row.kind, row.key, row.recovered) for row in rows] == [("usage", "key_1", True)] * 2
    assert await world.ledger.holders() == {}
    assert await world.leased() == 0
    assert journal_paths(world.directory) == []
    assert [message[:2] for message in world.log.messages] == [
        ("info", "2 requests of a process that was killed were written to the ledger")
    ]


async def test_a_directory_that_does_not_exist_yet_has_no_journals(world: World) -> None:
    await world.recovery.run()

    assert await world.rows() == []


async def test_after_a_start_of_the_machine_what_was_leased_counts_as_spent(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await world.lease("dead")
    world.killed("dead", note(1))
    later = tmp_path / "boot"
    later.write_text("another\n")
    monkeypatch.setattr(journals, "_BOOT_ID", later)

    await world.recovery.run()
    await world.recovery.run()

    of_request, of_lease = sorted(await world.rows(), key=lambda row: row.kind, reverse=True)
    assert (of_request.kind, of_lease.kind, of_lease.key) == ("usage", "in_doubt", "unknown")
    assert sum(amount for row in (of_request, of_lease) for _, amount in row.debits) == LEASED
    assert await world.leased() == 0


async def test_what_is_in_doubt_is_told_once(world: World) -> None:
    """Of a process whose request had not ended, and of one that was lost with its leases. Else nothing is told."""
    world.killed("ended", note(1))
    world.killed("dead", note(2, is_ended=False), note(3))
    await world.lease("lost")
    await world.recovery.run()
    world.now += LOST_AFTER + 1
    await world.recovery.run()
    await world.recovery.run()

    now = round(world.now * MICRO)
    told: list[InDoubtAlert] = []
    while (alert := await world.ledger.alerts.hand_out(now, {})) is not None:
        assert isinstance(alert, InDoubtAlert)
        told.append(alert)
    rows = {row.id: row.cost for row in await world.rows() if row.kind == "in_doubt" and row.debits}
    costs = [format_amount(cost.total, "usd") for cost in rows.values() if cost is not None and cost.total]
    assert [(one.process, one.requests, one.windows) for one in told] == [("dead", 1, 0), ("lost", 0, 1)]
    assert [one.cost for one in told] == [*costs, "0"]


async def test_a_process_without_a_journal_is_lost_after_ten_minutes(world: World) -> None:
    await world.lease("lost")
    alive = Journal(world.directory, "alive", print)
    await world.lease("alive")
    await world.recovery.run()

    world.now += LOST_AFTER
    await world.recovery.run()
    assert await world.rows() == []

    world.now += 1
    await world.recovery.run()
    await world.recovery.run()

    (row,) = await world.rows()
    assert (row.kind, row.debits, row.reason) == ("in_doubt", ((MONTH, LEASED),), module._REASON)
    assert world.charged == [{MONTH: LEASED}]
    assert list(await world.ledger.holders()) == ["alive"]
    alive.close()


async def test_a_process_that_lives_on_a_machine_with_another_clock_is_not_lost(world: World) -> None:
    for _ in range(3):
        behind = round((world.now - 10 * LOST_AFTER) * MICRO)
        await world.ledger.exchange("node", [], {MONTH: Ask(LEASED, LEASED, 10 * LEASED)}, behind)
        await world.recovery.run()
        world.now += LOST_AFTER - 1
    assert await world.rows() == []


@pytest.mark.parametrize("text", [b"{", b"[]", note(1)[:-1] + b",1", encode_record(JournalRecord(
    bytes(16), 10**30, "k", None, "", "chat", "chat", None, False))])  # fmt: skip
async def test_a_note_that_cannot_be_read_holds_up_no_other_and_its_money_counts_as_spent(
    world: World, text: bytes
) -> None:
    await world.lease("dead")
    world.killed("dead", text, note(2))

    await world.recovery.run()

    rows = await world.rows()
    assert sorted(row.kind for row in rows) == ["in_doubt", "usage"]
    assert sum(amount for row in rows for _, amount in row.debits) == LEASED
    assert journal_paths(world.directory) == []
    assert world.log.messages[-1][0::2] == ("error", 1)


async def test_a_journal_that_fails_holds_up_no_other_and_keeps_its_leases(world: World) -> None:
    await world.lease("failing")
    first, second = world.killed("failing", note(1)), world.killed("dead", note(2))
    paths = sorted((first, second))
    first.rename(paths[0].with_name("1-first.journal"))
    world.ledger.failing = "failing"
    world.now += LOST_AFTER + 1
    await world.lease("lost")
    for _ in range(2):
        with pytest.raises(StoreFailed, match="no space left"):
            await world.recovery.run()
        world.now += LOST_AFTER + 1

    assert sorted(row.kind for row in await world.rows()) == ["in_doubt", "usage"]
    assert list(await world.ledger.holders()) == ["failing"], "its rows say what it spent, when they are written"

    world.ledger.failing = None
    await world.recovery.run()
    assert len(await world.rows()) == 3
    assert journal_paths(world.directory) == []


async def test_a_journal_of_another_user_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = world.killed("root", note(1)).rename(world.directory / "1-root.journal")
    world.killed("dead", note(2))
    take = module.take_dead

    def take_ours(path: Path) -> Any:
        if path == theirs:
            raise PermissionError(13, "Permission denied", str(path))
        return take(path)

    monkeypatch.setattr(module, "take_dead", take_ours)

    with pytest.raises(PermissionError):
        await world.recovery.run()

    assert len(await world.rows()) == 1
    assert journal_paths(world.directory) == [theirs]


async def test_a_journal_of_another_version_is_kept_for_that_version(world: World) -> None:
    path = world.killed("newer", note(1))
    with path.open("r+b") as file:
        file.write(MAGIC.replace(b"1", b"2"))

    for _ in range(2):
        with pytest.raises(OSError, match=f"{path.name} has the format of another version"):
            await world.recovery.run()

    assert journal_paths(world.directory) == [path]


async def test_after_a_failure_it_goes_on_and_says_so_once(world: World) -> None:
    world.killed("dead", note(1))
    world.ledger.failing = "dead"

    world.recovery.start()
    world.recovery.start()
    task = world.recovery._loop._task
    assert task is not None
    await module.asyncio.wait([task])

    assert len(await world.rows()) == 1
    assert [(level, message.partition(" (")[0]) for level, message, _ in world.log.messages] == [
        ("error", "requests of a process that was killed could not be written to the ledger yet"),
        ("info", "1 requests of a process that was killed were written to the ledger"),
    ]
    assert world.slept == [1.0, EVERY, EVERY]


async def test_a_look_that_failed_is_repeated_soon(world: World) -> None:
    """Risk: a lock of a moment keeps what a killed process had leased from everyone for half a minute."""
    world.killed("dead", note(1))
    world.ledger.failing, world.outage = "dead", 7

    world.recovery.start()
    task = world.recovery._loop._task
    assert task is not None
    await module.asyncio.wait([task])

    assert world.slept == [1.0, 2.0, 4.0, 8.0, 16.0, EVERY, EVERY, EVERY, EVERY]
    assert len(await world.rows()) == 1

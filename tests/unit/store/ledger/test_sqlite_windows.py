"""Risk: leases and what is spent together pass a limit, or a process that ended keeps a part of a window."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from modelmux.accounts.entry import Entry
from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.slices import UNLIMITED, WindowKey
from modelmux.store.accounts_file import AccountsFile
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.sqlite_ledger import SqliteLedger
from modelmux.store.ledger.sqlite_windows import book, end_holder, exchange, leases_of, spent_of
from modelmux.store.ledger.stored_windows import RECALLED_FOR
from modelmux.store.migrate import apply, sqlite_migrations
from support.ledgers import entry

A, B = (WindowKey(f"bud_{name}", "", 0) for name in "ab")
LIMITS = {A: 100, B: 1_000}


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    apply(connection, sqlite_migrations())
    return connection


def asked(connection: sqlite3.Connection, holder: str, need: int, want: int | None = None, now: int = 0) -> Grant:
    return exchange(connection, holder, {A: Ask(need, need if want is None else want, LIMITS[A])}, now)[A]


def test_two_processes_share_a_window() -> None:
    connection = database()
    assert asked(connection, "one", 10, 80).leased == 80
    assert asked(connection, "two", 10, 80) == Grant(20, 0, 80)
    book(connection, "one", [(A, 30), (A, 20)])
    assert spent_of(connection, [A, B]) == {A: (50, 50), B: (0, 0)}
    assert asked(connection, "one", 0, 0) == Grant(0, 30, 20)
    assert asked(connection, "two", 10, 80).leased == 50


def test_a_process_that_gets_too_little_recalls_what_others_have() -> None:
    connection = database()
    asked(connection, "one", 10, 100)
    assert asked(connection, "two", 50, now=5).leased == 0
    kept = asked(connection, "one", 10, 100, now=6)
    assert (kept.leased, kept.is_recalled) == (10, True)
    assert asked(connection, "two", 50, now=7).leased == 50
    assert not asked(connection, "one", 10, 100, now=7 + RECALLED_FOR).is_recalled


async def test_a_process_sees_what_is_recalled_while_another_one_writes(tmp_path: Path) -> None:
    """Of what it has leased itself, no more, and as long as it is recalled."""
    ledger, others = SqliteLedger(tmp_path / "accounts.db"), WindowKey("bud_c", "", 0)
    await ledger.exchange("keeps", [], {A: Ask(10, 100, 100), B: Ask(10, 100, 100)}, 0)
    await ledger.exchange("other", [], {others: Ask(10, 100, 100)}, 0)
    assert await ledger.recalled("keeps", 1) == set()
    await ledger.exchange("short", [], dict.fromkeys((A, others), Ask(50, 50, 100)), 5)
    file = AccountsFile(ledger.path)
    connection = file.open(1.0)
    with file.write(connection):
        connection.execute("UPDATE budget_window SET leased = leased")
        assert await ledger.recalled("keeps", 6) == {A}
    file.close(connection)
    assert await ledger.recalled("short", 6) == set()
    assert await ledger.recalled("keeps", 5 + RECALLED_FOR) == set()
    await ledger.aclose()


def test_a_cost_above_its_hold_is_taken_from_the_lease_all_the_same() -> None:
    connection = database()
    asked(connection, "one", 100)
    book(connection, "one", [(A, 130)])
    assert spent_of(connection, [A]) == {A: (130, -30)}
    assert asked(connection, "one", 1).leased == 0
    assert spent_of(connection, [A]) == {A: (130, 0)}, "what is above the limit is not room for others"
    assert asked(connection, "two", 1).leased == 0


def test_a_process_that_ended_has_nothing() -> None:
    connection = database()
    asked(connection, "one", 60)
    book(connection, "one", [(A, 25)])
    assert leases_of(connection, "one") == {A: 35}
    end_holder(connection, "one")
    assert (leases_of(connection, "one"), spent_of(connection, [A])) == ({}, {A: (25, 0)})
    assert asked(connection, "two", 75).leased == 75


def test_a_window_without_a_limit_has_no_leases_to_remember() -> None:
    connection = database()
    assert exchange(connection, "one", {B: Ask(5, 5, None)}, 0)[B].available == UNLIMITED
    book(connection, None, [(B, 7)])
    assert spent_of(connection, [B]) == {B: (7, 0)}
    assert leases_of(connection, "one") == {}


class Windows(RuleBasedStateMachine):
    """Three processes; each spends no more than its lease."""

    holders = st.sampled_from(["one", "two", "three"])
    keys = st.sampled_from([A, B])

    def __init__(self) -> None:
        super().__init__()
        self.connection = database()
        self.leases: Counter[tuple[str, WindowKey]] = Counter()
        self.spent: Counter[WindowKey] = Counter()
        self.now = 0

    @rule(holder=holders, window=keys, need=st.integers(0, 150), more=st.integers(0, 500), later=st.integers(0, 10**6))
    def exchange(self, holder: str, window: WindowKey, need: int, more: int, later: int) -> None:
        self.now += later
        before = self.leases[holder, window]
        answer = exchange(self.connection, holder, {window: Ask(need, need + more, LIMITS[window])}, self.now)[window]
        assert answer.leased >= min(need, before)
        self.leases[holder, window] = answer.leased

    @rule(holder=holders, window=keys, share=st.integers(0, 100))
    def spend(self, holder: str, window: WindowKey, share: int) -> None:
        amount = self.leases[holder, window] * share // 100
        book(self.connection, holder, [(window, amount)])
        self.leases[holder, window] -= amount
        self.spent[window] += amount

    @rule(holder=holders)
    def end(self, holder: str) -> None:
        end_holder(self.connection, holder)
        for window in (A, B):
            self.leases[holder, window] = 0

    @invariant()
    def no_limit_is_passed(self) -> None:
        for window, (spent, leased) in spent_of(self.connection, [A, B]).items():
            held = [self.leases[holder, window] for holder in ("one", "two", "three")]
            assert (spent, leased) == (self.spent[window], sum(held))
            assert spent + leased <= LIMITS[window]
            assert min(held) >= 0

    def teardown(self) -> None:
        self.connection.close()


TestWindows = Windows.TestCase


HALF = 50


def spending(number: int, amount: int) -> Entry:
    return replace(entry(number), debits=((A, amount),))


async def test_a33_rows_and_leases_are_one_transaction(tmp_path: Path) -> None:
    ledger, other = (SqliteLedger(tmp_path / "accounts.db") for _ in range(2))
    first = await ledger.exchange("one", [], {A: Ask(HALF, HALF, LIMITS[A])}, 0)
    assert first[A].leased == HALF
    for _ in range(2):  # as after a failure that came when all was written
        again = await ledger.exchange("one", [spending(1, 30), spending(2, 5)], {A: Ask(15, 15, LIMITS[A])}, 0)
        assert (again[A].leased, again[A].available) == (15, 50)
    assert (await other.exchange("two", [], {A: Ask(HALF, HALF, LIMITS[A])}, 0))[A].leased == HALF
    rows = (await other.entries(EntryQuery())).entries
    assert sorted(amount for row in rows for _, amount in row.debits) == [5, 30]
    await ledger.aclose()
    await other.aclose()


async def test_a_failed_exchange_changes_nothing(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "accounts.db")
    await ledger.exchange("one", [], {A: Ask(HALF, HALF, LIMITS[A])}, 0)
    with pytest.raises(TypeError):
        await ledger.exchange("one", [spending(1, 30)], {A: Ask(0, 0, "x")}, 0)  # type: ignore[arg-type]
    assert (await ledger.exchange("one", [], {A: Ask(HALF, HALF, LIMITS[A])}, 0))[A].leased == HALF
    assert not (await ledger.entries(EntryQuery())).entries
    await ledger.aclose()


async def test_processes_that_spend_at_once_never_pass_the_limit(tmp_path: Path) -> None:
    """Eight processes, each with a connection of its own, as fast as they can."""
    numbers = itertools.count(1)

    async def spend(holder: str) -> int:
        ledger, spent = SqliteLedger(tmp_path / "accounts.db"), 0
        for _ in range(30):
            leased = (await ledger.exchange(holder, [], {B: Ask(7, 90, LIMITS[B])}, 0))[B].leased
            amount = min(7, leased)
            if amount > 0:
                row = replace(entry(next(numbers)), debits=((B, amount),))
                await ledger.exchange(holder, [row], {B: Ask(0, 0, LIMITS[B])}, 0)
                spent += amount
        await ledger.aclose()
        return spent

    spent = await asyncio.gather(*(spend(f"process {number}") for number in range(8)))
    assert sum(spent) == LIMITS[B], "all of it could be used"
    ledger = SqliteLedger(tmp_path / "accounts.db")
    last = (await ledger.exchange("last", [], {B: Ask(1, 1, LIMITS[B])}, 0))[B]
    assert (last.leased, last.available, last.leased_by_others) == (0, 0, 0)
    await ledger.aclose()

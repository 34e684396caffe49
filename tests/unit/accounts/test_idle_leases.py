"""Risk: processes exchange windows that they only keep, or one that only keeps some does not hear that they are wanted.

Time is virtual. Windows and leases are those of SQLite, in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from modelmux.accounts.entry import Entry
from modelmux.accounts.lease_book import RECALL_SECONDS, STORE_SECONDS, LeaseBook
from modelmux.accounts.leases import Ask, Grant
from modelmux.accounts.silence import LOST_AFTER
from modelmux.accounts.slices import Hold, WindowKey
from modelmux.store.base import StoreFailed
from modelmux.store.ledger.lease_exchange import LeaseExchange
from modelmux.store.ledger.sqlite_windows import book, exchange, holders, recalled, spent_of
from modelmux.store.ledger.writer import INTERVAL
from modelmux.store.migrate import apply, sqlite_migrations
from support.leasing import at_once

WINDOWS = [WindowKey("bud_key", f"key_{number}", 0) for number in range(20)]
A = WINDOWS[0]
LIMIT = 1_000


class CountingLedger:
    """:ivar exchanged: windows of each exchange, by process, with when it was. :ivar looks: how often each looked."""

    def __init__(self, clock: Any) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        apply(self.connection, sqlite_migrations())
        self.exchanged: dict[str, list[tuple[float, set[WindowKey]]]] = {}
        self.looks: dict[str, int] = {}
        self.is_cut = False
        self._clock = clock

    async def exchange(
        self, holder: str, entries: Sequence[Entry], asks: Mapping[WindowKey, Ask], now: int, watches: object
    ) -> dict[WindowKey, Grant]:
        self._check()
        book(self.connection, holder, [debit for entry in entries for debit in entry.debits])
        self.exchanged.setdefault(holder, []).append((self._clock(), set(asks)))
        return exchange(self.connection, holder, asks, now)

    async def recalled(self, holder: str, now: int) -> set[WindowKey]:
        self._check()
        self.looks[holder] = self.looks.get(holder, 0) + 1
        return recalled(self.connection, holder, now)

    def _check(self) -> None:
        if self.is_cut:
            raise StoreFailed("no route to host")


class World:
    def __init__(self, *names: str) -> None:
        self.now = 0.0
        self.ledger = CountingLedger(self.clock)
        self.books = {name: LeaseBook() for name in names}
        self.exchanges = {
            name: LeaseExchange(self.ledger, book, name, self.clock, self.clock)  # type: ignore[arg-type]
            for name, book in self.books.items()
        }

    def clock(self) -> float:
        return self.now

    def hold(self, name: str, amounts: Mapping[WindowKey, int]) -> Hold | None:
        hold = Hold({})
        return hold if self.books[name].extend(hold, amounts, dict.fromkeys(amounts, LIMIT), self.now) else None

    def obtain(self, name: str, amounts: Mapping[WindowKey, int]) -> Hold:
        assert self.hold(name, amounts) is None
        self.books[name].wait(amounts)
        self.write(name)
        self.books[name].wait(amounts, -1)
        hold = self.hold(name, amounts)
        assert hold is not None
        return hold

    def write(self, name: str, *entries: Entry) -> None:
        at_once(self.exchanges[name].write(entries))

    def passes(self, seconds: float, *names: str) -> None:
        """As the writer of each process does it."""
        for _ in range(round(seconds / INTERVAL)):
            self.now += INTERVAL
            for name in names:
                self.write(name)

    def count(self, name: str, since: float = 0.0) -> int:
        """Windows that a process exchanged."""
        return sum(len(windows) for at, windows in self.ledger.exchanged.get(name, []) if at > since)


def idle(world: World, name: str = "idle") -> None:
    """A process has leases on all windows, and no request any more."""
    for number, window in enumerate(WINDOWS):
        hold = world.obtain(name, {window: 10})
        world.books[name].settle(hold, {window: 9}, world.now)
        world.write(name, Entry(id=bytes([number]) * 16, at=1, debits=((window, 9),)))
    world.passes(1, name)
    assert all(one.leased >= 10 for _, one in world.books[name].slices)


def test_windows_that_are_only_kept_are_not_exchanged() -> None:
    """But once a minute, which repairs what the store may have lost, and says that the process is alive."""
    world = World("idle")
    idle(world)
    since = world.now
    world.passes(30, "idle")
    looks = world.ledger.looks["idle"]
    assert 50 <= looks <= 62, "twice a second"
    assert world.count("idle", since) == 0
    world.passes(30, "idle")
    assert world.count("idle", since) <= len(WINDOWS)
    seen = holders(world.ledger.connection)["idle"]
    assert world.now - seen / 1_000_000 <= 60


def test_a_process_that_only_keeps_leases_is_never_taken_for_lost() -> None:
    """Where nothing is renewed, it is seen by its exchanges."""
    world = World("idle")
    hold = world.obtain("idle", {A: 10})
    for _ in range(15):
        world.passes(60, "idle")
        assert world.now - holders(world.ledger.connection)["idle"] / 1_000_000 < LOST_AFTER / 2
    assert world.books["idle"].slices.of(A).held == 10
    world.books["idle"].settle(hold, {}, world.now)


def test_what_the_store_has_lost_is_leased_again_within_a_minute() -> None:
    """After a failover without a synchronous standby."""
    world = World("idle")
    world.obtain("idle", {A: 10})
    world.ledger.connection.execute("DELETE FROM budget_lease")
    world.ledger.connection.execute("UPDATE budget_window SET leased = 0")
    world.passes(61, "idle")
    leased = world.books["idle"].slices.of(A).leased
    assert spent_of(world.ledger.connection, [A])[A] == (0, leased)
    assert leased >= 10


def test_after_a_failure_of_the_store_what_it_has_lost_is_leased_again_at_once() -> None:
    """A failover is one: a look that fails is all that an idle process sees of it."""
    world = World("idle", "other")
    world.obtain("idle", {A: 10})
    world.passes(1, "idle")
    world.ledger.is_cut = True
    with pytest.raises(StoreFailed):
        world.passes(1, "idle")
    world.ledger.connection.execute("DELETE FROM budget_lease")
    world.ledger.connection.execute("UPDATE budget_window SET leased = 0")
    for _ in range(3):  # it fails again, now during the exchange
        with pytest.raises(StoreFailed):
            world.write("idle")
    world.ledger.is_cut = False
    world.write("idle")
    leased = world.books["idle"].slices.of(A).leased
    assert leased >= 10
    assert spent_of(world.ledger.connection, [A])[A] == (0, leased)
    exchanged = world.count("idle")
    world.passes(30, "idle")
    assert world.count("idle") == exchanged, "once"


@pytest.mark.parametrize("idle_for", [0.0, 0.3, 7.0, 59.95])
def test_what_is_only_kept_is_given_back_within_a_second_of_its_recall(idle_for: float) -> None:
    world = World("idle", "short")
    idle(world)
    world.passes(idle_for, "idle")
    since, all_of_it = world.now, {A: LIMIT - 9}
    assert world.hold("short", all_of_it) is None
    world.books["short"].wait(all_of_it)
    world.write("short")
    while world.hold("short", all_of_it) is None:
        assert world.now - since < 0.7
        world.passes(INTERVAL, "short", "idle")
    others = [(at, windows - {A}) for at, windows in world.ledger.exchanged["idle"] if at > since]
    assert sum(len(windows) for _, windows in others) <= (len(WINDOWS) if idle_for > 50 else 0), "only that one"


def test_what_is_held_is_not_exchanged_again_and_again_while_it_is_recalled() -> None:
    world = World("holds", "short")
    hold = world.obtain("holds", {A: 600})
    world.books["short"].wait({A: 500})
    assert world.hold("short", {A: 500}) is None
    world.books["short"].wait({A: 500})
    since = world.now
    world.passes(20, "short", "holds")
    assert world.books["holds"].slices.of(A).leased == 600
    assert world.count("holds", since) <= 3
    world.books["holds"].settle(hold, {}, world.now)
    world.passes(0.2, "short", "holds")
    assert world.hold("short", {A: 500}) is not None, "what is free is given back at once"


def test_after_a_recall_a_process_leases_ahead_again() -> None:
    world = World("one", "two")
    for number in range(2):
        hold = world.obtain("one", {A: 300}) if number == 0 else world.hold("one", {A: 10})
        assert hold is not None
        world.books["one"].settle(hold, {}, world.now)
        world.passes(0.5, "one")
    hold = world.obtain("two", {A: LIMIT - world.books["one"].slices.of(A).leased})
    assert world.hold("two", {A: 10}) is None
    world.books["two"].wait({A: 10})
    world.passes(0.7, "two", "one")
    world.books["two"].wait({A: 10}, -1)
    world.books["two"].settle(hold, {}, world.now)
    world.passes(2, "two", "one")
    used = world.obtain("one", {A: 100})
    world.passes(0.2, "two", "one")
    assert world.books["one"].slices.of(A).free > 0
    world.books["one"].settle(used, {}, world.now)


def test_a_window_that_no_request_asks_for_is_given_back_and_forgotten() -> None:
    world = World("idle")
    idle(world)
    world.passes(125, "idle")
    assert list(world.books["idle"].slices) == []
    assert not world.books["idle"].has_leases
    assert not world.books["idle"].is_look_due(world.now + 10)
    assert set(spent_of(world.ledger.connection, WINDOWS).values()) == {(9, 0)}


def test_windows_in_use_are_not_looked_at() -> None:
    """The answers of their exchanges say whether they are recalled."""
    world = World("busy")
    world.obtain("busy", {A: 10})
    looks = world.ledger.looks.get("busy", 0)
    for _ in range(30):
        world.passes(0.2, "busy")
        world.books["busy"].wait({A: LIMIT})  # there is always something to ask for
        world.write("busy")
        world.books["busy"].wait({A: LIMIT}, -1)
    assert world.ledger.looks.get("busy", 0) == looks


def test_a_look_that_fails_is_a_failure_of_the_store_and_is_repeated() -> None:
    world = World("idle")
    idle(world)
    world.passes(0.4, "idle")
    world.ledger.is_cut = True
    with pytest.raises(StoreFailed):
        world.passes(0.6, "idle")
    world.ledger.is_cut = False
    looks = world.ledger.looks["idle"]
    world.write("idle")
    assert world.ledger.looks["idle"] == looks + 1


# What a request does that waits


def test_no_request_is_refused_for_what_the_store_had_long_ago() -> None:
    """Its exchange did not ask for a window of which there was enough, and another request took that meanwhile."""
    world, b = World("one", "two"), WINDOWS[1]
    spends, one = world.obtain("two", {b: LIMIT - 10}), world.books["one"]
    kept = world.obtain("one", {b: 10})
    one.settle(kept, {}, world.now)
    assert one.missing({b: 11}) == {b: (10, 0)}
    world.books["two"].settle(spends, {}, world.now)
    world.passes(0.2, "two")
    amounts, since = {A: 10, b: 10}, world.now
    assert world.hold("one", amounts) is None
    one.wait(amounts)
    world.write("one")
    assert world.hold("one", {b: 10}) is not None
    assert world.hold("one", amounts) is None
    assert one.after_exchange(amounts, since, world.now) == "wait"
    assert one.after_exchange(amounts, since, since + STORE_SECONDS) == "late"
    world.passes(INTERVAL, "one")
    assert world.hold("one", amounts) is not None


def test_how_long_a_request_waits_for_what_others_have() -> None:
    world = World("one", "two")
    world.obtain("two", {A: LIMIT})
    one, amounts, since = world.books["one"], {A: 10}, world.now
    assert world.hold("one", amounts) is None
    one.wait(amounts)
    world.passes(INTERVAL, "one")
    for waited, most, what in (
        (0.0, None, "wait"), (RECALL_SECONDS - 0.01, None, "wait"), (RECALL_SECONDS, None, "refuse"),
        (RECALL_SECONDS, 2.0, "wait"), (2.0, 2.0, "refuse"), (RECALL_SECONDS - 0.01, 0.0, "wait"),
    ):  # fmt: skip
        assert one.after_exchange(amounts, since, since + waited, most) == what, (waited, most)


def test_a_request_waits_for_running_ones_only_if_its_budget_says_so() -> None:
    """Those of its own process: no other one has leased anything."""
    world = World("one")
    world.obtain("one", {A: LIMIT})
    one, amounts, since = world.books["one"], {A: 10}, world.now
    one.wait(amounts)
    world.passes(INTERVAL, "one")
    assert one.after_exchange(amounts, since, world.now) == "refuse"
    assert one.after_exchange(amounts, since, world.now, 2.0) == "wait"


def test_a_budget_that_is_not_spent_is_waited_for_longer() -> None:
    world = World("one")
    one, amounts = world.books["one"], {A: 10}
    assert world.hold("one", amounts) is None
    one.wait(amounts)
    world.write("one")
    assert world.hold("one", {A: one.slices.of(A).free}) is not None
    for waited, what in ((0.0, "wait"), (STORE_SECONDS - 0.1, "wait"), (STORE_SECONDS, "late")):
        assert one.after_exchange(amounts, 0.0, waited) == what

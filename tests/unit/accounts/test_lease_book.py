"""Risk: processes together hold more than a limit, or what one does not need is kept from another.

The store is the real one, in memory. An exchange may fail before or after it was written, and requests go on meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelmux.accounts.lease_book import LeaseBook, sums
from modelmux.accounts.leases import Ask
from modelmux.accounts.slices import Hold, WindowKey
from modelmux.store.ledger.sqlite_windows import book, end_holder, exchange, recalled, spent_of
from modelmux.store.migrate import apply, sqlite_migrations

A, B = WindowKey("bud_a", "", 0), WindowKey("bud_b", "", 0)
NAMES = ("one", "two", "three")


class OldBook(LeaseBook):
    """That of a version which looks at nothing: it exchanges all that it has leased, twice a second."""

    def is_look_due(self, now: float) -> bool:
        return False

    def asks(self, debits: Mapping[WindowKey, int], now: float, *, all_back: bool = False) -> dict[WindowKey, Ask]:
        for facts in self._facts.values():
            if facts.is_recalled or now - facts.exchanged_at >= 0.5:
                facts.stored = None
        return super().asks(debits, now, all_back=all_back)


class Process:
    def __init__(self, name: str) -> None:
        self.name = name
        self.book = OldBook() if name == "three" else LeaseBook()
        self.holds: list[tuple[Hold, dict[WindowKey, int]]] = []
        self.unwritten: list[list[tuple[WindowKey, int]]] = []


class World:
    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        apply(self.connection, sqlite_migrations())
        self.processes = {name: Process(name) for name in NAMES}
        self.limits = {A: 1_000, B: 10_000}
        self.now = 0.0
        self.written: Counter[WindowKey] = Counter()

    def reserve(self, name: str, amounts: dict[WindowKey, int]) -> Hold | None:
        process = self.processes[name]
        hold: Hold | None = Hold({})
        if not process.book.extend(hold, amounts, self.limits, self.now):
            hold = None
        if hold is not None:
            process.holds.append((hold, amounts))
        return hold

    def obtain(self, name: str, amounts: dict[WindowKey, int]) -> Hold | None:
        """As a request does it: with an exchange, if the lease does not suffice."""
        hold = self.reserve(name, amounts)
        if hold is None:
            self.processes[name].book.wait(amounts)
            self.exchange(name)
            hold = self.reserve(name, amounts)
            self.processes[name].book.wait(amounts, -1)
        return hold

    def settle(self, name: str, index: int, share: float) -> None:
        process = self.processes[name]
        hold, amounts = process.holds.pop(index)
        costs = {window: int(amount * share) for window, amount in amounts.items()}
        process.book.settle(hold, costs, self.now)
        process.unwritten.append(list(costs.items()))

    def exchange(self, name: str, *, answered: bool = True, meanwhile: int = 0, all_back: bool = False) -> None:
        process = self.processes[name]
        if process.book.is_look_due(self.now):  # as ``LeaseExchange``
            process.book.looked(recalled(self.connection, name, round(self.now * 1_000_000)), self.now)
        rows, debits = list(process.unwritten), Counter[WindowKey]()
        for row in rows:
            debits.update(dict(row))
        asks = process.book.asks(debits, self.now, all_back=all_back)
        if meanwhile:
            self.reserve(name, {A: meanwhile})
        new = [row for row in rows if row]
        book(self.connection, name, [debit for row in new for debit in row])
        grants = exchange(self.connection, name, asks, round(self.now * 1_000_000))
        self.written.update(debits)
        if not answered:  # it is repeated, and rows that are there count once
            process.unwritten = [[] for _ in rows]
            process.lost = debits  # type: ignore[attr-defined]
            grants = exchange(self.connection, name, process.book.asks(debits, self.now), round(self.now * 1_000_000))
        process.unwritten = process.unwritten[len(rows) :]
        process.book.granted(debits, grants, self.now)

    def fail(self, name: str) -> None:
        """An exchange whose transaction was rolled back."""
        process = self.processes[name]
        debits = Counter[WindowKey]()
        for row in process.unwritten:
            debits.update(dict(row))
        process.book.asks(debits, self.now)

    def used(self, window: WindowKey) -> int:
        """Written, spent and held by all."""
        slices = (process.book.slices.of(window) for process in self.processes.values())
        return spent_of(self.connection, [window])[window][0] + sum(one.held + one.spent for one in slices)


amounts = st.dictionaries(st.sampled_from([A, B]), st.integers(0, 700), min_size=1)
names = st.sampled_from(NAMES)


class Processes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(name=names, amounts=amounts)
    def reserve(self, name: str, amounts: dict[WindowKey, int]) -> None:
        self.world.reserve(name, amounts)

    @rule(name=names, amounts=amounts)
    def wait_and_reserve(self, name: str, amounts: dict[WindowKey, int]) -> None:
        """What fits into the window is held within 0.6 s: others hear of it, and give back what they do not need."""
        world, process = self.world, self.world.processes[name]
        fits = all(world.used(window) + amount <= world.limits[window] for window, amount in amounts.items())
        if world.reserve(name, amounts) is None:
            process.book.wait(amounts)
            others = [other for other in NAMES if other != name]
            world.exchange(name)
            for seconds in (0.55, 0.05):  # a look is due; one of before gives back in the exchange that follows
                world.now += seconds
                for other in others:
                    world.exchange(other)
            world.exchange(name)
            held = world.reserve(name, amounts)
            process.book.wait(amounts, -1)
            assert (held is not None) == fits

    @rule(name=names, data=st.data(), share=st.floats(0, 1))
    def settle(self, name: str, data: st.DataObject, share: float) -> None:
        holds = self.world.processes[name].holds
        assume(holds)
        self.world.settle(name, data.draw(st.integers(0, len(holds) - 1)), share)

    @rule(name=names, meanwhile=st.integers(0, 300), answered=st.booleans())
    def exchange(self, name: str, meanwhile: int, answered: bool) -> None:
        self.world.exchange(name, meanwhile=meanwhile, answered=answered)

    @rule(name=names)
    def fail(self, name: str) -> None:
        self.world.fail(name)

    @rule(name=names, cost=st.integers(0, 50))
    def spend_without_a_hold(self, name: str, cost: int) -> None:
        """A request of before a soft budget became a hard one, while there is room for it."""
        process = self.world.processes[name]
        assume(process.book.slices.of(A).free >= cost)
        process.book.settle(Hold({}), {A: cost}, self.world.now)
        process.unwritten.append([(A, cost)])

    @rule(seconds=st.sampled_from([0.05, 1.0, 90.0, 200.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.now += seconds

    @precondition(lambda self: all(not process.holds for process in self.world.processes.values()))
    @rule()
    def rest(self) -> None:
        """At rest nothing is held, and what idle processes give back is all there is."""
        for name in NAMES:
            self.world.exchange(name, all_back=True)
        for window in (A, B):
            assert spent_of(self.world.connection, [window])[window] == (self.world.written[window], 0)

    @rule(name=names)
    def restart(self, name: str) -> None:
        world, process = self.world, self.world.processes[name]
        while process.holds:
            world.settle(name, 0, 1.0)
        world.exchange(name)
        end_holder(world.connection, name)
        world.processes[name] = Process(name)

    @invariant()
    def never_over(self) -> None:
        for window, limit in self.world.limits.items():
            assert self.world.used(window) <= limit
            spent, leased = spent_of(self.world.connection, [window])[window]
            assert spent + leased <= limit
            assert spent == self.world.written[window]

    @invariant()
    def slices_hold_no_more_than_their_leases(self) -> None:
        for process in self.world.processes.values():
            assert all(one.free >= 0 for _, one in process.book.slices)
            assert process.book.slices.underrun == 0


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_of_two_that_wait_for_the_rest_one_gets_it() -> None:
    """Each of them had a part of it that helps neither."""
    world = World()
    world.limits = {A: 8, B: 0}
    for name in ("one", "two"):
        assert world.reserve(name, {A: 4}) is None
        world.processes[name].book.wait({A: 4})
        world.exchange(name)
        world.processes[name].book.wait({A: 4}, -1)
        assert world.reserve(name, {A: 4}) is not None
        world.settle(name, 0, 0.0)  # free, but leased
        world.processes[name].book.wait({A: 5})
    held = []
    for _ in range(3):
        for name in ("one", "two"):
            world.exchange(name)
            if world.reserve(name, {A: 5}) is not None:
                held.append(name)
                world.processes[name].book.wait({A: 5}, -1)
    assert len(held) == 1


@pytest.mark.parametrize("windows", [(A, B), (B, A)])
def test_of_two_that_have_one_of_two_windows_each_one_gets_both(windows: tuple[WindowKey, WindowKey]) -> None:
    """Nothing runs, and there is room for one of them: both are refused if each keeps what it has."""
    world, both = World(), {A: 5, B: 5}
    world.limits = dict(both)
    for name, window in zip(("one", "two"), windows, strict=True):
        assert world.obtain(name, {window: 5}) is not None
    for name in ("one", "two"):
        assert world.reserve(name, both) is None
        world.processes[name].book.wait(both)
        world.settle(name, 0, 0.0)  # free, but leased
    held: list[str] = []
    while len(held) < 2:
        for _ in range(19):  # until a request is refused: a look is due each half second
            world.now += 0.05
            for name in sorted({"one", "two"} - {*held}):
                world.exchange(name)
                if not any(process.holds for process in world.processes.values()) and world.reserve(name, both):
                    held.append(name)
                    world.processes[name].book.wait(both, -1)
        assert sum(len(process.holds) for process in world.processes.values()) == 1, held
        world.settle(held[-1], 0, 0.0)
        world.exchange(held[-1])


def test_what_a_request_leaves_to_others_is_heard_of_all_the_same() -> None:
    """Else it waits until its exchanges count as too slow, and its client hears that the store is away."""
    world, both = World(), {A: 5, B: 5}
    world.limits = dict(both)
    for name, window in (("one", A), ("three", B)):
        assert world.obtain(name, {window: 5}) is not None
    book = world.processes["two"].book
    assert world.reserve("two", both) is None
    book.wait(both)
    for _ in range(3):
        world.now += 0.05
        world.exchange("two")
    assert book.after_exchange(both, 0.12, 1.5) == "refuse"


def test_what_a_request_waits_for_stays_until_it_takes_it() -> None:
    """Another exchange may begin before the request runs again."""
    world = World()
    process = world.processes["one"]
    assert world.reserve("one", {A: 900}) is None
    process.book.wait({A: 900})
    world.exchange("one")
    world.fail("one")
    assert world.reserve("one", {A: 900}) is not None


def test_a_limit_that_is_lowered_counts_at_once() -> None:
    world = World()
    assert world.obtain("one", {A: 10}) is not None
    world.settle("one", 0, 1.0)
    for _ in range(2):
        world.exchange("one")  # it leases ahead
    assert world.processes["one"].book.slices.of(A).free >= 30
    world.limits[A] = 20
    assert world.reserve("one", {A: 10}) is None
    assert world.reserve("one", {A: 10}) is None, "not before the store has answered"
    assert world.obtain("one", {A: 10}) is not None
    assert world.obtain("one", {A: 1}) is None
    assert world.used(A) == 20


def test_what_was_soft_when_it_began_counts_against_the_lease() -> None:
    """Else what is spent is given to requests for a second time."""
    world = World()
    process = world.processes["one"]
    assert world.obtain("one", {A: 1_000}) is not None
    world.settle("one", 0, 0.0)
    costs = {A: 600}
    process.book.settle(Hold({}), costs, world.now)
    process.unwritten.append(list(costs.items()))
    assert world.obtain("one", {A: 401}) is None
    assert world.obtain("one", {A: 400}) is not None
    assert process.book.slices.underrun == 0


def test_what_was_spent_above_the_limit_is_no_room_for_others() -> None:
    world = World()
    process = world.processes["one"]
    assert world.obtain("one", {A: 1}) is not None
    for _ in range(2):
        process.book.settle(Hold({}), {A: 700}, world.now)
        process.unwritten.append([(A, 700)])
    world.exchange("one")
    assert world.obtain("two", {A: 1}) is None
    assert world.obtain("one", {A: 1}) is None
    assert spent_of(world.connection, [A])[A] == (1_400, 1)


def test_what_only_soft_budgets_spent_is_forgotten_when_it_is_written() -> None:
    world = World()
    process = world.processes["one"]
    process.book.settle(Hold({}), {A: 600}, world.now)
    process.unwritten.append([(A, 600)])
    world.exchange("one")
    assert list(process.book.slices) == []
    assert spent_of(world.connection, [A]) == {A: (600, 0)}


def test_a_request_that_cost_nothing_leaves_no_slice_behind() -> None:
    """Of a soft budget for each end user, clients make up as many windows as they like; each exchange looks at all."""
    book, soft = LeaseBook(), WindowKey("bud_soft", "user", 0)
    book.settle(Hold({}), {A: 0, soft: 0}, 0.0)
    assert list(book.slices) == []
    book.settle(Hold({}), {soft: 3}, 1.0)
    book.settle(Hold({}), {soft: 0}, 2.0)
    book.granted({soft: 3}, {}, 3.0)
    book.settle(Hold({}), {soft: 0}, 4.0)
    assert list(book.slices) == []


def test_what_is_missing_and_whether_it_may_come() -> None:
    world = World()
    one, two = (world.processes[name].book for name in ("one", "two"))
    assert (one.missing({B: 1}), one.may_come({B: 1})) == ({B: (0, 0)}, False)
    assert world.obtain("one", {A: 400, B: 1}) is not None
    assert world.obtain("two", {A: 700}) is None
    assert two.missing({A: 700}) == {A: (0, 600)}
    assert two.may_come({A: 700}), "the other one has leased it"
    assert not two.may_come({A: 1_001})
    assert (two.is_in_store({A: 700}), two.is_in_store({A: 0})) == (False, True)
    assert world.obtain("two", {A: 600}) is not None
    assert (two.missing({A: 0}), two.may_come({A: 0})) == ({}, True)
    assert one.has_leases
    assert not world.processes["three"].book.has_leases


def test_debits_are_added_up() -> None:
    assert sums([[(A, 1), (B, 2)], [], [(A, 3)]]) == {A: 4, B: 2}


def test_waiting_for_a_window_that_is_not_known_changes_nothing() -> None:
    world = World()
    world.processes["one"].book.wait({A: 1})
    world.processes["one"].book.wait({A: 1}, -1)
    assert world.processes["one"].book.asks({}, 0.0) == {}

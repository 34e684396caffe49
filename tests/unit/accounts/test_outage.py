"""Risk: processes that cannot reach their store hold more than the allowance, or of a budget that is spent.

What the store does is a model that makes the same decisions.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from modelmux.accounts import lease_book
from modelmux.accounts.lease_book import LeaseBook
from modelmux.accounts.lease_term import STOPS_AFTER
from modelmux.accounts.leases import Grant
from modelmux.accounts.outage import FIRST_WAIT, LastKnown, Outage, part_of
from modelmux.accounts.slices import Hold, WindowKey
from support.lost_nodes import LostNodes, ModelLedger
from unit.accounts.test_late_rows import run

A, B = WindowKey("bud_a", "", 0), WindowKey("bud_b", "", 0)
LIMITS = {A: 1_000, B: 10_000}
NAMES = ("one", "two", "three")
#: What each may hold of ``A`` beyond its lease; of ``B``, as of budgets in tokens, none may hold anything.
PARTS = {A: 50}
#: Processes that run, and those that were killed and whose journals nobody has read.
MOST = len(NAMES) + 2

amounts = st.dictionaries(st.sampled_from([A, B]), st.integers(0, 400), min_size=1)
names = st.sampled_from(NAMES)


class Outages(RuleBasedStateMachine):
    """Processes hold beyond their leases whenever the store does not answer them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = LostNodes(NAMES, LIMITS)
        assert isinstance(self.world.ledger, ModelLedger)
        self.ledger = self.world.ledger
        for name in NAMES:
            self._begin(name)

    def _begin(self, name: str) -> None:
        """It has seen each window once."""
        node = self.world.nodes[name]
        for window in LIMITS:
            node.book.extend(Hold({}), {window: 1}, LIMITS, self.world.now)
            assert run(self.world.exchange(name))
            node.book.extend(Hold({}), {window: 0}, LIMITS, self.world.now)

    @rule(name=names, amounts=amounts)
    def reserve(self, name: str, amounts: dict[WindowKey, int]) -> None:
        world, node = self.world, self.world.nodes[name]
        if run(world.obtain(name, amounts)) or node.link.state == "up":
            return
        ended, hold = node.term.has_ended(world.now), Hold({})
        what = node.book.extend_beyond(hold, amounts, LIMITS, PARTS, world.now, has_ended=ended)
        if isinstance(what, int):
            node.holds.append((hold, amounts))
        else:
            assert hold.amounts == {}, "nothing is held of a request that is refused"
        for window, one in node.book.slices:
            assert one.held + one.spent <= max(one.leased, 0) + PARTS.get(window, 0)

    @rule(name=names, data=st.data(), share=st.floats(0, 1))
    def settle(self, name: str, data: st.DataObject, share: float) -> None:
        holds = self.world.nodes[name].holds
        assume(holds)
        self.world.settle(name, data.draw(st.integers(0, len(holds) - 1)), share)

    @rule(name=names)
    def exchange(self, name: str) -> None:
        run(self.world.exchange(name))

    @rule(name=names)
    def renew(self, name: str) -> None:
        run(self.world.renew(name))

    @rule(name=names, state=st.sampled_from(["up", "cut", "cut", "deaf"]))
    def link(self, name: str, state: str) -> None:
        self.world.nodes[name].link.state = state

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        assume(self.ledger.leases)
        run(self.world.end(data.draw(st.sampled_from(sorted(self.ledger.leases)))))

    @rule(name=names)
    def kill(self, name: str) -> None:
        assume(len(self.world.dead) < MOST - len(NAMES))
        self.world.kill(name)
        self._begin(name)

    @rule(data=st.data())
    def find_a_journal(self, data: st.DataObject) -> None:
        assume(self.world.dead)
        run(self.world.recover(data.draw(st.integers(0, len(self.world.dead) - 1))))

    @rule(seconds=st.sampled_from([0.1, 1.0, STOPS_AFTER + 1, 200.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.now += seconds

    @rule()
    def rest(self) -> None:
        """The ledger is exact, and nothing stays held or leased."""
        run(self.world.come_to_rest())
        for window in LIMITS:
            assert self.ledger.stored.get(window, (0, 0))[:2] == (self.world.spent[window], 0)
        for node in self.world.nodes.values():
            assert all(one.held == 0 for _, one in node.book.slices)

    @invariant()
    def never_over_by_more_than_the_allowance(self) -> None:
        for window, limit in LIMITS.items():
            most = limit + MOST * PARTS.get(window, 0)
            spent, leased, _ = self.ledger.stored.get(window, (0, 0, 0))
            held = sum(dict(amounts).get(window, 0) for node in self.world.nodes.values() for _, amounts in node.holds)
            assert spent + leased <= most
            assert spent == sum(dict(row.debits).get(window, 0) for row in self.ledger.rows.values())
            assert self.world.spent[window] + held <= most


TestOutages = Outages.TestCase
TestOutages.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def book_with(leased: int, available: int, others: int = 0, limit: int = 100) -> LeaseBook:
    """A book after one exchange about ``A``."""
    book = LeaseBook()
    book.extend(Hold({}), {A: 1}, {A: limit}, 0.0)
    book.wait({A: 1})
    assert A in book.asks({}, 0.0)
    book.wait({A: 1}, -1)
    book.granted({}, {A: Grant(leased, available, others)}, 0.0)
    return book


def beyond(book: LeaseBook, amount: int, limit: int = 100, part: int = 20, **options: Any) -> Any:
    return book.extend_beyond(Hold({}), {A: amount}, {A: limit}, {A: part}, 1.0, **options)


def test_what_no_lease_covers_is_held_up_to_a_part() -> None:
    book = book_with(10, 70)
    assert beyond(book, 31) == "refused"
    assert beyond(book, 25) == 15, "ten of it are leased"
    assert beyond(book, 6) == "refused"
    assert beyond(book, 5) == 5
    assert (book.slices.of(A).held, book.slices.of(A).leased) == (30, 10)


def test_what_was_not_used_may_be_held_again() -> None:
    book, hold = book_with(10, 70), Hold({})
    assert book.extend_beyond(hold, {A: 30}, {A: 100}, {A: 20}, 1.0) == 20
    book.settle(hold, {A: 12}, 1.0)
    assert beyond(book, 19) == "refused"
    assert beyond(book, 18) == 18


def test_a_budget_that_is_known_to_be_spent_is_spent_in_an_outage_too() -> None:
    assert beyond(book_with(10, 5), 16) == "spent"
    assert beyond(book_with(10, 5), 15) == 5
    assert beyond(book_with(0, 0, others=10), 5) == 5, "others may give back what they have leased"
    assert beyond(book_with(0, 0, others=10), 11) == "spent"


def test_what_stands_above_a_limit_is_less_in_the_next_outage() -> None:
    """Spent are 40 and leased 75, though the limit is 100: another process has held 15 beyond it."""
    book = book_with(0, -15, others=75)
    assert beyond(book, 6) == "refused"
    assert beyond(book, 5) == 5


def test_a_limit_that_is_lower_now_counts() -> None:
    assert beyond(book_with(40, 20), 25, limit=65) == 0, "forty are spent, and 25 are left"
    assert beyond(book_with(40, 20), 26, limit=65) == "spent"
    assert beyond(book_with(40, 0, others=40), 30, limit=70) == 20, "as little as the lease may be by the new limit"
    assert beyond(book_with(40, 20), 70, limit=200) == "refused"
    assert beyond(book_with(40, 20), 60, limit=200) == 20, "a limit that was raised"


@pytest.mark.parametrize(
    ("leased", "available", "limit", "left"),
    [(40, 20, 65, (25, 0)), (10, 50, 60, (10, 10)), (10, 0, 120, (10, 20)), (10, 10, 30, (0, -50))],
)
def test_what_is_left_of_a_spent_budget_is_told_by_its_limit_of_now(
    leased: int, available: int, limit: int, left: tuple[int, int]
) -> None:
    book = book_with(leased, available)
    assert beyond(book, sum(left) + 91, limit=limit) == "spent"
    assert book.missing({A: sum(left) + 91}) == {A: left}
    if sum(left) > 0:
        assert isinstance(beyond(book, sum(left), limit=limit), int), "so much is left"


def test_what_is_leased_of_a_window_that_was_passed_is_used_all_the_same() -> None:
    book = book_with(10, -15, others=75)
    assert beyond(book, 20, limit=100) == "refused"
    assert book.extend(Hold({}), {A: 10}, {A: 100}, 1.0)


def test_what_is_left_of_a_window_that_was_forgotten_is_told() -> None:
    book = book_with(0, 10)
    forgotten(book, available=10)
    assert beyond(book, 11) == "spent"
    assert book.missing({A: 11}) == {A: (0, 10)}


def test_a_term_that_has_ended_leaves_nothing_of_leases() -> None:
    book, before = book_with(50, 40), Hold({})
    assert book.extend(before, {A: 30}, {A: 100}, 0.0)
    assert beyond(book, 21, has_ended=True) == "refused"
    assert beyond(book, 20, has_ended=True) == 20
    assert book.slices.of(A).leased == 30, "what is held"
    book.settle(before, {A: 0}, 1.0)
    assert beyond(book, 21, has_ended=True) == "refused", "of what it gives back, twenty cover what is held"
    assert book.slices.of(A).leased == 20, "the rest is not used again"
    assert beyond(book, 20, has_ended=True) == 20


def test_budgets_that_have_no_part_refuse() -> None:
    book = book_with(10, 70)
    assert book.extend_beyond(Hold({}), {A: 11}, {A: 100}, {}, 1.0) == "refused"
    assert book.extend_beyond(Hold({}), {A: 10}, {A: 100}, {}, 1.0) == 0
    assert book.extend_beyond(Hold({}), {A: 1, B: 1}, {A: 100, B: 100}, {B: 20}, 1.0) == "refused"
    assert book.slices.of(B).held == 0, "all of them, or none"


def test_of_a_window_that_was_never_seen_no_more_than_its_limit_is_held() -> None:
    book = LeaseBook()
    assert beyond(book, 11, limit=10) == "refused", "it is not known to be spent"
    assert beyond(book, 10, limit=10) == 10
    assert beyond(LeaseBook(), 21) == "refused"


def forgotten(book: LeaseBook, available: int = 0) -> None:
    """Nothing is leased, and no request has asked for two minutes."""
    debits = {A: book.slices.of(A).spent}
    asks = book.asks(debits, 500.0)
    book.granted(debits, dict.fromkeys(asks, Grant(0, available, 10 - available)), 500.0)
    assert not list(book.slices)


def test_what_was_known_of_a_window_is_known_when_it_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spent are 90, and others have leased the rest."""
    monkeypatch.setattr(lease_book, "_MANY", 1)
    book = book_with(0, 0, others=10)
    forgotten(book)
    assert beyond(book, 11) == "spent"
    assert beyond(book, 10) == 10
    again = book_with(0, 0, others=10)
    forgotten(again)
    again.extend(Hold({}), {B: 1}, {B: 100}, 500.0)
    again.wait({B: 1})
    again.granted({}, dict.fromkeys(again.asks({}, 500.0), Grant(0, 0, 0)), 500.0)
    again.wait({B: 1}, -1)
    again.granted({}, {}, 700.0)
    assert not list(again.slices)
    assert beyond(again, 20) == 20, "of the oldest windows nothing is known any more"


def test_what_is_known_of_a_window_outlives_an_outage_in_which_it_was_refused() -> None:
    """All of it is spent. The store says nothing new of it between two outages."""
    book = book_with(0, 0)
    assert beyond(book, 5) == "spent"
    for at in (500.0, 1_000.0):
        debits = {A: book.slices.of(A).spent}
        book.granted(debits, dict.fromkeys(book.asks(debits, at), Grant(0, 0, 0)), at)
        assert not list(book.slices), "it is forgotten"
        assert book.extend_beyond(Hold({}), {A: 5}, {A: 100}, {A: 20}, at + 1) == "spent"


def test_of_a_window_of_which_nothing_was_learned_nothing_is_remembered() -> None:
    book = LeaseBook()
    assert beyond(book, 21) == "refused"
    book.granted({}, {}, 500.0)
    assert not list(book.slices)
    assert beyond(book, 120) == "refused", "it is not known to be spent"


def test_parts_add_up_to_no_more_than_the_allowance() -> None:
    assert [part_of(100, count) for count in (1, 3, 0)] == [100, 33, 0]


def test_a_cost_above_its_hold_leaves_less() -> None:
    book, hold = book_with(10, 70), Hold({})
    assert book.extend(hold, {A: 10}, {A: 100}, 0.0)
    book.settle(hold, {A: 25}, 0.0)
    assert beyond(book, 6) == "refused"
    assert beyond(book, 5) == 5


@pytest.mark.parametrize(("used", "expected"), [(0, 0), (10, 0), (11, 1), (100, 90)])
def test_beyond_is_what_no_lease_covers(used: int, expected: int) -> None:
    known = LastKnown(limit=100, leased=10)
    assert (known.beyond(used), known.is_spent(used)) == (expected, False)
    assert LastKnown(limit=100, leased=10, spent=80).is_spent(21)


def test_the_store_is_asked_once_a_second_and_the_first_request_waits_longest() -> None:
    outage = Outage()
    assert (outage.asks(0.0), outage.waits) == (True, FIRST_WAIT)
    outage.failed(10.0)
    assert not outage.asks(10.9)
    assert outage.asks(11.0)
    assert outage.waits < FIRST_WAIT
    assert not outage.answered(0.1), "nothing was held beyond leases"
    assert (outage.asks(10.5), outage.waits) == (True, FIRST_WAIT)


def test_the_begin_and_the_end_of_use_are_told_once() -> None:
    outage = Outage()
    outage.failed(0.0)
    assert [outage.used() for _ in range(3)] == ["first", "again", "again"]
    assert not outage.answered(4.0), "that is no answer in time"
    assert outage.answered(0.1)
    assert not outage.answered(0.1)
    outage.failed(9.0)
    assert outage.used() == "first"

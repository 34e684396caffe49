"""Risk: a node that is cut off and one that books what it had leased pass a limit together, or money is lost by it.

What the database does is a model that makes the same decisions.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from modelmux.accounts.late_rows import taken_back
from modelmux.accounts.lease_term import STOPS_AFTER
from modelmux.accounts.slices import WindowKey
from support.lost_nodes import LostNodes, ModelLedger

A, B = WindowKey("bud_a", "", 0), WindowKey("bud_b", "é", 0)
LIMITS = {A: 1_000, B: 10_000}
NAMES = ("one", "two", "three")


def run(step: Coroutine[Any, Any, Any]) -> Any:
    """The model never waits."""
    try:
        step.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


amounts = st.dictionaries(st.sampled_from([A, B]), st.integers(0, 700), min_size=1)
names = st.sampled_from(NAMES)


class Nodes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = LostNodes(NAMES, LIMITS)
        assert isinstance(self.world.ledger, ModelLedger)
        self.ledger = self.world.ledger

    @rule(name=names, amounts=amounts)
    def reserve(self, name: str, amounts: dict[WindowKey, int]) -> None:
        run(self.world.obtain(name, amounts))

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

    @rule(name=names, state=st.sampled_from(["up", "cut", "deaf"]))
    def link(self, name: str, state: str) -> None:
        self.world.nodes[name].link.state = state

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """Whether its term has ended or not: a process may have been stopped, and its clock with it."""
        assume(self.ledger.leases)
        run(self.world.end(data.draw(st.sampled_from(sorted(self.ledger.leases)))))

    @rule(name=names)
    def end_and_renew(self, name: str) -> None:
        run(self.world.end(self.world.nodes[name].name))
        run(self.world.renew(name))

    @rule(name=names)
    def kill(self, name: str) -> None:
        assume(len(self.world.dead) < 3)
        self.world.kill(name)

    @rule(data=st.data())
    def find_a_journal(self, data: st.DataObject) -> None:
        assume(self.world.dead)
        run(self.world.recover(data.draw(st.integers(0, len(self.world.dead) - 1))))

    @rule(seconds=st.sampled_from([0.1, 1.0, STOPS_AFTER + 1, 200.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.now += seconds

    @rule()
    def rest(self) -> None:
        """In the end, windows have spent what requests did cost, whatever was in doubt, and nothing is stranded."""
        run(self.world.come_to_rest())
        for window in LIMITS:
            assert self.ledger.stored.get(window, (0, 0))[:2] == (self.world.spent[window], 0)

    @invariant()
    def never_over(self) -> None:
        for window, limit in LIMITS.items():
            spent, leased, _ = self.ledger.stored.get(window, (0, 0, 0))
            assert spent + leased <= limit
            assert spent == sum(dict(row.debits).get(window, 0) for row in self.ledger.rows.values())
            assert leased == sum(leases.get(window, 0) for leases in self.ledger.leases.values())
            held = sum(dict(amounts).get(window, 0) for node in self.world.nodes.values() for _, amounts in node.holds)
            assert self.world.spent[window] + held <= limit


TestNodes = Nodes.TestCase
TestNodes.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_what_is_taken_back_is_what_is_still_charged() -> None:
    world = LostNodes(NAMES, LIMITS)
    row = world.lease_row(A, 60)
    back = taken_back(row, [])
    assert back is not None
    assert (back.kind, back.corrects, back.debits, back.at) == ("resolve", row.id, ((A, -60),), row.at)
    by_hand = replace(back, id=bytes(16), debits=((A, -45),))
    rest = taken_back(row, [by_hand])
    assert rest is not None
    assert rest.debits == ((A, -15),)
    assert rest.id not in (back.id, row.id)
    assert taken_back(row, [by_hand, rest]) is None
    assert taken_back(row, [back]) is None

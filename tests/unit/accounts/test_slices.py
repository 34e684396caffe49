"""Risk: a hold is released twice or never, a request holds a part of what it needs, or a slice spends what it lacks."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from modelmux.accounts.slices import Hold, Slice, Slices, WindowKey

A, B, C = (WindowKey(f"bud_{name}", "", 0) for name in "abc")


def slices_with(**leases: int) -> Slices:
    slices = Slices()
    for name, amount in leases.items():
        slices.lease(WindowKey(f"bud_{name}", "", 0), amount)
    return slices


def reserve(slices: Slices, amounts: dict[WindowKey, int]) -> Hold | list[WindowKey]:
    """The hold of a new request, or the windows that have too little."""
    hold = Hold({})
    return slices.extend(hold, amounts) or hold


def held(slices: Slices, **amounts: int) -> Hold:
    hold = reserve(slices, {WindowKey(f"bud_{name}", "", 0): amount for name, amount in amounts.items()})
    assert isinstance(hold, Hold)
    return hold


def test_all_windows_or_none() -> None:
    slices = slices_with(a=10, b=5)
    assert reserve(slices, {A: 5, B: 6, C: 1}) == [B, C]
    assert [slices.of(window).held for window in (A, B, C)] == [0, 0, 0]
    held(slices, a=10, b=5)
    assert reserve(slices, {A: 1}) == [A]
    assert isinstance(reserve(slices, {A: 0}), Hold), "what costs nothing fits"


def test_settling_releases_the_hold_and_spends() -> None:
    slices = slices_with(a=10)
    hold = held(slices, a=8)
    slices.settle(hold, {A: 3})
    slices.settle(hold, {A: 3})
    assert slices.of(A) == Slice(leased=10, held=0, spent=3)
    assert (slices.of(A).free, slices.underrun) == (7, 0)


def test_a_cost_above_the_hold_is_charged_in_full_and_counted() -> None:
    slices = slices_with(a=10)
    slices.settle(held(slices, a=2), {A: 12, B: 1})
    assert (slices.of(A).spent, slices.of(A).free, slices.underrun) == (12, -2, 10)
    assert reserve(slices, {A: 1}) == [A]
    assert slices.give_back(A, 5) == 0


def test_a_hold_may_grow_by_all_or_nothing() -> None:
    slices = slices_with(a=10, b=5)
    hold = held(slices, a=4)
    assert slices.extend(hold, {A: 1, B: 6}) == [B]
    assert slices.extend(hold, {A: 6, B: 5}) == []
    assert hold.amounts == {A: 10, B: 5}
    slices.settle(hold, {})
    assert [one.held for _, one in slices] == [0, 0]


def test_what_is_held_is_not_given_back() -> None:
    slices = slices_with(a=10)
    hold = held(slices, a=6)
    assert slices.give_back(A, 100) == 4
    assert slices.of(A).leased == 6
    slices.settle(hold, {A: 1})
    assert slices.give_back(A, 2) == 2
    slices.written(A, 1)
    assert slices.give_back(A, 100) == 3
    slices.forget(A)
    slices.forget(B)
    assert list(slices) == []


class Process(RuleBasedStateMachine):
    """Against a model with one number per fact: what was leased, held by whom, and spent."""

    holds = Bundle("holds")
    windows = st.sampled_from([A, B, C])
    amounts = st.dictionaries(windows, st.integers(0, 20), max_size=3)

    def __init__(self) -> None:
        super().__init__()
        self.slices = Slices()
        self.leased: dict[WindowKey, int] = {}
        self.spent: dict[WindowKey, int] = {}
        self.running: list[Hold] = []

    def _free(self, window: WindowKey) -> int:
        held = sum(one.amounts.get(window, 0) for one in self.running)
        return self.leased.get(window, 0) - self.spent.get(window, 0) - held

    @rule(window=windows, amount=st.integers(0, 50))
    def lease(self, window: WindowKey, amount: int) -> None:
        self.slices.lease(window, amount)
        self.leased[window] = self.leased.get(window, 0) + amount

    @rule(target=holds, amounts=amounts)
    def reserve(self, amounts: dict[WindowKey, int]) -> Any:
        fits = all(self._free(window) >= amount for window, amount in amounts.items())
        hold = reserve(self.slices, amounts)
        assert isinstance(hold, Hold) is fits
        if not isinstance(hold, Hold):
            return multiple()
        self.running.append(hold)
        return hold

    @rule(hold=holds, amounts=amounts)
    def extend(self, hold: Hold, amounts: dict[WindowKey, int]) -> None:
        fits = all(self._free(window) >= amount for window, amount in amounts.items())
        assert (self.slices.extend(hold, amounts) == []) is fits

    @rule(hold=consumes(holds), share=st.integers(0, 100))
    def settle(self, hold: Hold, share: int) -> None:
        costs = {window: amount * share // 100 for window, amount in hold.amounts.items()}
        self.slices.settle(hold, costs)
        self.slices.settle(hold, costs)
        self.running.remove(hold)
        for window, cost in costs.items():
            self.spent[window] = self.spent.get(window, 0) + cost

    @rule(window=windows)
    def write(self, window: WindowKey) -> None:
        amount = self.slices.of(window).spent
        self.slices.written(window, amount)
        self.spent[window] = self.spent.get(window, 0) - amount
        self.leased[window] = self.leased.get(window, 0) - amount

    @rule(window=windows, amount=st.integers(0, 50))
    def give_back(self, window: WindowKey, amount: int) -> None:
        given = self.slices.give_back(window, amount)
        assert given == max(0, min(amount, self._free(window)))
        self.leased[window] = self.leased.get(window, 0) - given

    @invariant()
    def it_is_what_the_model_says(self) -> None:
        for window, one in self.slices:
            assert one.free == self._free(window) >= 0
            assert one.held >= 0
            assert one.spent == self.spent.get(window, 0) >= 0
        assert self.slices.underrun == 0


TestProcess = Process.TestCase

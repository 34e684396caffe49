"""Which blocks of costs are read, and sums of series by what they are of. Risk: a block is counted twice or never, or a
group that costs as much as the last one is missing."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.store.ledger import cost_blocks, owner_costs, usage_ranks
from modelmux.store.ledger.cost_blocks import Addend, Block, Costs, Packed
from modelmux.store.ledger.owner_costs import OwnerCosts, costs_of_owners, most_expensive
from modelmux.store.ledger.slots import first_day, month_of
from support.ledgers import DAY, START

FIRST = START // DAY


@given(st.integers(0, 40), st.integers(0, 40), st.sets(st.integers(-5, 45)), st.sets(st.integers(0, 2)))
def test_costs_of_a_third_less_its_other_days_are_those_of_its_days(
    first: int, count: int, unused: set[int], made: set[int]
) -> None:
    month = first_day(month_of(FIRST) + 1)
    bounds = [month, month + 10, month + 20, month + 30]
    thirds = [Block(bounds[number], 10) for number in made]
    known = [*(Block(month + day, 1) for day in range(-5, 46) if day not in unused), *thirds]
    blocks, _ = cost_blocks.chosen(range(month + first, month + first + count), known)
    found = cost_blocks.rests(blocks, known)
    single = [block for block in blocks if block.days == 1]
    for third, rest in found.items():
        assert third in thirds
        days = [block for block in known if block.days == 1 and third.first <= block.first < third.end]
        assert sorted([*rest, *(block for block in single if block in days)]) == sorted(days), "each of them once"
        assert len(rest) + 1 < len(days) - len(rest), "it reads less"


@given(st.dictionaries(st.integers(0, 5), st.integers(-9, 9)), st.integers(1, 7))
def test_the_most_expensive_alone_are_those_of_all_groups(costs: dict[int, int], most: int) -> None:
    sums = OwnerCosts([costs.get(number, 0) for number in range(6)], bytearray(number in costs for number in range(6)))
    expected = usage_ranks.at_least_as_expensive(costs, most) if costs else []
    assert most_expensive(sums, most) == {number: costs[number] for number in expected}


#: Numbers of series -> costs.
COSTS = st.dictionaries(st.integers(0, 30), st.integers(-(1 << 40), 1 << 40))


@given(
    st.lists(st.tuples(COSTS, st.sampled_from([(1, True), (1, False), (-1, False), (0, True)])), max_size=4),
    st.lists(st.tuples(st.integers(0, 30), st.integers(-9, 9))),
    st.lists(st.integers(0, 5), min_size=31, max_size=40),
)
def test_costs_of_owners_are_those_of_their_series_whatever_was_asked_before(
    blocks: list[tuple[dict[int, int], tuple[Any, bool]]], rows: list[tuple[int, int]], owners: list[int]
) -> None:
    costs, used = [0] * 7, bytearray(7)
    for packed, (sign, usage) in blocks:
        for series, cost in packed.items():
            costs[owners[series]] += sign * cost
            used[owners[series]] |= usage
    # What has a cost has usage, too, in a block of more days: a day that is taken from it has some of those.
    for series in {series for packed, _ in blocks for series in packed}:
        used[owners[series]] = 1
    for series, cost in rows:
        costs[owners[series]] += cost
        used[owners[series]] = 1
    known = {series: 0 for packed, _ in blocks for series in packed}
    for _ in range(2):
        some = Costs(len(owners) - 1, [Addend(cost_blocks.pack(known))])
        some.addends += (Addend(cost_blocks.pack(one), sign, usage=usage) for one, (sign, usage) in blocks)
        some.rows += rows
        assert costs_of_owners(some, array("I", owners), 7) == OwnerCosts(costs, used)


def test_blocks_are_added_up_by_owner_once_while_they_stay_the_same() -> None:
    owner_costs._of_blocks.cache_clear()
    packed, owners = cost_blocks.pack(dict.fromkeys(range(24), 5)), array("I", [1, 2] * 12)
    for count in range(3):
        costs = Costs(len(owners) - 1, [Addend(packed)])
        assert costs_of_owners(costs, owners, 4 + count).costs == [0, 60, 60, *[0] * (count + 1)]
        owners.extend([3 + count] * 8)  # new series, of a new key
    assert owner_costs._of_blocks.cache_info().misses == 1
    costs = Costs(len(owners) - 1, [Addend(cost_blocks.pack(dict.fromkeys(range(24), 6)))])
    assert costs_of_owners(costs, owners, 9).costs[1] == 72, "they were made anew"


def test_sums_of_blocks_that_are_too_many_to_keep_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    owner_costs._of_blocks.cache_clear()
    packed = cost_blocks.pack(dict.fromkeys(range(24), 5))
    monkeypatch.setattr(owner_costs, "_MOST_CACHED", sum(map(len, packed)) - 1)
    for _ in range(2):
        costs = costs_of_owners(Costs(23, [Addend(packed)]), array("I", [1, 2] * 12), 3)
        assert costs == OwnerCosts([0, 60, 60], bytearray([0, 1, 1]))
    assert owner_costs._of_blocks.cache_info().currsize == 0


@pytest.mark.parametrize("owner", [5, 4_095, 4_096, (1 << 32) - 1])
@pytest.mark.parametrize("is_of_block", [True, False])
def test_an_owner_that_there_is_not_is_an_error(owner: int, is_of_block: bool) -> None:
    costs = Costs(1, [Addend(cost_blocks.pack({1: 1}))] if is_of_block else [])
    costs.rows += [] if is_of_block else [(1, 1)]
    with pytest.raises(IndexError):
        costs_of_owners(costs, array("I", [0, owner]), 5)


@pytest.mark.parametrize("rows", [[(9, 1)], []])
def test_a_series_that_there_is_not_is_an_error(rows: list[tuple[int, int]]) -> None:
    packed = Packed(b"", b"", b"") if rows else cost_blocks.pack({9: 1})
    costs = Costs(7, [Addend(packed)])
    costs.rows += rows
    with pytest.raises(IndexError):
        costs_of_owners(costs, array("I", [0] * 8), 1)
    with pytest.raises(IndexError):
        costs.sums()

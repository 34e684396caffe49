"""Which blocks of costs are read, and sums of series by what they are of. Risk: a block is counted twice or never, or a
group that costs as much as the last one is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelmux.store.ledger import cost_blocks
from modelmux.store.ledger.cost_blocks import Block
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

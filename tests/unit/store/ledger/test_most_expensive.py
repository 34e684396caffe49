"""The groups that cost most, found without the exact sum of each. Risk: a group is left out whose rough sum did not
fit, costs that were taken back hide what was used, or nearly every group is added up exactly."""

from __future__ import annotations

import random
from array import array
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.store.ledger import most_expensive as tested
from modelmux.store.ledger.most_expensive import OfSeries, most_expensive

Sums = dict[tuple[int, ...], int]


class Costs(list[int]):
    """Counts those that are looked up one by one."""

    exact = 0

    def __getitem__(self, index: object) -> object:  # type: ignore[override]
        self.exact += isinstance(index, int)
        return super().__getitem__(index)  # type: ignore[index]


def group_of(of: OfSeries, part_of: list[int], number: int) -> tuple[int, ...]:
    return (*(owners[number] for owners in of.owners), part_of[of.groups[number]])


def slow_sums(of: OfSeries, part_of: list[int]) -> Sums:
    sums: defaultdict[tuple[int, ...], int] = defaultdict(int)
    for number, cost in enumerate(of.costs):
        if of.used[number] and part_of[of.groups[number]] >= 0:
            sums[group_of(of, part_of, number)] += cost
    return sums


def check(of: OfSeries, part_of: list[int], most: int) -> None:
    sums = slow_sums(of, part_of)
    least = sorted(sums.values(), reverse=True)[:most]
    answer = most_expensive(of, max(of.owners[0], default=0) + 1, max([0, *part_of]) + 1, part_of, most)
    assert answer.groups == len(sums)
    assert len(answer.costs) == len({group_of(of, part_of, number) for number in answer.costs})
    assert {group_of(of, part_of, number): cost for number, cost in answer.costs.items()} == {
        group: cost for group, cost in sums.items() if cost >= least[-1]
    }


costs = st.one_of(
    st.integers(-3, 300), st.integers(-(1 << 40), 1 << 40), st.integers(0, 40).map(lambda bits: 1 << bits)
)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 4), costs, st.booleans()), max_size=60),
    st.lists(st.integers(-1, 2), min_size=5, max_size=5),
    st.integers(1, 8),
    st.sampled_from([0, 1, 250]),
    st.sampled_from([0, 8_000_000]),
    st.sampled_from([-1, -1, -1, 32_768]),
    st.sampled_from([0, 3, 7, 60]),
    st.sampled_from([0, 1, 2_000]),
    st.sampled_from([(0,), (1,), (0, 1)]),
)
@settings(max_examples=400)
def test_the_most_expensive_are_those_of_the_exact_sums(
    series: list[tuple[int, int, int, int, bool]], part_of: list[int], most: int, large: int, sums: int, few: int,
    bits: int, others: int, owners: tuple[int, ...],
) -> None:  # fmt: skip
    columns = [list(column) for column in zip(*series, strict=True)] or [[], [], [], [], []]
    of = OfSeries(
        [array("I", columns[index]) for index in owners], array("I", columns[2]), columns[3], bytes(columns[4])
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tested, "_MOST_LARGE", large)
        patch.setattr(tested, "_MOST_SUMS", sums)
        patch.setattr(tested, "_FEW_SUMS", few)
        patch.setattr(tested, "_BITS", bits)
        patch.setattr(tested, "_MOST_OTHERS", others)
        check(of, part_of, most)


@pytest.mark.parametrize(
    ("cost_of", "size"),
    [
        (lambda dice: int(dice.gauss(500_000_000, 60_000_000)), 2),  # all cost about the same
        (lambda dice: int(dice.gauss(500_000_000, 60_000_000)), 10),
        (lambda dice: int(dice.lognormvariate(18, 2)), 2),  # a few cost nearly all
        (lambda dice: int(dice.lognormvariate(18, 3)), 10),
        (lambda dice: dice.choice([0, 0, 0, int(dice.lognormvariate(18, 1))]), 4),
    ],
)
def test_few_groups_are_added_up_exactly(
    cost_of: Callable[[random.Random], int], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, count = random.Random(size), 60_000
    some = Costs(cost_of(dice) for _ in range(count))
    owners = array("I", (dice.randrange(count // size // 2) for _ in range(count)))
    of = OfSeries([owners], array("I", (dice.randrange(1, 3) for _ in range(count))), some, b"\1" * count)
    monkeypatch.setattr(tested, "_FEW_SUMS", 0)
    check(of, [-1, 0, 1], 20)
    assert some.exact < count // 4


@pytest.mark.parametrize("moved", [0, 40])
def test_few_groups_are_added_up_where_nearly_everyone_is_in_one_team(
    moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rough sums of people are then enough, and those who were in two teams are still two groups each."""
    dice, count, people = random.Random(1), 60_000, 15_000
    some = Costs(int(dice.gauss(500_000_000, 60_000_000)) for _ in range(count))
    owners = array("I", (dice.randrange(people) for _ in range(count)))
    teams = array(
        "I", (1 + (owner + (owner < moved and number > count // 2)) % 9 for number, owner in enumerate(owners))
    )
    for name in ("_FEW_SUMS", "_MOST_SUMS"):
        monkeypatch.setattr(tested, name, 0)
    monkeypatch.setattr(tested, "_first_with", None)  # which takes the longest
    check(OfSeries([owners], teams, some, b"\1" * count), [0, *range(9)], 20)
    assert some.exact < count // 4

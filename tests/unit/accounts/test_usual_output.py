"""Risk: a request holds far less than answers of its key take, or as much as before, or another key's."""

from __future__ import annotations

import pytest

from modelmux.accounts.usual_output import LEAST_ANSWERS, MOST_ANSWERS, MOST_PAIRS, UsualOutput
from modelmux.claude.demand import Demand

DEMAND = Demand(prompt=10, output=64_000, searches=1)


def of(*tokens: int) -> UsualOutput:
    usual = UsualOutput()
    for one in tokens:
        usual.add("key_a", "m", one)
    return usual


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([5] * (LEAST_ANSWERS - 1), 64_000),
        (range(1, 21), 19),
        (range(100, 0, -1), 95),
        ([5] * 95 + [900] * 5, 5),
        ([5] * 94 + [900] * 6, 900),
        ([90_000] * 20, 64_000),
        ([9] * MOST_ANSWERS + [5] * MOST_ANSWERS, 5),
    ],
)
def test_it_is_what_95_of_100_answers_stay_within(tokens: list[int], expected: int) -> None:
    assert of(*tokens).expected("key_a", "m", DEMAND) == Demand(prompt=10, output=expected, searches=1)


def test_another_key_and_another_model_say_nothing() -> None:
    usual = of(*[5] * 20)
    assert usual.expected("key_b", "m", DEMAND) == usual.expected("key_a", "n", DEMAND) == DEMAND


def test_what_is_remembered_is_bounded() -> None:
    usual = of(*[5] * 20)
    for number in range(MOST_PAIRS - 1):
        usual.add(f"key_{number}", "m", 1)
    assert usual.expected("key_a", "m", DEMAND) != DEMAND
    usual.add("key_a", "m", 5)
    usual.add("key_new", "m", 1)
    assert usual.expected("key_a", "m", DEMAND) != DEMAND
    for number in range(MOST_PAIRS):
        usual.add(f"key_{number}", "m", 1)
    assert usual.expected("key_a", "m", DEMAND) == DEMAND

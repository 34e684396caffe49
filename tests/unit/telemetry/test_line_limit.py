"""Risk: a flood of refused requests becomes a flood of lines, or lines are left out that nobody hears of."""

from __future__ import annotations

import math
from random import Random

import pytest

from modelmux.telemetry.line_limit import LINES, SECONDS, LineLimit


def outcome(times: list[float]) -> tuple[list[float], LineLimit]:
    """The times of the lines that are logged."""
    state, logged = LineLimit(), []
    for now in times:
        if state.allows(now):
            logged.append(now)
            state = state.after_line(now)
        else:
            state = state.after_left_out()
    return logged, state


@pytest.mark.parametrize(
    ("times", "logged", "left_out"),
    [
        ([], [], 0),
        ([5.0], [5.0], 0),
        ([5.0] * 10, [5.0] * 10, 0),
        ([5.0] * 11, [5.0] * 10, 1),
        ([5.0] * 10 + [5.999], [5.0] * 10, 1),
        ([5.0] * 10 + [6.0], [5.0] * 10 + [6.0], 0),
        ([5.0] * 9 + [5.9] * 9, [5.0] * 9 + [5.9], 8),
        ([5.9] * 10 + [6.1] * 10, [5.9] * 10, 10),  # no new ten because a new second began
        ([0.25 * i for i in range(100)], [0.25 * i for i in range(100)], 0),
    ],
)
def test_at_most_ten_lines_in_any_second(times: list[float], logged: list[float], left_out: int) -> None:
    written, state = outcome(times)
    assert (written, state.left_out) == (logged, left_out)
    assert len(state.times) <= LINES


@pytest.mark.parametrize("gap", [0.001, 0.03, 0.099, 0.101, 0.5])
def test_no_second_of_a_steady_flood_has_more(gap: float) -> None:
    written, _ = outcome([100.0 + gap * i for i in range(2000)])
    for start in written:
        assert sum(start <= time < start + SECONDS for time in written) <= LINES


def test_the_count_is_told_once() -> None:
    _, state = outcome([1.0] * 13)
    assert state.left_out == 3
    assert state.after_count(1.0).left_out == 0
    assert state.after_count(1.0).times == state.times


@pytest.mark.parametrize(("now", "seconds"), [(1.0, 1.0), (1.25, 0.75), (2.0, 0.0), (9.0, 0.0)])
def test_the_count_follows_when_a_line_is_allowed_again(now: float, seconds: float) -> None:
    _, state = outcome([1.0] * 10)
    assert state.count_due_in(now) == seconds
    assert LineLimit().count_due_in(now) == 0.0


@pytest.mark.parametrize(("now", "seconds"), [(2.0, 0.75), (2.75, 0.0)])
def test_a_count_follows_another_after_a_second(now: float, seconds: float) -> None:
    _, state = outcome([1.0] * 10)
    assert state.after_count(1.75).count_due_in(now) == seconds


def test_counts_are_not_a_flood_of_their_own() -> None:
    """Requests at random times: a place for a line becomes free at any moment, and the next one is left out again."""
    random = Random(16)
    state, now, counts, due = LineLimit(), 100.0, list[float](), math.inf
    lines: list[float] = []
    while now < 130.0:
        now += random.expovariate(30.0)
        if due <= now:  # the timer
            counts.append(due)
            state, due = state.after_count(due), math.inf
        if state.allows(now):
            lines.append(now)
            state = state.after_line(now)
        else:
            state = state.after_left_out()
            due = min(due, now + state.count_due_in(now))
    assert 20 <= len(counts) <= 30
    for start in (*lines, *counts):
        assert sum(start <= time < start + SECONDS for time in counts) <= 1
        assert sum(start <= time < start + SECONDS for time in lines) <= LINES

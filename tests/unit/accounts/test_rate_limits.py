"""Counting within any minute, against a list of all that happened.

Risk: more than a limit passes in some 60 seconds; a request is refused although less counts; a correction of the past
makes room that was never there.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.rate_limits import (
    CELL,
    MINUTE,
    RING,
    add,
    correct,
    fits,
    is_idle,
    seconds_until,
    tick_at,
    ticks_until,
    used,
)

#: Seconds between two requests, and the process that gets each.
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.4, 0.5, 1.0, 7.3, 29.9, 59.9, 60.0, 61.0, 200.0]), st.integers(0, 2)),
    max_size=60,
)
STARTS = tuple(index * CELL for index in range(3))


@given(STEPS, st.integers(1, 6), st.sampled_from([0.0, 0.3, 12_345.6]))
def test_never_more_than_the_limit_in_any_minute_and_no_refusal_while_below(
    steps: list[tuple[float, int]], limit: int, now: float
) -> None:
    cells, admitted = [0] * (3 * CELL), list[float]()
    for pause, process in steps:
        now += pause
        counted = used(cells, STARTS, tick_at(now))
        within_a_minute = sum(at > now - 60 for at in admitted)
        at_most = sum(at > now - 60.5 for at in admitted)
        assert within_a_minute <= counted <= at_most, "half a second longer at most"
        if fits(counted, 1, limit):
            add(cells, STARTS[process], tick_at(now), 1)
            admitted.append(now)
        else:
            assert at_most >= limit
    for first in admitted:
        assert sum(first <= at < first + 60 for at in admitted) <= limit


@given(STEPS, st.integers(1, 4))
def test_a_refused_request_is_told_when_it_fits_and_not_later(steps: list[tuple[float, int]], limit: int) -> None:
    cells, now = [0] * (3 * CELL), 500.0
    for pause, process in steps:
        now += pause
        tick = tick_at(now)
        if fits(used(cells, STARTS, tick), 1, limit):
            add(cells, STARTS[process], tick, 1)
            continue
        ticks = ticks_until(cells, STARTS, tick, limit - 1)
        wait = seconds_until(ticks, now)
        assert 0 < wait <= 60.5
        assert fits(used(cells, STARTS, tick_at(now + wait)), 1, limit)
        assert not fits(used(cells, STARTS, tick_at(now + wait) - 1), 1, limit)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 1.0, 30.0, 59.5, 90.0]), st.integers(0, 9), st.integers(0, 9),
            st.sampled_from([0.0, 0.5, 10.0, 59.0, 60.0, 61.0, 130.0]),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_what_was_not_used_gives_room_only_for_as_long_as_it_counted(
    calls: list[tuple[float, int, int, float]],
) -> None:
    """Each call: a pause, what is expected, what is used, and how long it takes."""
    cells, now = [0] * CELL, 700.0
    events: list[tuple[float, int, int, int]] = []  # at, 0 for a begin and 1 for an end, number, amount
    begins: dict[int, tuple[int, int]] = {}
    for number, (pause, expected, actual, duration) in enumerate(calls):
        now += pause
        events += [(now, 0, number, expected), (now + duration, 1, number, actual)]
    for at, is_end, number, amount in sorted(events):
        tick = tick_at(at)
        if is_end:
            begin, expected = begins.pop(number)
            correct(cells, 0, begin, tick, amount - expected)
        else:
            add(cells, 0, tick, amount)
            begins[number] = tick, amount
        counted = used(cells, (0,), tick)
        assert counted >= 0
        least = 0
        for when, ended, other, value in sorted(events):
            if (when, ended, other) > (at, is_end, number) or ended:
                continue
            if tick_at(when) < tick - MINUTE:
                continue
            end = next(event for event in events if event[1] and event[2] == other)
            is_over = (end[0], end[1], end[2]) <= (at, is_end, number)
            least += min(value, end[3]) if is_over else value
        assert counted >= least, "what counts is what was used, or is expected still"


def test_a_correction_upwards_counts_from_its_end() -> None:
    cells = [0] * CELL
    add(cells, 0, 1_000, 5)
    correct(cells, 0, 1_000, 1_050, 3)
    assert used(cells, (0,), 1_050) == 8
    assert used(cells, (0,), 1_000 + MINUTE + 1) == 3
    assert used(cells, (0,), 1_050 + MINUTE + 1) == 0


def test_a_correction_downwards_that_comes_late_changes_nothing() -> None:
    cells = [0] * CELL
    add(cells, 0, 1_000, 5)
    add(cells, 0, 1_000 + MINUTE, 2)
    correct(cells, 0, 1_000, 1_001 + MINUTE, -5)
    assert used(cells, (0,), 1_001 + MINUTE) == 2
    correct(cells, 0, 1_000 + MINUTE, 1_001 + MINUTE, 0)
    assert used(cells, (0,), 1_001 + MINUTE) == 2


def test_another_process_may_be_a_little_ahead() -> None:
    cells = [0] * (2 * CELL)
    for tick in range(1_000, 1_000 + 2 * RING):
        add(cells, 0, tick, 1)
    now = 1_000 + 2 * RING - 1 - (RING - MINUTE - 1)
    ahead = RING - MINUTE - 1
    assert used(cells, (0, CELL), now) == MINUTE + 1 + ahead


def test_a_cell_is_idle_once_nothing_of_it_can_be_read() -> None:
    cells = [0] * CELL
    assert is_idle(cells, (0,), 1_000)
    add(cells, 0, 1_000, 1)
    assert not is_idle(cells, (0,), 1_000 + RING)
    assert is_idle(cells, (0,), 1_001 + RING)
    assert used(cells, (0,), 1_001 + RING) == 0


@pytest.mark.parametrize(
    ("counts", "needed", "limit", "expected"),
    [
        (0, 1, 1, True), (1, 1, 1, False), (5, 5, 10, True), (5, 6, 10, False), (0, 11, 10, True), (1, 11, 10, False),
        (-3, 11, 10, True),
    ],
)  # fmt: skip
def test_a_request_that_needs_more_than_the_limit_may_be_alone(
    counts: int, needed: int, limit: int, expected: bool
) -> None:
    assert fits(counts, needed, limit) is expected


def test_nothing_is_to_be_waited_for() -> None:
    cells = [0] * CELL
    assert ticks_until(cells, (0,), 1_000, 0) == 0
    assert seconds_until(0, 3.2) == 0.0
    assert seconds_until(2, 3.25) == pytest.approx(0.75)

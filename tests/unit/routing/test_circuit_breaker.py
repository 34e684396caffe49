"""The breaker: a bad place is left alone, a good one never, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelmux.routing.circuit_breaker import (
    CLOSED,
    DEFAULT_SETTINGS,
    Breaker,
    BreakerSettings,
    allows,
    on_end,
    on_start,
)


def after(
    *outcomes: bool | None, breaker: Breaker = CLOSED, now: float = 0.0, settings: BreakerSettings = DEFAULT_SETTINGS
) -> Breaker:
    for failed in outcomes:
        breaker = on_end(on_start(breaker, now), now, failed=failed, settings=settings)
    return breaker


OPEN = after(*[True] * 5)


def test_five_failures_in_a_row_open_it_four_do_not() -> None:
    assert allows(after(*[True] * 4), 0.0)
    assert (OPEN.state, OPEN.open_until, allows(OPEN, 4.9)) == ("open", 5.0, False)
    assert after(*[True] * 4, False, *[True] * 4).state == "closed"


def test_half_of_many_opens_it_though_never_five_in_a_row() -> None:
    assert after(*[True, False] * 4, True).state == "closed"  # nine are too few to judge
    assert after(*[False, True] * 5).state == "open"
    assert after(*[False, False, True] * 30).state == "closed"  # a third is not half


def test_a_success_never_opens_it() -> None:
    assert after(*[True] * 4, *[False] * 5, True, False).state == "closed"


def test_nothing_but_successes_changes_nothing() -> None:
    calm = after(*[False] * 20)
    assert after(False, breaker=calm) is calm
    assert after(True, breaker=calm).recent == 1


def test_old_outcomes_are_forgotten() -> None:
    assert after(*[False] * 1000, *[True] * 4).count == 20
    assert after(*[True, False] * 4, *[False] * 40, *[True] * 4).state == "closed"


def test_after_its_rest_one_probe_goes_and_no_second_one() -> None:
    assert allows(OPEN, 5.0)
    probing = on_start(OPEN, 5.0)
    assert (probing.state, allows(probing, 5.0), allows(probing, 500.0)) == ("half_open", False, False)


def test_a_probe_that_succeeds_closes_it_and_forgets() -> None:
    assert on_end(on_start(OPEN, 5.0), 6.0, failed=False) == CLOSED


def test_each_probe_that_fails_doubles_the_rest_up_to_a_bound() -> None:
    breaker, rests = OPEN, []
    for _ in range(7):
        now = breaker.open_until
        breaker = on_end(on_start(breaker, now), now, failed=True)
        rests.append(breaker.open_until - now)
    assert rests == [10, 20, 40, 80, 120, 120, 120]


def test_a_probe_that_says_nothing_leaves_room_for_the_next() -> None:
    again = on_end(on_start(OPEN, 5.0), 6.0, failed=None)
    assert (again.state, allows(again, 6.0)) == ("half_open", True)
    assert after(None, None) == CLOSED


def test_an_attempt_in_spite_of_it_counts_as_it_ends() -> None:
    assert on_start(OPEN, 1.0) == OPEN
    assert on_end(OPEN, 1.0, failed=False) == CLOSED
    assert on_end(OPEN, 1.0, failed=True).open_until == 6.0  # no doubling: its time was not over


@given(st.lists(st.tuples(st.floats(0, 50), st.sampled_from([True, False, None]))))
def test_whatever_happens_it_lets_a_probe_go_within_the_longest_rest(steps: list[tuple[float, bool | None]]) -> None:
    breaker, now = CLOSED, 0.0
    for wait, failed in steps:
        now += wait
        breaker = on_end(on_start(breaker, now), now, failed=failed)
        assert allows(breaker, now + 120.0)
        assert breaker.recent.bit_count() <= breaker.count <= 20

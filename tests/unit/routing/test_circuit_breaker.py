"""The circuit breaker: open for failing deployments, closed for healthy ones, and never open for ever."""

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


def test_five_consecutive_failures_open_it_four_do_not() -> None:
    assert allows(after(*[True] * 4), 0.0)
    assert (OPEN.state, OPEN.open_until, allows(OPEN, 4.9)) == ("open", 5.0, False)
    assert after(*[True] * 4, False, *[True] * 4).state == "closed"


def test_a_failure_ratio_of_one_half_opens_it_without_five_consecutive_failures() -> None:
    assert after(*[True, False] * 4, True).state == "closed"  # nine samples are too few
    assert after(*[False, True] * 5).state == "open"
    assert after(*[False, False, True] * 30).state == "closed"  # a ratio of one third


def test_a_success_never_opens_it() -> None:
    assert after(*[True] * 4, *[False] * 5, True, False).state == "closed"


def test_a_success_after_only_successes_returns_the_same_object() -> None:
    healthy = after(*[False] * 20)
    assert after(False, breaker=healthy) is healthy
    assert after(True, breaker=healthy).recent == 1


def test_old_outcomes_are_forgotten() -> None:
    assert after(*[False] * 1000, *[True] * 4).count == 20
    assert after(*[True, False] * 4, *[False] * 40, *[True] * 4).state == "closed"


def test_after_the_cooldown_one_probe_is_allowed_and_no_second_one() -> None:
    assert allows(OPEN, 5.0)
    probing = on_start(OPEN, 5.0)
    assert (probing.state, allows(probing, 5.0), allows(probing, 500.0)) == ("half_open", False, False)


def test_a_successful_probe_closes_it_and_resets_it() -> None:
    assert on_end(on_start(OPEN, 5.0), 6.0, failed=False) == CLOSED


def test_each_failed_probe_doubles_the_cooldown_up_to_a_maximum() -> None:
    breaker, cooldowns = OPEN, []
    for _ in range(7):
        now = breaker.open_until
        breaker = on_end(on_start(breaker, now), now, failed=True)
        cooldowns.append(breaker.open_until - now)
    assert cooldowns == [10, 20, 40, 80, 120, 120, 120]


def test_a_cooldown_has_a_random_part_that_does_not_grow_with_each_probe() -> None:
    opened = on_end(after(*[True] * 4), 0.0, failed=True, jitter=1.0)
    assert (opened.open_until, opened.cooldown) == (6.25, 5.0)
    again = on_end(on_start(opened, 6.25), 10.0, failed=True, jitter=0.5)
    assert (again.open_until, again.cooldown) == (10.0 + 11.25, 10.0)


def test_an_inconclusive_probe_allows_the_next() -> None:
    probed = on_end(on_start(OPEN, 5.0), 6.0, failed=None)
    assert (probed.state, allows(probed, 6.0)) == ("half_open", True)
    assert after(None, None) == CLOSED


def test_an_attempt_despite_an_open_breaker_counts() -> None:
    assert on_start(OPEN, 1.0) == OPEN
    assert on_end(OPEN, 1.0, failed=False) == CLOSED
    assert on_end(OPEN, 1.0, failed=True).open_until == 6.0  # not doubled: the cooldown was not over


@given(st.lists(st.tuples(st.floats(0, 50), st.sampled_from([True, False, None]))))
def test_a_probe_is_always_allowed_after_the_maximum_cooldown(steps: list[tuple[float, bool | None]]) -> None:
    breaker, now = CLOSED, 0.0
    for wait, failed in steps:
        now += wait
        breaker = on_end(on_start(breaker, now), now, failed=failed)
        assert allows(breaker, now + 120.0)
        assert breaker.recent.bit_count() <= breaker.count <= 20

"""Risk: a request is refused for others that are none, for longer than it would wait, or counts again at each look."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.limit_leases import Lease
from modelmux.accounts.limit_lines import Ahead
from modelmux.accounts.limits import AppliedLimit
from modelmux.accounts.rates import Rate
from modelmux.dialects.base import Inbound
from modelmux.errors import CallerRateLimited
from modelmux.gateway.limits.admitted import Expected, Gauge
from modelmux.gateway.limits.attempt import Attempt, Tools
from modelmux.store.counters.leased import LeasedCounters
from modelmux.store.counters.memory import MemoryCounters

TICK = 2_000


def nobody(_name: str) -> Ahead:
    return Ahead()


class Refusal(CallerRateLimited):
    """:ivar behind: whether others are said to wait."""

    def __init__(self, refused: Any, *_: Any, is_behind: bool) -> None:
        super().__init__("no", retry_after=refused[0][0])
        self.behind = is_behind


def attempt(counters: Any, rate: Rate, limit: int, needed: int) -> Attempt:
    gauge = Gauge(rate, limit, "x", AppliedLimit("key", "key_a", "a", "", {rate: limit}))
    tools = Tools(counters, lambda: TICK / 2, Refusal, lambda: None)  # type: ignore[arg-type, return-value]
    return Attempt(tools, lambda: [gauge], Expected(needed), Inbound("r", 0.0), 0)


def leased() -> LeasedCounters:
    counters = LeasedCounters(MemoryCounters(1), lambda: 2)
    counters.valid_until = TICK + 1_000
    counters.counter("x", TICK).lease = Lease(amount=1, recorded=1, others=3, holders=2, reported=TICK)
    counters.counter("x", TICK).add(TICK, 1)
    return counters


def test_what_does_not_fit_is_asked_for_once_by_each_request() -> None:
    """A look every tenth of a second would ask other nodes for ten requests a second."""
    counters = leased()
    counter, first, second = (
        counters.counter("x", TICK),
        attempt(counters, "rpm", 100, 1),
        attempt(counters, "rpm", 100, 1),
    )
    for _ in range(5):
        assert first.look(nobody) is not None
    assert counter.lease.short == 1
    second.look(nobody)
    assert counter.lease.short == 2
    counter.ask(TICK)
    assert counter.lease.short == 0
    for _ in range(5):
        first.look(nobody)
    assert counter.lease.short == 1, "others had nothing to give, so they are asked again"


def test_a_refusal_speaks_of_those_before_only_if_there_are_any() -> None:
    one = attempt(leased(), "rpm", 100, 1)
    for ahead, said in ((Ahead(), False), (Ahead(1, 1), True), (Ahead(0, 0), True)):
        one.look(lambda _name, ahead=ahead: ahead)  # type: ignore[misc]
        error = one.refusal()
        assert isinstance(error, Refusal)
        assert error.behind is said


@pytest.mark.parametrize(
    ("rate", "needed", "ahead", "seconds"),
    [
        ("rpm", 1, Ahead(), 10.5),
        ("rpm", 1, Ahead(19, 1), 10.5),
        ("rpm", 1, Ahead(20, 1), 60.0),
        ("itpm", 10, Ahead(), 10.5),
        ("itpm", 10, Ahead(19, 19), 10.5),
        ("itpm", 10, Ahead(400, 20), 10.5),
        ("itpm", 2, Ahead(4, 4), 0.0),
    ],
)
def test_tokens_of_those_before_are_expected_and_hold_nobody_up(
    rate: Rate, needed: int, ahead: Ahead, seconds: float
) -> None:
    """Requests count for a minute from their turn on; of tokens it is known only when the first one fits."""
    counters = MemoryCounters(1)
    counters.counter("x", TICK - 100).add(TICK - 100, 15 if needed != 1 else 20)
    blocked = attempt(counters, rate, 20, needed).look(lambda _name: ahead)
    assert blocked is not None
    assert blocked.is_estimate is (rate == "itpm")
    assert blocked.seconds == pytest.approx(seconds)

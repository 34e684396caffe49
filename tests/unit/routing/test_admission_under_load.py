"""Risk: at twice the capacity hardly anybody is served, and it stays so after the load has fallen; one key or one model
takes everything. In virtual time; ``make overload`` measures the same with processes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from modelmux.routing.admission import Admission, reserved_slots
from support.overload import CAPACITY, SERVICE, SLOTS, FirstComeFirstServed, Load, Outcome, Simulation

NO_RETRIES: dict[str, Any] = {"retries": 0}
#: Two retries after the seconds that the gateway named.
POLITE: dict[str, Any] = {"retries": 2}
#: Retries that ignore the gateway's ``retry-after``.
IMPATIENT: dict[str, Any] = {"retries": 4, "retry_delay": lambda jitter: 0.25 + 0.5 * jitter}
CLIENTS = pytest.mark.parametrize("client", [NO_RETRIES, POLITE, IMPATIENT], ids=["once", "polite", "impatient"])


def constant(times: float) -> Callable[[float], float]:
    return lambda _: times * CAPACITY


def admission(*, reserved: int = 0) -> Admission:
    return Admission(SLOTS, 512, 5.0, reserved=reserved)


def p99_and_goodput(outcome: Outcome, begin: float, end: float) -> tuple[float, float]:
    return outcome.latency(0.99, begin, end), outcome.goodput(begin, end) / CAPACITY


@CLIENTS
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("times", [2.0, 4.0])
def test_overload_leaves_goodput_and_latency_as_they_should_be(times: float, seed: int, client: dict[str, Any]) -> None:
    outcome = Simulation(admission(), [Load(constant(times), **client)], seed=seed).run(15)
    p99, goodput = p99_and_goodput(outcome, 3, 15)
    assert goodput >= 0.95
    assert p99 < 1.0
    assert outcome.waste(3, 15) == 0


@CLIENTS
def test_below_capacity_nobody_is_rejected(client: dict[str, Any]) -> None:
    outcome = Simulation(admission(), [Load(constant(0.5), **client)]).run(30)
    assert outcome.rejected == {}
    assert outcome.wasted == []
    assert outcome.latency(0.99, 0, 30) <= 1.5 * SERVICE


def test_at_nine_tenths_of_capacity_hardly_anybody_is_rejected() -> None:
    outcome = Simulation(admission(), [Load(constant(0.9))]).run(60)
    assert sum(outcome.rejected.values()) < 0.01 * len(outcome.calls)


@CLIENTS
@pytest.mark.parametrize("peak", [2.0, 4.0])
def test_two_seconds_after_the_load_has_fallen_all_is_as_before(peak: float, client: dict[str, Any]) -> None:
    """Retries of what was rejected still arrive; the requests that arrive anew are served nevertheless."""
    load = Load(lambda now: (peak if 4 <= now < 12 else 0.6) * CAPACITY, **client)
    outcome = Simulation(admission(), [load]).run(24)
    assert outcome.goodput(14, 24) >= 0.57 * CAPACITY
    assert outcome.latency(0.99, 14, 24) < 1.0
    assert outcome.waste(14, 24) == 0


@CLIENTS
def test_the_queue_of_before_collapsed(client: dict[str, Any]) -> None:
    """That the simulation shows what was measured with processes."""
    outcome = Simulation(FirstComeFirstServed(SLOTS), [Load(constant(2.0), **client)]).run(30)
    assert outcome.goodput(5, 30) < 0.3 * CAPACITY
    assert outcome.waste(5, 30) > 0.5


@pytest.mark.parametrize("flood", [2.0, 6.0])
@CLIENTS
def test_a_key_that_wants_a_tenth_gets_it_beside_one_that_floods(flood: float, client: dict[str, Any]) -> None:
    loads = [Load(constant(flood), key="flood", **client), Load(constant(0.1), key="small")]
    outcome = Simulation(admission(), loads).run(15)
    assert outcome.rejected_keys == {"flood"}
    assert outcome.goodput(3, 15, key="small") >= 0.09 * CAPACITY  # all that it asked for, which is random
    assert outcome.goodput(3, 15) >= 0.95 * CAPACITY


def test_keys_that_all_want_more_get_the_same() -> None:
    loads = [Load(constant(1 + number), key=str(number)) for number in range(4)]
    outcome = Simulation(admission(), loads).run(30)
    shares = [outcome.goodput(3, 30, key=str(number)) / CAPACITY for number in range(4)]
    assert shares == pytest.approx([0.25] * 4, abs=0.02)


def test_a_slow_model_leaves_slots_for_a_fast_one() -> None:
    """Requests of a model whose calls hang take all slots but a tenth, and the other model is served."""
    loads = [Load(constant(1), model="slow", key="a", patience=300), Load(lambda _: 5.0, model="fast", key="b")]
    simulation = Simulation(admission(reserved=reserved_slots(SLOTS, 1, 1)), loads)
    simulation.service = lambda rng: 100.0 if simulation.now < 1 else rng.uniform(0.1, 0.3)
    outcome = simulation.run(60)
    assert outcome.goodput(5, 60, model="fast") >= 4.5
    assert simulation.queue.running <= SLOTS


@pytest.mark.parametrize("slots", [1, 4])
def test_few_slots_and_long_calls_are_kept_busy(slots: int) -> None:
    """Where a slot becomes free only every few seconds, requests wait long enough for it."""
    load = Load(lambda _: 2 * slots / 2.0, patience=60)
    outcome = Simulation(Admission(slots, 64, 5.0), [load], service=lambda _: 2.0).run(600)
    assert outcome.goodput(60, 600) >= 0.85 * slots / 2.0


def test_who_says_how_long_it_waits_gets_no_slot_in_vain() -> None:
    """Calls take 2 s, clients wait 2.3 s and say so: no call is made for those who would leave before its end."""

    def service(rng: random.Random) -> float:
        return 2.0 + 0.01 * rng.random()

    load = Load(lambda _: 20.0, patience=2.3, says_timeout=True)
    outcome = Simulation(admission(), [load], service=service).run(60)
    assert outcome.rejected["no_time_left"] > 0
    assert outcome.waste(10, 60) < 0.01
    assert outcome.goodput(10, 60) >= 0.85 * SLOTS / 2.0
    assert math.isfinite(outcome.latency(0.99, 10, 60))

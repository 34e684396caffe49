"""Risk: a slot is lost or invented, somebody waits for ever, or the wrong one is rejected."""

from __future__ import annotations

import math

import pytest

from modelmux.routing.admission import (
    MIN_SAMPLES,
    MIN_WAIT,
    OVERLOADED_AFTER,
    Admission,
    Durations,
    Reason,
    Ticket,
    reserved_slots,
)

OVERLOAD = OVERLOADED_AFTER


def ticket(name: str, at: float = 0.0, *, key: str = "k", model: str = "m", deadline: float = math.inf) -> Ticket:
    return Ticket(key, model, at, deadline, name)


def full(limit: int = 1, *, queue: int = 8, reserved: int = 0, seconds: float = 0.0) -> Admission:
    """All slots taken, by calls of ``m``; earlier calls took so long."""
    admission = Admission(limit, queue, 5.0, reserved=reserved)
    for _ in range(MIN_SAMPLES if seconds else 0):
        assert admission.enter("m")
        admission.release("m", seconds)
    while admission.enter("m"):
        pass
    return admission


def decisions(admission: Admission, now: float) -> list[tuple[str, Reason | None]]:
    result = []
    while (decision := admission.decide(now)) is not None:
        result.append((decision[0].handle, decision[1]))
    return result


def wait(admission: Admission, *tickets: Ticket) -> None:
    for each in tickets:
        assert not admission.enter(each.model)
        assert admission.arrive(each) is None


def test_a_free_slot_is_taken_at_once_and_without_a_limit_there_always_is_one() -> None:
    admission = Admission(2, 8, 5.0)
    assert [admission.enter("m") for _ in range(3)] == [True, True, False]
    assert (admission.running, admission.full, admission.waiting) == (2, True, 0)
    assert all(Admission(None, 0, 5.0).enter("m") for _ in range(100))


def test_in_a_short_queue_the_first_comes_first() -> None:
    admission = full()
    wait(admission, ticket("a"), ticket("b", 0.1))
    admission.release("m")
    assert decisions(admission, OVERLOAD - 0.01) == [("a", None)]
    assert (admission.running, admission.waiting) == (1, 1)


def test_under_overload_the_newest_comes_first() -> None:
    admission = full()
    wait(admission, ticket("a"), ticket("b", 0.1), ticket("c", 0.2))
    admission.release("m")
    assert decisions(admission, OVERLOAD) == [("c", None)]
    admission.release("m")
    assert decisions(admission, OVERLOAD + 0.01) == [("b", None)]


def test_a_queue_that_was_empty_is_not_overloaded() -> None:
    admission = full()
    wait(admission, ticket("a"))
    admission.release("m")
    assert decisions(admission, 1.0) == [("a", None)]
    wait(admission, ticket("b", 1.1), ticket("c", 1.2))
    admission.release("m")
    assert decisions(admission, 1.2) == [("b", None)]


def test_keys_take_turns_however_many_requests_each_has() -> None:
    admission = full()
    wait(admission, ticket("a1"), ticket("a2"), ticket("a3"), ticket("b1", key="B"), ticket("c1", key="C"))
    order = []
    for _ in range(5):
        admission.release("m")
        order += decisions(admission, 0.1)
    assert [name for name, _ in order] == ["a1", "b1", "c1", "a2", "a3"]


@pytest.mark.parametrize(
    ("seconds", "longest"), [(0.0, 5.0), (0.2, MIN_WAIT), (2.0, 2.0), (60.0, 5.0)],
    ids=["unknown", "short calls", "longer calls", "the configured limit"],
)  # fmt: skip
def test_nobody_waits_longer_than_calls_take(seconds: float, longest: float) -> None:
    admission = full(seconds=seconds)
    assert admission.next_event == math.inf
    wait(admission, ticket("a", 10.0), ticket("b", 10.4))
    assert admission.next_event == 10.0 + longest
    assert decisions(admission, 9.99 + longest) == []
    assert decisions(admission, 10.0 + longest) == [("a", "queue_timeout")]
    assert admission.next_event == 10.4 + longest


def test_a_minimum_wait_can_be_longer() -> None:
    admission = Admission(1, 8, 10.0, min_wait=10.0)
    for _ in range(MIN_SAMPLES):
        assert admission.enter("m")
        admission.release("m", 0.1)
    assert admission.longest_wait == 10.0


def test_who_has_less_time_left_than_calls_take_does_not_wait() -> None:
    admission = full(seconds=2.0)
    assert admission.arrive(ticket("hopeless", 0.0, deadline=1.9)) == "no_time_left"
    wait(admission, ticket("hurried", 0.0, deadline=2.5), ticket("patient", 0.0))
    assert admission.next_event == 0.5
    admission.release("m")
    assert decisions(admission, 0.5) == [("hurried", "no_time_left"), ("patient", None)]


def test_a_deadline_bounds_the_wait_also_if_no_call_is_known() -> None:
    admission = full()
    assert admission.arrive(ticket("late", 1.0, deadline=1.0)) == "no_time_left"
    wait(admission, ticket("a", 1.0, deadline=2.0))
    assert (decisions(admission, 1.9), decisions(admission, 2.0)) == ([], [("a", "no_time_left")])


def test_the_durations_of_one_model_say_nothing_about_another() -> None:
    admission = full(seconds=2.0)
    assert admission.arrive(ticket("other", 0.0, model="quick", deadline=1.0)) is None


def test_a_full_queue_rejects_who_has_the_most_in_it() -> None:
    admission = full(queue=2)
    wait(admission, ticket("a1"), ticket("a2", 0.1))
    assert admission.arrive(ticket("a3", 0.1)) == "queue_full"
    displaced = admission.arrive(ticket("b1", 0.1, key="B"))
    assert isinstance(displaced, tuple)
    assert (displaced[0].handle, displaced[1]) == ("a2", "queue_full"), "who would have been served last"
    assert admission.arrive(ticket("c1", 0.1, key="C")) == "queue_full", "each has one"
    assert admission.waiting == 2


def test_under_overload_the_oldest_leaves_a_full_queue() -> None:
    admission = full(queue=2)
    wait(admission, ticket("a1"), ticket("a2", 0.1))
    displaced = admission.arrive(ticket("b1", OVERLOAD, key="B"))
    assert isinstance(displaced, tuple)
    assert displaced[0].handle == "a1"


def test_without_a_queue_nobody_waits() -> None:
    assert full(queue=0).arrive(ticket("a")) == "queue_full"


def test_who_leaves_the_queue_gets_no_slot() -> None:
    admission, a, b = full(), ticket("a"), ticket("b", deadline=2.0)
    wait(admission, a, b)
    admission.leave(a)
    admission.leave(b)
    admission.leave(b)
    admission.release("m")
    assert (admission.waiting, decisions(admission, 9.0), admission.next_event) == (0, [], math.inf)


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (6, 6), (9, 9), (10, 9), (20, 18), (4096, 3687)])
def test_one_model_takes_all_but_a_tenth(limit: int, most: int) -> None:
    admission = full(limit, reserved=reserved_slots(limit, 1, 1))
    assert admission.running == most
    assert [admission.enter("other") for _ in range(limit - most + 1)] == [True] * (limit - most) + [False]


@pytest.mark.parametrize(
    ("total", "workers", "reserved"),
    [
        (6, 1, [0]),
        (6, 4, [0, 0, 0, 0]),
        (20, 1, [2]),
        (20, 2, [1, 1]),
        (20, 4, [1, 1, 0, 0]),
        (39, 2, [2, 1]),
        (40, 3, [2, 1, 1]),
        (4096, 8, [52, 51, 51, 51, 51, 51, 51, 51]),
        (1000, 7, [15, 15, 14, 14, 14, 14, 14]),
    ],
)
def test_the_slots_that_workers_reserve_come_to_a_tenth_of_all(total: int, workers: int, reserved: list[int]) -> None:
    assert [reserved_slots(total, workers, number) for number in range(1, workers + 1)] == reserved
    assert sum(reserved) == total // 10


def test_a_worker_with_one_slot_gives_it_to_any_model() -> None:
    assert reserved_slots(10, 10, 1) == 1
    assert full(1, reserved=1).running == 1


def test_the_only_model_takes_every_slot() -> None:
    assert full(20).running == 20


def test_a_slot_that_a_model_may_not_take_goes_to_another() -> None:
    admission = full(10, reserved=1)
    wait(admission, ticket("m1"), ticket("m2"))
    assert decisions(admission, 0.1) == [], "only requests of the model that has all it may have"
    assert admission.enter("other"), "they are not overtaken: the slot is not for them"
    wait(admission, ticket("o1", 0.1, model="other"))
    admission.release("other")
    assert decisions(admission, 0.1) == [("o1", None)]
    admission.release("m")
    assert decisions(admission, 0.1) == [("m1", None)]


def test_other_limits_apply_at_once() -> None:
    admission = full()
    wait(admission, ticket("a"), ticket("b"), ticket("c"))
    admission.resize(3, 8, 5.0)
    assert decisions(admission, 0.1) == [("a", None), ("b", None)]
    admission.resize(None, 8, 5.0)
    assert decisions(admission, 0.1) == [("c", None)]
    admission.resize(1, 8, 5.0)
    assert (admission.full, admission.running) == (True, 4)


def test_a_slot_that_was_not_used_says_nothing_about_durations() -> None:
    admission = Admission(1, 8, 5.0)
    for _ in range(MIN_SAMPLES):
        assert admission.enter("m")
        admission.release("m")
    assert admission.longest_wait == 5.0


def test_a_typical_duration_is_the_median_of_the_latest() -> None:
    durations = Durations()
    for number in range(MIN_SAMPLES - 1):
        durations.add(number)
    assert durations.typical == 0.0
    durations.add(100.0)
    assert durations.typical == MIN_SAMPLES // 2
    for _ in range(64):
        durations.add(3.0)
    assert durations.typical == 3.0

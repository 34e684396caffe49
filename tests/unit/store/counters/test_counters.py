"""Counters of one process, and those that workers share.

Risk: two limits share a cell, or one limit has two; what a killed worker had running stays counted, or what it admitted
does not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from modelmux.accounts.rate_limits import RING
from modelmux.store.counters.cells import CellCounter
from modelmux.store.counters.memory import MemoryCounters
from modelmux.store.counters.shared import CounterTable, SharedCounters, counter_table

TICK = 10_000
MAKERS: list[Callable[[], Any]] = [MemoryCounters, lambda: SharedCounters(CounterTable(2, 64), 1)]


@pytest.mark.parametrize("make", MAKERS, ids=["memory", "shared"])
def test_counters_count(make: Callable[[], Any]) -> None:
    counters = make()
    one, other = counters.counter("a", TICK), counters.counter("b", TICK)
    one.add(TICK, 5)
    one.enter()
    one.enter()
    one.enter(-1)
    one.correct(TICK, TICK + 2, -2)
    assert (one.used(TICK + 2), one.running, one.share) == (3, 1, 1)
    assert (other.used(TICK + 2), other.running) == (0, 0)
    assert one.ticks_until(TICK + 2, 2) == 119
    assert counters.counter("a", TICK + 3).used(TICK + 3) == 3
    assert not one.is_idle(TICK + 2 * RING), "it runs"
    one.enter(-1)
    assert one.is_idle(TICK + 2 * RING)


def test_a_process_forgets_what_is_idle_only() -> None:
    counters, later = MemoryCounters(), TICK + RING + 1
    counters.counter("runs", TICK).enter()
    for number in range(600):
        counters.counter(f"idle {number}", TICK)
    counters.counter("kept", TICK).add(later - 100, 1)
    for number in range(600):
        counters.counter(f"new {number}", later)
    assert len(counters._counters) < 650
    assert counters.counter("kept", later).used(later) == 1
    assert counters.counter("runs", later).running == 1


def test_workers_see_what_others_count() -> None:
    table = CounterTable(3, 64)
    workers = [SharedCounters(table, number) for number in (1, 2, 3)]
    for number, worker in enumerate(workers, 1):
        worker.counter("a", TICK).add(TICK, number)
        worker.counter("a", TICK).enter()
    assert [worker.counter("a", TICK).used(TICK) for worker in workers] == [6, 6, 6]
    assert [worker.counter("a", TICK).running for worker in workers] == [3, 3, 3]


def test_a_worker_that_ended_runs_nothing_and_its_minute_still_counts() -> None:
    table = CounterTable(2, 64)
    first, second = SharedCounters(table, 1), SharedCounters(table, 2)
    for worker in (first, second):
        worker.counter("a", TICK).add(TICK, 1)
        worker.counter("a", TICK).enter()
    again = SharedCounters(table, 1)
    assert again.counter("a", TICK).running == 2, "a process that only checks a configuration ends nothing"
    table.worker_ended(1)
    assert again.counter("a", TICK).running == 1, "that of the other"
    assert again.counter("a", TICK).used(TICK) == 2


def test_rows_are_given_to_other_names_once_nothing_counts_in_them() -> None:
    table = CounterTable(2, 8)
    first, second = SharedCounters(table, 1), SharedCounters(table, 2)
    for number in range(7):
        first.counter(f"old {number}", TICK).add(TICK, 1)
    second.counter("runs", TICK).enter()
    later = TICK + RING + 1
    assert second.counter("new", later).used(later) == 0
    first.counter("new", later).add(later, 4)
    assert second.counter("new", later).used(later) == 4
    assert second.counter("runs", later).running == 1
    for number in range(7):  # those whose row was taken get another one, or one by themselves
        assert first.counter(f"old {number}", later).used(later) == 0


def test_a_full_table_divides_limits_between_the_workers() -> None:
    table = CounterTable(4, 8)
    worker, other = SharedCounters(table, 1), SharedCounters(table, 2)
    for number in range(8):
        worker.counter(f"{number}", TICK).add(TICK, 1)
    alone = worker.counter("more", TICK)
    alone.add(TICK, 1)
    assert (alone.share, alone.used(TICK)) == (4, 1)
    assert worker.counter("more", TICK) is alone
    assert other.counter("more", TICK).used(TICK) == 0, "it counts for itself"


def test_a_process_remembers_a_bounded_number_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelmux.store.counters.shared._MANY", 4)
    counters = SharedCounters(CounterTable(1, 64), 1)
    for number in range(20):
        counters.counter(f"{number}", TICK).add(TICK, number)
    assert len(counters._counters) <= 5
    assert [counters.counter(f"{number}", TICK).used(TICK) for number in range(20)] == list(range(20))


def test_forked_processes_find_the_same_rows() -> None:
    table = counter_table(4)
    assert table is not None
    children = []
    for number, step in ((1, 1), (2, 3), (3, 7), (4, 9)):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                counters = SharedCounters(table, number)
                for each in range(200):  # in another order in each
                    name = str(each * step % 200)
                    for _ in range(5):
                        counters.counter(name, TICK).add(TICK, 1)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    counters = SharedCounters(table, 1)
    assert {counters.counter(str(each), TICK).used(TICK) for each in range(200)} == {20}
    assert len({table.words[row] for row in range(table.rows)} - {0}) == 200


def test_one_worker_shares_nothing() -> None:
    assert counter_table(1) is None


def test_what_counts_beside_a_full_table_is_not_forgotten_when_a_row_is_free() -> None:
    table = CounterTable(4, 8)
    worker = SharedCounters(table, 1)
    for number in range(8):
        worker.counter(f"{number}", TICK).add(TICK, 1)
    worker.counter("late", TICK + 100).add(TICK + 100, 3)
    worker.counter("runs", TICK + 100).enter()
    free = TICK + RING + 1  # nothing counts in the table any more
    assert worker.counter("late", free).used(free) == 3
    assert worker.counter("runs", free).running == 1
    worker.counter("runs", free).enter(-1)
    later = TICK + 100 + RING + 1
    assert worker.counter("late", later).share == worker.counter("runs", later).share == 1, "they have rows by now"


def test_what_clients_make_up_takes_no_rows_of_keys() -> None:
    """End users are claims, as many as a client likes."""
    worker = SharedCounters(CounterTable(4, 256), 1)
    for number in range(1_000):
        worker.counter(f"end user {number}", TICK, is_claim=True).add(TICK, 1)
    assert {worker.counter(f"key {number}", TICK).share for number in range(20)} == {1}
    shares = [worker.counter(f"end user {number}", TICK, is_claim=True).share for number in range(1_000)]
    assert shares.count(1) >= 64
    assert {worker.counter(f"end user {number}", TICK, is_claim=True).used(TICK) for number in range(1_000)} == {1}


def test_a_process_forgets_a_few_counters_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look through all of them would stop all requests for as long."""
    looks = []
    is_idle = CellCounter.is_idle
    monkeypatch.setattr(CellCounter, "is_idle", lambda self, tick: looks.append(0) or is_idle(self, tick))
    counters = MemoryCounters()
    most = 0
    for number in range(5_000):
        looks.clear()
        counters.counter(f"{number}", TICK + number // 10).add(TICK + number // 10, 1)
        most = max(most, len(looks))
    assert most <= 4
    assert len(counters._counters) < 2_000, "1,290 of them count"


@pytest.mark.parametrize("make", [MemoryCounters, lambda: SharedCounters(CounterTable(2, 8), 1)])
def test_counters_of_one_admission_are_not_taken_from_each_other(make: Callable[[], Any]) -> None:
    """They are looked for before anything counts in them."""
    counters = make()
    for turn in range(3):
        tick = TICK + 1_000 * turn
        names = [f"{number}" for number in range(2 * turn, 2 * turn + 5)]
        for number, counter in enumerate([counters.counter(name, tick) for name in names]):
            counter.add(tick, number)
        assert [counters.counter(name, tick).used(tick) for name in names] == list(range(5))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the lock is a file")
def test_workers_share_counters_where_no_file_can_be_created(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose file system is read-only."""
    monkeypatch.setattr("tempfile.tempdir", "/proc/missing")
    table = counter_table(2)
    assert table is not None
    for number in (1, 2):
        SharedCounters(table, number).counter("a", TICK).add(TICK, 1)
    assert SharedCounters(table, 1).counter("a", TICK).used(TICK) == 2

"""Counters that are leased, in one process.

Risk: without a server the workers of a node take the node's part each; a refused request is told to wait for a minute
though there is room in a moment, or to come back at once for ever; names of end users leave the process.
"""

from __future__ import annotations

import pytest

from modelmux.accounts.limit_leases import Seen
from modelmux.accounts.rate_limits import MINUTE
from modelmux.config.schema import Config
from modelmux.gateway.limits.rate_limits import RateLimits
from modelmux.runtime import Runtime
from modelmux.store.counters.leased import Answer, LeasedCounters
from modelmux.store.counters.memory import MemoryCounters
from modelmux.store.counters.shared import CounterTable, SharedCounters

TICK = 10_000


def leased(answer: Answer, limit: int = 60, used: int = 0) -> LeasedCounters:
    """Of which the limit ``a`` has been answered."""
    counters = LeasedCounters(MemoryCounters(), lambda: 2)
    counter = counters.counter("a", TICK)
    counter.seen(limit, 1, TICK)
    if used:
        counter.add(TICK, used)
    counters.answered(counters.asks(TICK, 10), [answer], TICK, 4)
    return counters


def test_what_is_seen_is_of_all_nodes() -> None:
    counter = leased(Answer(12, 30, 3), used=10).counter("a", TICK)
    assert counter.seen(60, 1, TICK + 1) == Seen(60, 40, 2)
    assert (counter.used(TICK), counter.running) == (10, 0)


class Server:
    """What ``store/redis/script.py`` does, for one limit."""

    def __init__(self, *nodes: LeasedCounters) -> None:
        self.nodes = nodes
        self.leases = dict.fromkeys(nodes, 0)

    def exchange(self, tick: int) -> None:
        for node in self.nodes:
            reports = node.asks(tick, 10)
            answers = []
            for _, ask in reports:
                others = sum(amount for other, amount in self.leases.items() if other is not node)
                holders = 1 + sum(amount > 0 for other, amount in self.leases.items() if other is not node)
                room = max(ask.limit - others - ask.amount, 0)
                more = max(min(ask.needed, room), min(ask.ahead, -(-room // (2 * holders))))
                self.leases[node] = ask.amount + more
                answers.append(Answer(self.leases[node], others, holders))
            node.answered(reports, answers, tick, 4)
            node.processes = node.known_nodes = len(self.nodes)


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("needed", [1, 7])
@pytest.mark.parametrize("pause", [1, 2, 3, 4, 5, 6, 7, 10, 40, 119, 121, 200])
def test_requests_that_come_one_by_one_are_never_refused_below_the_limit(pause: int, needed: int, nodes: int) -> None:
    """A client that waits for seconds between its requests finds no lease of the busy moment before."""
    limit = 600
    counters = [LeasedCounters(MemoryCounters(), lambda: nodes) for _ in range(nodes)]
    server, sent = Server(*counters), list[int]()
    for tick in range(TICK, TICK + 1000):
        server.exchange(tick)
        if (tick - TICK) % pause == 0:
            counter = counters[len(sent) * 7 // 3 % nodes].counter("a", tick)
            counted = sum(needed for one in sent if tick - one <= MINUTE)
            if counted + 4 * nodes * needed > limit:
                continue  # the less is left, the less each leases ahead
            assert counter.seen(limit, needed, tick).fits(needed), (tick - TICK, counted)
            counter.add(tick, needed)
            sent.append(tick)
        server.exchange(tick)
    assert sum(server.leases.values()) <= limit


@pytest.mark.parametrize("pause", [1, 3, 4, 5, 6, 7, 8, 9, 50])
def test_one_request_at_a_time_is_never_refused(pause: int) -> None:
    counters = LeasedCounters(MemoryCounters(), lambda: 1)
    server = Server(counters)
    for tick in range(TICK, TICK + 300):
        counter = counters.counter("a", tick)
        if (tick - TICK) % pause == 0:
            assert counter.seen(5, 1, tick, at_once=True).fits(1), tick - TICK
            counter.enter()
            server.exchange(tick)
            counter.enter(-1)
        server.exchange(tick)


def test_when_to_try_again() -> None:
    counter = leased(Answer(10, 30, 3), used=10).counter("a", TICK)
    seen = counter.seen(60, 1, TICK + 1)
    assert counter.ticks_until_fits(seen, 1, TICK + 1) == 1, "there is room: a lease comes in a moment"
    counter = leased(Answer(10, 50, 3), used=10).counter("a", TICK)
    seen = counter.seen(60, 1, TICK + 1)
    assert counter.ticks_until_fits(seen, 1, TICK + 1) == MINUTE, "what counts here has to go"
    counter = leased(Answer(0, 60, 3)).counter("a", TICK)
    seen = counter.seen(60, 1, TICK + 1)
    assert counter.ticks_until_fits(seen, 1, TICK + 1) == 4, "others decide"
    assert counter.ticks_until_unused(TICK + 1) == MINUTE + 1, "what others count may count for a minute"
    assert counter.ticks_until_unused(TICK + 4) == 0, "and nothing is known of them any more"


def test_when_to_try_again_without_the_server() -> None:
    counter = leased(Answer(30, 0, 1), used=30).counter("a", TICK)
    seen = counter.seen(60, 1, TICK + 4)
    assert seen == Seen(30, 30, 0)
    assert counter.ticks_until_fits(seen, 1, TICK + 4) == MINUTE + 1 - 4
    counter = leased(Answer(0, 60, 3)).counter("a", TICK)
    seen = counter.seen(60, 1, TICK + 4)
    assert seen == Seen(30, 0, 0), "for as long as that counts which others had"
    assert counter.ticks_until_fits(seen, 1, TICK + 4) == 1


def test_a45_without_a_server_the_workers_of_a_node_take_its_part_together() -> None:
    table = CounterTable(2, 64)
    workers = [LeasedCounters(SharedCounters(table, number), lambda: 3) for number in (1, 2)]
    admitted = 0
    for number in range(100):
        counter = workers[number % 2].counter("a", TICK)
        if counter.seen(60, 1, TICK).fits(1):
            counter.add(TICK, 1)
            admitted += 1
        else:
            counter.refused(1)
    assert admitted == 20
    for number in range(100):
        counter = workers[number % 2].counter("running", TICK)
        if counter.seen(9, 1, TICK, at_once=True).fits(1):
            counter.enter()
    assert counter.running == 3


def test_without_a_server_in_the_configuration_nothing_is_remembered() -> None:
    """Limits are divided by the nodes that share the database."""
    nodes = [1]
    limits = RateLimits(Config(), None, None, 1, Runtime(), live_nodes=lambda: nodes[0])
    counter = limits._counters.counter("a", TICK)
    assert counter.seen(60, 1, TICK) == Seen(60, 0, 60)
    nodes[0] = 4
    counter.add(TICK, 15)
    counter.correct(TICK, TICK, -1)
    assert limits._counters.counter("a", TICK).seen(60, 1, TICK) == Seen(15, 14, 1)
    assert isinstance(limits._counters, LeasedCounters)
    assert not limits._counters._counters
    assert not limits._counters._touched
    limits.start()


def test_more_limits_than_are_leased_get_the_first_part() -> None:
    counters = LeasedCounters(MemoryCounters(), lambda: 1, most=1)
    counters.valid_until = TICK + 4
    counters.counter("a", TICK).seen(60, 1, TICK)
    other = counters.counter("b", TICK)
    assert other.seen(60, 1, TICK) == Seen(60, 0, 6)
    other.add(TICK, 6)
    assert counters.counter("b", TICK).seen(60, 1, TICK) == Seen(60, 6, 0)
    assert [report.counter.name for report in counters.asks(TICK, 10)] == ["a"]


def test_names_stay_in_the_process() -> None:
    counter = LeasedCounters(MemoryCounters(), lambda: 1).counter("lim\0rpm\0ann@example.com\ud800", TICK)
    assert len(counter.key) == 32
    assert set(counter.key) <= set("0123456789abcdef")


def test_to_look_leases_nothing() -> None:
    counters = LeasedCounters(MemoryCounters(), lambda: 1)
    counters.counter("a", TICK).seen(60, 0, TICK)
    assert counters.asks(TICK, 10) == []


def test_what_failed_is_reported_again() -> None:
    counters = LeasedCounters(MemoryCounters(), lambda: 1)
    counters.counter("a", TICK).seen(60, 1, TICK)
    reports = counters.asks(TICK, 10)
    counters.failed(reports)
    assert counters.asks(TICK, 10) == reports


def test_after_a_pause_of_the_process_its_leases_are_none() -> None:
    counters = leased(Answer(30, 10, 2), used=5)
    later = TICK + 100
    counters.counter("b", later).seen(60, 1, later)
    (report,) = counters.asks(later, 1)
    counters.answered([report], [Answer(1, 0, 1)], later, 4)
    seen = {name: counters.counter(name, later).seen(60, 0, later) for name in ("a", "b")}
    assert report.counter.name == "b"
    assert seen["a"] == Seen(60, 5, 60 // 20 - 5), "others may have what it had leased"
    assert seen["b"] == Seen(60, 0, 1)

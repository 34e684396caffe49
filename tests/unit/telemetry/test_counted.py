"""Risk: the overview without accounts shows the numbers of one worker as those of all, or a client that left as an
error."""

from __future__ import annotations

from modelmux.telemetry.counted import Counted, Labelled, TokenSums, counted
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.worker_metrics import merge


def test_the_numbers_of_all_workers_by_route() -> None:
    workers = [Metrics(), Metrics()]
    for metrics in workers:
        metrics.requests.add("fast", "ok")
        metrics.requests.add("fast", "client_gone")
        metrics.duration.observe("fast", 0.2)
        metrics.tokens.add_many(10, "fast", "input")
        metrics.tokens.add_many(30, "fast", "cache_read")
        metrics.attempts.add("a@global", "ok")
    metrics.requests.add("slow", "upstream_error")
    metrics.requests.add("slow", "drained")
    metrics.tokens.add_many(5, "slow", "output")
    metrics.tokens.add_many(7, "slow", "of_another_kind")
    metrics.errors.add("429", "rate_limit_exceeded")
    found = counted(merge(one.values() for one in workers), metrics.bounds)
    assert (found.requests, found.errors) == (6, 2)
    assert found.tokens == TokenSums(input=20, cache_read=60, output=5)
    assert [(one.route, one.requests, one.errors) for one in found.routes] == [("fast", 4, 0), ("slow", 2, 2)]
    fast, slow = found.routes
    assert fast.request is not None
    assert (fast.request.count, fast.first_content, slow.request) == (2, None, None)
    assert fast.tokens == TokenSums(input=20, cache_read=60)
    assert found.latency.request == fast.request
    assert found.outcomes[0].count == 2
    assert found.error_responses == (Labelled(name="429 rate_limit_exceeded", count=1),)
    assert found.attempts == (Labelled(name="a@global ok", count=2),)


def test_requests_that_wait_are_added() -> None:
    class Queue:
        queued = 2

    workers = [Metrics(), Metrics()]
    for metrics in workers:
        metrics.register_gauges(lambda: [("a", False, 1, 3)], Queue())
    assert counted(merge(one.values() for one in workers), metrics.bounds).queued == 10


def test_before_the_first_request_there_is_nothing() -> None:
    metrics = Metrics()
    assert counted(metrics.values(), metrics.bounds) == counted(merge([]), metrics.bounds) == Counted()

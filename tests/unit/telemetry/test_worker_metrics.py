"""Reports of several workers as one: no sum falls when a worker ends, and what belongs to a process stays its own."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import msgspec
import pytest

from modelmux.telemetry import names
from modelmux.telemetry.ledger_counts import LedgerCounts
from modelmux.telemetry.metrics import Metrics, health_counters
from modelmux.telemetry.worker_metrics import (
    OTHER,
    FinishedStatus,
    FinishedWorkers,
    GatewayTotals,
    WorkerReport,
    WorkerStatus,
    add_counts,
    add_finished,
    encode_report,
    totals,
)

LIMIT = 1_000_000
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def received(metrics: Metrics, incarnation: int = 1, *, limit: int = LIMIT, **fields: Any) -> WorkerReport:
    """As it is read from the scoreboard."""
    report = WorkerReport(
        **{"pid": os.getpid(), "ready": True, "problem": None, "generation": 1} | fields,
        incarnation=incarnation, counts=metrics.counts(), metrics=metrics.values(),
    )  # fmt: skip
    encoded = encode_report(report, limit)
    assert len(encoded) <= limit
    return msgspec.msgpack.decode(encoded, type=WorkerReport)


def finished(workers: int = 2) -> FinishedWorkers:
    return FinishedWorkers(supervisor=os.getpid(), folded=[0] * workers)


def exposition(shown: GatewayTotals) -> bytes:
    return Metrics().expose_all(shown)


def value(text: bytes, sample: str) -> float:
    match = re.search(rf"^{re.escape(sample)} (\S+)$", text.decode(), re.MULTILINE)
    assert match, f"no {sample} in {text.decode()}"
    return float(match[1])


def test_counters_and_histograms_are_added_bucket_by_bucket() -> None:
    first, second = Metrics(), Metrics()
    first.requests.add_many(2, "m", "ok")
    second.requests.add_many(3, "m", "ok")
    second.requests.add("only-here", "ok")
    first.duration.observe("m", 0.07)
    second.duration.observe("m", 7)
    first.in_flight = 4
    second.in_flight = 1
    text = exposition(totals(finished(), {1: received(first), 2: received(second)}))
    assert value(text, 'modelmux_requests_total{outcome="ok",route="m"}') == 5
    assert value(text, 'modelmux_requests_total{outcome="ok",route="only-here"}') == 1
    assert value(text, 'modelmux_request_duration_seconds_bucket{le="0.1",route="m"}') == 1
    assert value(text, 'modelmux_request_duration_seconds_bucket{le="+Inf",route="m"}') == 2
    assert value(text, 'modelmux_request_duration_seconds_sum{route="m"}') == 7.07
    assert value(text, "modelmux_requests_in_flight") == 5
    for name in ("modelmux_requests_total", "modelmux_request_duration_seconds", "modelmux_requests_in_flight"):
        assert text.count(f"# TYPE {name} ".encode()) == 1


def test_alone_it_is_what_the_process_itself_exposes() -> None:
    metrics = Metrics()
    metrics.requests.add("m", "ok")
    metrics.duration.observe("m", 1)
    text = exposition(totals(finished(1), {1: received(metrics)})).decode()
    ours = text[: text.index("# HELP modelmux_workers ")]
    assert ours == "".join(
        line for line in metrics.expose().decode().splitlines(keepends=True) if "process_" not in line
    )


@on_linux
def test_no_sum_falls_when_a_worker_ends_and_gauges_end_with_it() -> None:
    first, second = Metrics(), Metrics()
    first.requests.add_many(2, "m", "ok")
    first.duration.observe("m", 0.07)
    first.in_flight = 4
    second.requests.add_many(3, "m", "ok")
    past = finished()
    for incarnation in (1, 2):  # two workers ended so
        add_finished(past, 1, received(first, incarnation))
    text = exposition(totals(past, {1: received(first, 2), 2: received(second)}))
    assert value(text, 'modelmux_requests_total{outcome="ok",route="m"}') == 7
    assert value(text, 'modelmux_request_duration_seconds_count{route="m"}') == 2
    assert value(text, "modelmux_requests_in_flight") == 0
    assert 'process_cpu_seconds_total{worker="2"}' in text.decode()
    assert 'worker="1"' not in text.decode()


@on_linux
def test_each_process_keeps_its_own_figures() -> None:
    text = exposition(totals(finished(), {1: received(Metrics()), 2: received(Metrics(), generation=3)})).decode()
    shown = re.findall(r'^process_resident_memory_bytes\{worker="(\w+)"\}', text, re.MULTILINE)
    assert shown == ["1", "2", "supervisor"]
    assert value(text.encode(), 'modelmux_config_generation{worker="2"}') == 3


@on_linux
def test_a_process_that_has_just_exited_is_left_out() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    text = exposition(totals(finished(), {1: received(Metrics(), pid=pid)})).decode()
    assert 'process_cpu_seconds_total{worker="1"}' not in text
    assert 'process_cpu_seconds_total{worker="supervisor"}' in text


def test_health_is_of_the_sum_not_a_sum_of_rates() -> None:
    good, bad = Metrics(), Metrics()
    good.total = good.succeeded = 3
    bad.total = bad.failed = 1
    health = health_counters(add_counts([good.counts(), bad.counts()]))
    assert (health["total_requests"], health["success_rate"]) == (4, 0.75)


def test_what_health_needs_is_read_without_the_metrics() -> None:
    metrics = Metrics()
    metrics.total = 3
    report = WorkerReport(
        pid=7, incarnation=2, ready=True, problem="credentials", generation=4, counts=metrics.counts(),
        metrics=metrics.values(),
    )  # fmt: skip
    status = msgspec.msgpack.decode(encode_report(report, LIMIT), type=WorkerStatus)
    assert [getattr(status, name) for name in WorkerStatus.__struct_fields__] == [
        getattr(report, name) for name in WorkerStatus.__struct_fields__
    ]
    past = FinishedWorkers(supervisor=5, folded=[1, 2], restarts=3, counts={"total": 4})
    short = msgspec.msgpack.decode(encode_report(past, LIMIT), type=FinishedStatus)
    assert (short.supervisor, short.folded, short.restarts, short.counts) == (5, [1, 2], 3, {"total": 4})


def test_gauges_that_are_no_sums_show_the_worst_worker() -> None:
    reports = []
    for lag, is_up in ((3.0, True), (7.0, False)):
        metrics = Metrics()
        metrics.read_ledger = lambda lag=lag, is_up=is_up: LedgerCounts(lag=lag, is_up=is_up, notes=2)  # type: ignore[misc]
        metrics.read_loop_lag = lambda lag=lag: lag / 10  # type: ignore[misc]
        reports.append(received(metrics))
    text = exposition(totals(finished(2), dict(enumerate(reports, 1))))
    shown = [value(text, f"modelmux_{name}") for name in ("ledger_lag_seconds", "store_up", "loop_lag_seconds")]
    assert shown == [7.0, 0.0, 0.7]
    assert value(text, "modelmux_journal_slots_used") == 4.0


def test_label_sets_of_teams_are_folded_before_any_other() -> None:
    metrics = Metrics()
    for number in range(400):
        metrics.cost.add_many(0.5, "route", "model", f"team {number}")
    for number in range(20):
        metrics.duration.observe(f"route-{number}", 1.0)
    shown = received(metrics, limit=10_000).metrics
    assert set(shown.histograms[names.METRIC_DURATION]) == {f"route-{number}" for number in range(20)}
    costs = shown.counters[names.METRIC_COST]
    assert costs[OTHER, OTHER, OTHER] > 0
    assert sum(costs.values()) == 200


# --- more than fits -----------------------------------------------------------------------------------------------


def many(count: int) -> Metrics:
    metrics = Metrics()
    metrics.total = metrics.succeeded = count
    for number in range(count):
        metrics.requests.add(f"route-{number}", "ok")
        metrics.duration.observe(f"route-{number}", number / 100)
        metrics.attempts.add(f"deployment-{number}", "ok")
    return metrics


@pytest.mark.parametrize("count", [10, 100, 1_000])
@pytest.mark.parametrize("limit", [9_000, 10_000, 50_000])
def test_label_sets_that_do_not_fit_are_dropped_and_counted_and_no_sum_changes(count: int, limit: int) -> None:
    metrics = many(count)
    report = received(metrics, limit=limit)
    assert report.counts == metrics.counts()
    requests, durations = (
        report.metrics.counters[names.METRIC_REQUESTS], report.metrics.histograms[names.METRIC_DURATION]
    )  # fmt: skip
    assert sum(requests.values()) == count
    assert sum(sum(counts) for counts, _ in durations.values()) == count
    assert sum(total for _, (total,) in durations.values()) == pytest.approx(sum(range(count)) / 100)
    every = [*report.metrics.counters.values(), *report.metrics.histograms.values(), *report.metrics.gauges.values()]
    left = sum(OTHER not in labels and labels != OTHER for values in every for labels in values)
    # Requests in flight, failures of the store, log lines of two outputs, spans, traces, ten numbers of the ledger,
    # loop lag.
    always = 17
    assert report.dropped == 3 * count + always - left
    text = exposition(totals(finished(1), {1: report}))
    assert value(text, "modelmux_dropped_label_sets") == report.dropped
    if report.dropped:
        assert OTHER.encode() in text


def test_the_oldest_label_sets_are_kept_so_that_they_do_not_come_and_go() -> None:
    few, more = received(many(400), limit=10_000), received(many(410), limit=10_000)
    shown = [set(report.metrics.counters[names.METRIC_REQUESTS]) for report in (few, more)]
    assert shown[0] == shown[1]
    assert ("route-0", "ok") in shown[0]


def traced(number: int, routes: int = 1) -> Metrics:
    metrics = Metrics()
    for route in range(routes):
        metrics.duration.observe(f"route-{route}", number * 100)
        metrics.duration.remember(f"route-{route}", number * 100, f"{number:032x}")
    return metrics


def test_traces_of_every_worker_are_shown() -> None:
    shown = totals(finished(2), {1: received(traced(1)), 2: received(traced(2))})
    text = Metrics().expose_all(shown, open_metrics=True).decode()
    assert sorted(re.findall(r'trace_id="(\w+)"\} (\S+)', text)) == [(f"{n:032x}", f"{n}00.0") for n in (1, 2)]
    past = finished(2)
    add_finished(past, 1, received(traced(1)))
    assert "trace_id" not in Metrics().expose_all(totals(past, {}), open_metrics=True).decode()


def test_traces_are_left_out_before_any_number() -> None:
    metrics = traced(1, routes=50)
    without = len(encode_report(received(traced_less(metrics)), LIMIT))
    report = received(metrics, limit=without + 100)
    assert report.dropped == 0
    assert report.metrics.exemplars == {}
    assert len(report.metrics.histograms[names.METRIC_DURATION]) == 50


def traced_less(metrics: Metrics) -> Metrics:
    other = Metrics()
    other.duration.values = metrics.duration.values
    return other


def test_what_was_dropped_once_is_added_up_further() -> None:
    past = finished(1)
    for incarnation in range(1, 4):
        add_finished(past, 1, received(many(400), incarnation, limit=10_000))
        past = msgspec.msgpack.decode(encode_report(past, 10_000), type=FinishedWorkers)
    assert sum(past.metrics.counters[names.METRIC_REQUESTS].values()) == 1_200
    assert past.counts["total"] == 1_200
    assert past.metrics.counters[names.METRIC_REQUESTS][OTHER, OTHER] > 0

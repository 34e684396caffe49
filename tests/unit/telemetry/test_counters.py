"""Risk: a bucket off by one, a label in the wrong place, a family that scrapers refuse."""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from modelmux.telemetry.counters import Counter, Histogram

BOUNDS = (0.05, 0.5, 2.0, 30.0)
VALUES = (0.0, 0.05, 0.0500001, 0.5, 1.9, 2.0, 29.0, 30.0, 30.1, 1e9)


def shown(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for s in family.samples
        if not s.name.endswith("_created")
    }


def test_they_show_what_the_library_s_own_would_show() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counter, histogram = Counter("a_total", "A.", ["x", "y"]), Histogram("b_seconds", "B.", "x", BOUNDS)
    their_counter = prometheus_client.Counter("a_total", "A.", ["x", "y"], registry=theirs)
    their_histogram = prometheus_client.Histogram("b_seconds", "B.", ["x"], buckets=BOUNDS, registry=theirs)
    ours.register(counter)
    ours.register(histogram)
    for x in ("1", 'quote"d', "new\nline"):
        counter.add(x, "ok")
        their_counter.labels(x, "ok").inc()
        counter.add_many(2.5, x, "ok")
        their_counter.labels(x, "ok").inc(2.5)
        for value in VALUES:
            histogram.observe(x, value)
            their_histogram.labels(x).observe(value)
    assert shown(ours) == shown(theirs)
    assert shown(ours)[("a_total", (("x", "1"), ("y", "ok")))] == 3.5


def test_nothing_counted_is_nothing_shown() -> None:
    registry = CollectorRegistry()
    registry.register(Counter("a_total", "A.", ["x"]))
    registry.register(Histogram("b_seconds", "B.", "x", BOUNDS))
    assert shown(registry) == {}
    assert b"# TYPE a_total counter" in generate_latest(registry)


def test_the_latest_trace_of_a_bucket_is_its_exemplar_in_open_metrics_only() -> None:
    registry, histogram = CollectorRegistry(), Histogram("b_seconds", "B.", "x", BOUNDS)
    registry.register(histogram)
    for value, trace in ((0.1, "a" * 32), (0.2, "b" * 32), (1e9, "c" * 32)):
        histogram.observe("1", value)
        histogram.remember("1", value, trace)
    histogram.observe("1", 0.3)  # nobody keeps its trace
    text = openmetrics.generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    shown = [line.partition(" # ")[2] for line in text.splitlines() if line.startswith("b_seconds_bucket")]
    assert shown == ["", f'{{trace_id="{"b" * 32}"}} 0.2', "", "", f'{{trace_id="{"c" * 32}"}} 1e+09']
    assert "trace_id" not in generate_latest(registry).decode()

"""Reports of several workers as one: no sum falls when a worker ends, and what belongs to a process stays its own."""

from __future__ import annotations

import re

import msgspec

from modelmux.telemetry.metrics import Metrics, health_counters
from modelmux.telemetry.worker_metrics import Family, added_counts, exposition, families, kept, merged


def reported(metrics: Metrics) -> list[Family]:
    """As it arrives: across a socket."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(families(metrics.registry)), type=list[Family])


def value(text: bytes, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text.decode(), re.MULTILINE)
    assert found, f"no {sample} in {text.decode()}"
    return float(found[1])


def test_counters_and_histograms_are_added_bucket_by_bucket() -> None:
    first, second = Metrics(), Metrics()
    first.requests.add_many(2, "m", "ok")
    second.requests.add_many(3, "m", "ok")
    second.requests.add("only-here", "ok")
    first.duration.observe("m", 0.07)
    second.duration.observe("m", 7)
    first.in_flight = 4
    second.in_flight = 1
    text = exposition(merged([], {"1": reported(first), "2": reported(second)}))
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
    ours = exposition([f for f in merged([], {"1": reported(metrics)}) if not f.name.startswith("process_")])
    assert ours.decode() == "".join(
        line for line in metrics.expose().decode().splitlines(keepends=True) if "process_" not in line
    )


def test_no_sum_falls_when_a_worker_ends_and_gauges_end_with_it() -> None:
    first, second = Metrics(), Metrics()
    first.requests.add_many(2, "m", "ok")
    first.in_flight = 4
    second.requests.add_many(3, "m", "ok")
    past = kept(kept([], reported(first)), reported(first))  # two workers ended so
    text = exposition(merged(past, {"2": reported(second)}))
    assert value(text, 'modelmux_requests_total{outcome="ok",route="m"}') == 7
    assert value(text, "modelmux_requests_in_flight") == 0
    assert 'process_cpu_seconds_total{worker="2"}' in text.decode()
    assert 'worker="1"' not in text.decode()


def test_each_process_keeps_its_own_figures() -> None:
    text = exposition(merged([], {"1": reported(Metrics()), "2": reported(Metrics())})).decode()
    assert re.findall(r'^process_resident_memory_bytes\{worker="(\d)"\}', text, re.MULTILINE) == ["1", "2"]


def test_the_whole_began_when_its_first_process_did() -> None:
    def began(at: float) -> list[Family]:
        return [Family("c", "", "counter", [("c_total", (), 1.0), ("c_created", (), at)])]

    assert merged(kept([], began(5.0)), {"1": began(3.0), "2": began(9.0)})[0].samples == [
        ("c_total", (), 3.0), ("c_created", (), 3.0),
    ]  # fmt: skip


def test_health_is_of_the_sum_not_a_sum_of_rates() -> None:
    good, bad = Metrics(), Metrics()
    good.total = good.succeeded = 3
    bad.total = bad.failed = 1
    health = health_counters(added_counts([good.counts(), bad.counts()]))
    assert (health["total_requests"], health["success_rate"]) == (4, 0.75)

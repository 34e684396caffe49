"""Risk: a worker that was forked sends no spans or metrics, or what waits is lost at the stop; that a collector takes
nothing is said beside the log."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable

import pytest

from support.processes import Process, free_port
from support.workers import until

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
from support.otlp import Receiver, numbers

COUNT = 40
BODY = json.dumps(
    {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
).encode()


def test_each_worker_sends_its_spans_and_the_stop_sends_what_waits(
    serve: Callable[..., Process], emulate: Callable[..., Process]
) -> None:
    with Receiver().listening() as receiver:
        slow = receiver.environment | {"OTEL_BSP_SCHEDULE_DELAY": "100000", "OTEL_TRACES_SAMPLER": "always_on"}
        gateway = serve(emulate().url, server="workers = 2", **slow)
        request = urllib.request.Request(
            f"{gateway.url}/v1/messages", BODY, {"content-type": "application/json", "connection": "close"}
        )
        for _ in range(COUNT):
            with urllib.request.urlopen(request, timeout=100) as response:
                assert response.status == 200
        gateway.signal(signal.SIGTERM)
        assert gateway.wait(100) == 0
        until(lambda: len(receiver.steady_spans) == 3 * COUNT)
        assert len({resource["service.instance.id"] for resource in receiver.resources}) == 2
        assert len({span.trace_id for span in receiver.spans}) == COUNT


def test_each_worker_sends_its_own_metrics(serve: Callable[..., Process], emulate: Callable[..., Process]) -> None:
    with Receiver().listening() as receiver:
        often = {"OTEL_METRIC_EXPORT_INTERVAL": "100", "OTEL_TRACES_EXPORTER": "none"}
        gateway = serve(emulate().url, server="workers = 2", **receiver.environment | often)
        request = urllib.request.Request(
            f"{gateway.url}/v1/messages", BODY, {"content-type": "application/json", "connection": "close"}
        )
        for _ in range(COUNT):
            with urllib.request.urlopen(request, timeout=100) as response:
                assert response.status == 200
        until(lambda: len(latest(receiver)) == 2 and sum(latest(receiver).values()) == COUNT)
        gateway.signal(signal.SIGTERM)
        assert gateway.wait(100) == 0
        assert sum(latest(receiver).values()) == COUNT
        assert not receiver.requests


def test_a_collector_that_is_gone_is_an_event_of_the_log(
    serve: Callable[..., Process], emulate: Callable[..., Process]
) -> None:
    gone = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OTEL_METRIC_EXPORT_INTERVAL": "50"}
    gateway = serve(emulate().url, server='workers = 2\nlog_format = "json"', **gone)
    until(lambda: gateway.output().count('"event":"telemetry"') >= 2)
    lines = [json.loads(line) for line in gateway.output().splitlines()]
    told = [line["message"] for line in lines if line["event"] == "telemetry"]
    assert len([one for one in told if one.startswith("Transient error")]) == 2, "each worker once"
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(100) == 0


def latest(receiver: Receiver) -> dict[str, float]:
    """Instance -> its requests, as it said last."""
    return {
        resource["service.instance.id"]: sum(numbers(metrics["modelmux.requests"]).values())
        for resource, metrics in receiver.metric_groups
        if "modelmux.requests" in metrics
    }

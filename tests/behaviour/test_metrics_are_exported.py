"""Risk: metrics by OTLP differ from those of ``/metrics``, are sent twice, or make requests wait for a collector.

With the real SDK and a receiver that reads what it is sent.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.config.errors import ConfigError
from support.asgi import request
from support.clock import current_runtime
from support.emulator_server import until
from support.fakes import FakeTokens, FakeUpstream, error_reply, message_reply
from support.gateway import MODEL, PATH, ask

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
from support.otlp import Receiver, counts, numbers

OFTEN = {"OTEL_METRIC_EXPORT_INTERVAL": "20", "OTEL_TRACES_EXPORTER": "none"}
SELDOM = OFTEN | {"OTEL_METRIC_EXPORT_INTERVAL": "3600000"}
OF_MODEL = ("chat", "gcp.vertex_ai", MODEL)
DELTA = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver().listening() as receiver:
        for name, value in receiver.environment.items():
            monkeypatch.setenv(name, value)
        yield receiver


def gateway(receiver: Receiver, *replies: Any, environment: dict[str, str], **settings: Any) -> Gateway:
    return Gateway(
        Config.from_dict({"vertex": {"project": "p", "location": "global"}, "retries": {"max": 0}, **settings}),
        upstream=FakeUpstream(list(replies)),
        tokens=FakeTokens(),
        environment={**receiver.environment, **environment},
        runtime=dataclasses.replace(current_runtime(), now=time.time),
    )


async def test_what_arrives_is_what_was_counted(receiver: Receiver) -> None:
    app = gateway(receiver, message_reply(), message_reply(), error_reply(503, "down"), environment=OFTEN)
    await app.startup()
    for _ in range(3):
        await request(app, "POST", PATH, ask())
    sent = [0]

    def arrived() -> bool:
        sent[0] = len(receiver.metric_groups)
        return any("modelmux.requests" in metrics for _, metrics in receiver.metric_groups)

    await until(arrived)
    await app.aclose()
    resource, metrics = receiver.metric_groups[-1]
    assert (resource["service.name"], resource["service.version"]) == ("modelmux", app_version())
    assert resource["service.instance.id"]
    assert numbers(metrics["modelmux.requests"]) == {("ok", MODEL): 2, ("upstream_error", MODEL): 1}
    assert metrics["modelmux.requests"].sum.is_monotonic
    assert metrics["modelmux.requests"].sum.aggregation_temporality == 2  # cumulative
    assert counts(metrics["gen_ai.client.inference.duration"]) == {OF_MODEL: 3}
    assert numbers(metrics["gen_ai.client.inference.usage.input_tokens"]) == {OF_MODEL: 14}
    assert numbers(metrics["gen_ai.client.inference.usage.output_tokens"]) == {OF_MODEL: 6}
    assert numbers(metrics["modelmux.requests_in_flight"]) == {(): 0}
    point = metrics["gen_ai.client.inference.duration"].histogram.data_points[0]
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.start_time_unix_nano < point.time_unix_nano
    assert not point.HasField("min")


def app_version() -> str:
    from modelmux import __version__

    return __version__


async def test_delta_sends_each_count_once(receiver: Receiver) -> None:
    app = gateway(receiver, *(message_reply() for _ in range(5)), environment=OFTEN | DELTA)
    await app.startup()
    for _ in range(5):
        await request(app, "POST", PATH, ask())
        before = len(receiver.metric_groups)
        await until(lambda before=before: len(receiver.metric_groups) > before)
    await app.aclose()
    groups = [metrics for _, metrics in receiver.metric_groups]
    requests = [sum(numbers(one["modelmux.requests"]).values()) for one in groups if "modelmux.requests" in one]
    durations = [sum(counts(one["gen_ai.client.inference.duration"]).values()) for one in groups
                 if "gen_ai.client.inference.duration" in one]  # fmt: skip
    assert sum(requests) == sum(durations) == 5
    assert len(requests) > 1
    points = [one["modelmux.requests"].sum.data_points[0] for one in groups if "modelmux.requests" in one]
    assert all(one.start_time_unix_nano < one.time_unix_nano for one in points)
    for earlier, later in itertools.pairwise(points):
        assert earlier.time_unix_nano <= later.start_time_unix_nano


async def test_the_older_conventions_get_a_histogram_of_tokens(receiver: Receiver) -> None:
    app = gateway(receiver, message_reply(), message_reply(), environment=SELDOM, telemetry={"genai": "1.37"})
    await app.startup()
    for _ in range(2):
        await request(app, "POST", PATH, ask())
    await until(lambda: app._open_telemetry._metric_export._sender is not None)
    await app.aclose()
    ((_, metrics),) = receiver.metric_groups
    gen_ai = {name for name in metrics if name.startswith("gen_ai.")}
    of_times = {f"gen_ai.client.operation.{name}" for name in ("duration", "time_to_first_chunk")}
    assert gen_ai == of_times | {"gen_ai.client.token.usage"}
    points = metrics["gen_ai.client.token.usage"].histogram.data_points
    assert sorted((one.count, one.sum) for one in points) == [(2, 6), (2, 14)]


async def test_the_end_sends_what_was_not_sent_yet(receiver: Receiver) -> None:
    app = gateway(receiver, message_reply(), environment=SELDOM)
    await app.startup()
    await request(app, "POST", PATH, ask())
    await until(lambda: app._open_telemetry._metric_export._sender is not None)
    await app.aclose()
    await app.aclose()
    ((_, metrics),) = receiver.metric_groups
    assert numbers(metrics["modelmux.requests"]) == {("ok", MODEL): 1}


async def test_a_collector_that_refuses_delays_nothing(receiver: Receiver) -> None:
    receiver.status = 400
    app = gateway(receiver, *(message_reply() for _ in range(3)), environment=OFTEN)
    await app.startup()
    for _ in range(3):
        assert (await request(app, "POST", PATH, ask())).status == 200
    await app.aclose()
    assert not receiver.metric_groups


async def test_without_an_endpoint_nothing_is_sent(receiver: Receiver) -> None:
    app = gateway(receiver, message_reply(), environment={"OTEL_SDK_DISABLED": "true"})
    await app.startup()
    await request(app, "POST", PATH, ask())
    await app.aclose()
    assert not receiver.metric_requests


def test_a_value_that_cannot_be_used_is_an_error_at_the_start(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="OTEL_METRIC_EXPORT_INTERVAL"):
        gateway(receiver, environment=OFTEN | {"OTEL_METRIC_EXPORT_INTERVAL": "soon"})

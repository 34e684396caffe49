"""Risk: metrics are sent to nobody, or although they were switched off; a misspelled value is taken for another."""

from __future__ import annotations

import pytest

from modelmux.telemetry import otel_environment
from modelmux.telemetry.otlp_metrics.settings import MetricSettings, read_metric_settings

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel_environment.importlib.util, "find_spec", lambda _: object())


@pytest.mark.parametrize(
    "variables",
    [
        {},
        ENDPOINT | {"OTEL_SDK_DISABLED": "true"},
        ENDPOINT | {"OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"},
    ],
)
def test_off(variables: dict[str, str]) -> None:
    assert read_metric_settings(variables) is None


@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        (ENDPOINT, MetricSettings("otlp", 60.0, "cumulative")),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/v1/metrics"}, MetricSettings("otlp", 60.0, "cumulative")),
        (ENDPOINT | {INTERVAL: "500", TEMPORALITY: "Delta"}, MetricSettings("otlp", 0.5, "delta")),
        ({"OTEL_METRICS_EXPORTER": "console"}, MetricSettings("console", 60.0, "cumulative")),
    ],
)
def test_on(variables: dict[str, str], settings: MetricSettings) -> None:
    assert read_metric_settings(variables) == settings


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, "OTEL_METRICS_EXPORTER: 'prometheus' is none of"),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'grpc'"),
        (ENDPOINT | {INTERVAL: "0"}, f"{INTERVAL}: '0' is not a number of milliseconds"),
        (ENDPOINT | {INTERVAL: "1s"}, f"{INTERVAL}: '1s' is not a number of milliseconds"),
        (ENDPOINT | {TEMPORALITY: "deltas"}, f"{TEMPORALITY}: 'deltas' is none of"),
    ],
)
def test_values_that_cannot_be_used(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_metric_settings(variables)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel_environment.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ValueError, match=r"metrics need packages .* modelmux-gateway\[otel\].*OTEL_METRICS_EXPORTER=none"
    ):
        read_metric_settings(ENDPOINT)

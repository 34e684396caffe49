"""The standard variables of OpenTelemetry, as far as they decide whether metrics are sent, how often and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from modelmux.telemetry.otel_environment import Exporter, check_installed, read_exporter
from modelmux.telemetry.otel_values import check_otlp

Temporality = Literal["cumulative", "delta", "lowmemory"]
_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
#: Milliseconds.
_DEFAULT_INTERVAL: Final = "60000"
_VALUES: Final[dict[str, Temporality]] = {"cumulative": "cumulative", "delta": "delta", "lowmemory": "lowmemory"}


class MetricSettings(Struct, frozen=True):
    """Metrics are sent.

    :param exporter: where they go. :param interval: seconds.
    :param temporality: ``delta``: what came since the last time; ``lowmemory``: of histograms only.
    """

    exporter: Exporter
    interval: float
    temporality: Temporality


def read_metric_settings(environment: Mapping[str, str]) -> MetricSettings | None:
    """None if no metrics are sent: without an endpoint, or because that is switched off.

    :raises ValueError: a variable has a value that cannot be used, or packages are missing.
    """
    exporter = read_exporter(environment, "METRICS")
    if exporter is None:
        return None
    interval = environment.get(_INTERVAL, "").strip() or _DEFAULT_INTERVAL
    if not interval.isdecimal() or not int(interval):
        raise ValueError(f"{_INTERVAL}: {interval!r} is not a number of milliseconds above 0")
    temporality = environment.get(_TEMPORALITY, "").strip().lower() or "cumulative"
    if temporality not in _VALUES:
        raise ValueError(f"{_TEMPORALITY}: {temporality!r} is none of {', '.join(_VALUES)}")
    if exporter == "otlp":
        check_otlp(environment, "METRICS")
    check_installed("METRICS")
    return MetricSettings(exporter, int(interval) / 1000, _VALUES[temporality])

"""Sends the numbers of a process by the exporter of OpenTelemetry's SDK.

The SDK has no instrument whose histogram could be observed: it would have to count each request once more. So its data
points are made here, of what is counted anyway, and only the exporter of the SDK is used. It reads
``OTEL_EXPORTER_OTLP_*`` itself, from the environment of the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from modelmux.telemetry.counters import Observations
from modelmux.telemetry.otlp_metrics.series import Attributes, Series
from modelmux.telemetry.otlp_metrics.settings import MetricSettings
from modelmux.telemetry.resource import SERVICE, resource
from modelmux.version import __version__

#: Seconds that the end of the process waits for the last numbers to be sent.
FLUSH: Final = 3.0
_NANO: Final = 10**9


class MetricSender:
    """Made after a fork; it imports the SDK, which takes half a second.

    :param now: Unix seconds.
    """

    def __init__(self, settings: MetricSettings, now: Callable[[], float]) -> None:
        from opentelemetry.sdk.metrics import export
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._sdk: Any = export
        self._temporality = settings.temporality
        self._now = now
        self._lock = threading.Lock()
        self._began = self._last = round(now() * _NANO)
        self._numbers: dict[tuple[str, Attributes], float] = {}  # of the last time, where only what is new is sent
        self._histograms: dict[tuple[str, Attributes], Observations] = {}
        self._resource = resource()
        self._scope = InstrumentationScope(SERVICE, __version__)
        self._exporter: Any
        if settings.exporter == "console":
            self._exporter = export.ConsoleMetricExporter()
        else:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

            self._exporter = OTLPMetricExporter()

    def send(self, series: Iterable[Series]) -> None:
        """Send the numbers of now. It blocks until they are delivered, or given up."""
        with self._lock:
            now = round(self._now() * _NANO)
            metrics = [self._metric(one, now) for one in series]
            self._last = now
            sdk = self._sdk
            scope = sdk.ScopeMetrics(self._scope, metrics, "")
            self._exporter.export(sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scope], "")]))

    def close(self, series: Iterable[Series]) -> None:
        """Send the last numbers, for three seconds at most."""
        ending = threading.Thread(target=self._end, args=(series,), name="modelmux-metrics-end", daemon=True)
        ending.start()
        ending.join(FLUSH)

    def _end(self, series: Iterable[Series]) -> None:
        self.send(series)
        self._exporter.shutdown()

    def _metric(self, series: Series, now: int) -> Any:
        sdk = self._sdk
        if series.kind == "gauge":
            points = [self._number(now, now, key, number) for key, number in series.numbers.items()]
            return sdk.Metric(series.name, series.about, series.unit, sdk.Gauge(points))
        is_delta = self._temporality == "delta" or (self._temporality == "lowmemory" and series.kind == "histogram")
        kind = sdk.AggregationTemporality.DELTA if is_delta else sdk.AggregationTemporality.CUMULATIVE
        begin = self._last if is_delta else self._began
        if series.kind == "histogram":
            observed = series.histograms
            if is_delta:
                observed = {key: self._new_observations(series.name, key, one) for key, one in observed.items()}
            points = [self._buckets(begin, now, key, one, series.bounds) for key, one in observed.items()]
            return sdk.Metric(series.name, series.about, series.unit, sdk.Histogram(points, kind))
        points = [
            self._number(begin, now, key, self._new_number(series.name, key, number) if is_delta else number)
            for key, number in series.numbers.items()
        ]
        return sdk.Metric(series.name, series.about, series.unit, sdk.Sum(points, kind, True))

    def _number(self, begin: int, now: int, attributes: Attributes, number: float) -> Any:
        return self._sdk.NumberDataPoint(dict(attributes), begin, now, number)

    def _buckets(self, begin: int, now: int, key: Attributes, observed: Observations, bounds: Sequence[float]) -> Any:
        counts, (total,) = observed
        least = most = None  # which nothing counts
        point = self._sdk.HistogramDataPoint
        return point(dict(key), begin, now, sum(counts), total, counts, bounds, least, most)

    def _new_number(self, name: str, attributes: Attributes, number: float) -> float:
        before = self._numbers.get((name, attributes), 0.0)
        self._numbers[name, attributes] = number
        return number - before

    def _new_observations(self, name: str, attributes: Attributes, observed: Observations) -> Observations:
        before = self._histograms.get((name, attributes))
        self._histograms[name, attributes] = observed
        if before is None:
            return observed
        counts = [after - earlier for after, earlier in zip(observed[0], before[0], strict=True)]
        return counts, [observed[1][0] - before[1][0]]

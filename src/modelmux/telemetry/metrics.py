"""Counters of one gateway, as Prometheus metrics and as the numbers of ``/health``.

A registry of its own, so that two gateways in one process, or one mounted in somebody's application, do not mix.
Labels take a bounded set of values: routes and deployments are those of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelmux.errors import GatewayError
from modelmux.telemetry import names
from modelmux.telemetry.counters import Spread, Tally
from modelmux.telemetry.worker_metrics import GatewayTotals, MetricValues, worker_families

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


#: Gauge -> its help text and the names of its labels.
_GAUGES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    names.METRIC_IN_FLIGHT: ("Requests being worked on.", ()),
    names.METRIC_BREAKER_OPEN: ("Processes whose circuit breaker for this deployment is open.", ("deployment",)),
    names.METRIC_DEPLOYMENT_IN_FLIGHT: ("Attempts in flight, by deployment.", ("deployment",)),
    names.METRIC_WAITING: ("Requests that wait for a slot.", ()),
}


class Waiting(Protocol):
    """Where requests wait."""

    @property
    def waiting(self) -> int:
        """How many."""
        ...


class Metrics:
    """What is counted. Plain integers beside the Prometheus metrics serve ``/health`` without a scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Tally(names.METRIC_REQUESTS, "Requests that ended, by route and outcome.", ["route", "outcome"])
        self.attempts = Tally(
            names.METRIC_ATTEMPTS, "Calls to Vertex AI, by deployment and what came of them.", ["deployment", "result"]
        )
        self.tokens = Tally(names.METRIC_TOKENS, "Tokens, by route and kind.", ["route", "kind"])
        self.errors = Tally(
            names.METRIC_ERRORS, "Errors that were answered with, by HTTP status and code.", ["status", "code"]
        )
        self.duration = Spread(names.METRIC_DURATION, "From the request read to its end.", "route", _SECONDS)
        self.first_content = Spread(
            names.METRIC_FIRST_CONTENT, "From the request read to the first content.", "route", _SECONDS
        )
        self._counters = (self.requests, self.attempts, self.tokens, self.errors)
        self._histograms = (self.duration, self.first_content)
        self._deployments: Callable[[], Iterable[tuple[str, bool, int, int]]] | None = None
        self._queue: Waiting | None = None
        self.registry.register(_Families(self))
        ProcessCollector(registry=self.registry)  # CPU, memory, descriptors, start: where the platform tells
        self.on_change: Callable[[], None] | None = None  # where several processes share their numbers
        self._in_flight = 0
        self.total = self.succeeded = self.failed = self.quota_errors = self.retries = 0

    def watch(self, deployments: Callable[[], Iterable[tuple[str, bool, int, int]]], queue: Waiting) -> None:
        """Show what is so at the moment of a scrape.

        :param deployments: of each: its id, whether its breaker is open, attempts that run, attempts that wait.
        :param queue: where requests wait for room.
        """
        self._deployments, self._queue = deployments, queue

    @property
    def in_flight(self) -> int:
        """Requests being worked on."""
        return self._in_flight

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        self._in_flight = count
        if self.on_change is not None:
            self.on_change()

    def count_error(self, error: GatewayError) -> None:
        """Count an error that a client is answered with. Codes are those of the error tree and of the translator's
        table, never a client's or an upstream's words."""
        self.errors.add(str(error.status), error.code or error.type)
        if self.on_change is not None:
            self.on_change()

    def counts(self) -> dict[str, int]:
        """The plain integers."""
        return {
            "total": self.total,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "quota_errors": self.quota_errors,
            "retries": self.retries,
        }

    def health(self) -> dict[str, Any]:
        """The ``metrics`` object of ``/health``."""
        return health_of(self.counts())

    def values(self) -> MetricValues:
        """All numbers as they are now. Not a copy: encode or add them up before anything is counted."""
        return MetricValues(
            {counter.name: counter.values for counter in self._counters},
            {histogram.name: histogram.values for histogram in self._histograms},
            self._gauges(),
        )

    def families(self, values: MetricValues) -> Iterator[Metric]:
        """The metrics with the given numbers."""
        for counter in self._counters:
            yield counter.family(values.counters.get(counter.name, {}))
        for histogram in self._histograms:
            yield histogram.family(values.histograms.get(histogram.name, {}))
        for name, numbers in values.gauges.items():
            about, labels = _GAUGES[name]
            family = GaugeMetricFamily(name, about, labels=labels)
            for label_values, number in numbers.items():
                family.add_metric(label_values, number)
            yield family

    def expose(self) -> bytes:
        """The Prometheus text format, of this process."""
        return generate_latest(self.registry)

    def expose_all(self, totals: GatewayTotals) -> bytes:
        """The Prometheus text format, of all workers together."""
        registry = CollectorRegistry()
        for families in (self.families(totals.metrics), worker_families(totals)):
            registry.register(_Collected(families))
        return generate_latest(registry)

    def _gauges(self) -> dict[str, dict[tuple[str, ...], float]]:
        gauges: dict[str, dict[tuple[str, ...], float]] = {names.METRIC_IN_FLIGHT: {(): self._in_flight}}
        if self._deployments is not None and self._queue is not None:
            rows = list(self._deployments())
            gauges[names.METRIC_BREAKER_OPEN] = {(id,): float(is_open) for id, is_open, _, _ in rows}
            gauges[names.METRIC_DEPLOYMENT_IN_FLIGHT] = {(id,): in_flight for id, _, in_flight, _ in rows}
            gauges[names.METRIC_WAITING] = {(): self._queue.waiting + sum(row[3] for row in rows)}
        return gauges


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


class _Families(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families(self._metrics.values())


def health_of(counts: Mapping[str, int]) -> dict[str, Any]:
    """The ``metrics`` object of ``/health``, with the keys its users know. ``success_rate`` from 0 to 1."""
    ended = counts["succeeded"] + counts["failed"]
    return {
        "total_requests": counts["total"],
        "successful_requests": counts["succeeded"],
        "failed_requests": counts["failed"],
        "quota_errors": counts["quota_errors"],
        "retry_attempts": counts["retries"],
        "success_rate": counts["succeeded"] / ended if ended else 1.0,
    }

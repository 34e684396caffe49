"""Counters of one gateway, as Prometheus metrics and as the numbers of ``/health``.

Each gateway has its own registry, so that two gateways in one process do not mix. Every label has a bounded set of
values: routes and deployments are those of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelmux.errors import GatewayError
from modelmux.telemetry import names
from modelmux.telemetry.counters import Counter, Histogram

#: Upper bounds of the buckets of durations, in seconds.
_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

#: For each deployment: id, whether its circuit breaker is open, attempts in flight, attempts queued.
DeploymentGauges = Callable[[], Iterable[tuple[str, bool, int, int]]]


class HasQueueLength(Protocol):
    """A queue of requests."""

    @property
    def queued(self) -> int:
        """The number of queued requests."""
        ...


class Metrics:
    """Everything that is counted. Plain integers in addition to the metrics serve ``/health`` without a scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = _counter(names.METRIC_REQUESTS, "Requests that ended, by route and outcome.")
        self.attempts = _counter(names.METRIC_ATTEMPTS, "Calls to Vertex AI, by deployment and result.")
        self.tokens = _counter(names.METRIC_TOKENS, "Tokens, by route and type.")
        self.errors = _counter(names.METRIC_ERRORS, "Error responses, by HTTP status and code.")
        self.duration = _histogram(names.METRIC_DURATION, "Seconds from the request to its end.")
        self.time_to_first_token = _histogram(
            names.METRIC_TIME_TO_FIRST_TOKEN, "Seconds from the request to the first content."
        )
        for collector in (
            self.requests,
            self.attempts,
            self.tokens,
            self.errors,
            _InFlight(self),
            self.duration,
            self.time_to_first_token,
        ):
            self.registry.register(collector)
        ProcessCollector(registry=self.registry)  # CPU, memory, descriptors, start time, where the platform has them
        self.in_flight = 0  # requests in flight
        self.total = self.succeeded = self.failed = self.quota_errors = self.retries = 0

    def register_gauges(self, deployments: DeploymentGauges, queue: HasQueueLength) -> None:
        """Add the gauges that are read at the time of a scrape.

        :param queue: the queue of the whole gateway; those of deployments are in ``deployments``.
        """
        self.registry.register(_Gauges(deployments, queue))

    def count_error(self, error: GatewayError) -> None:
        """Count an error response. Codes are those of the error tree and of the error table, never text of a client or
        of an upstream."""
        self.errors.add(str(error.status), error.code or error.type)

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
        return health_counters(self.counts())

    def expose(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


def _counter(name: str, help_text: str) -> Counter:
    return Counter(name, help_text, names.LABELS[name])


def _histogram(name: str, help_text: str) -> Histogram:
    (label,) = names.LABELS[name]
    return Histogram(name, help_text, label, _BOUNDS)


def _gauge(name: str, help_text: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value, labels=names.LABELS[name] or None)


class _InFlight(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield _gauge(names.METRIC_IN_FLIGHT, "Requests in flight.", self._metrics.in_flight)


class _Gauges(Collector):
    def __init__(self, deployments: DeploymentGauges, queue: HasQueueLength) -> None:
        self._deployments = deployments
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        rows = list(self._deployments())
        circuit = _gauge(
            names.METRIC_DEPLOYMENT_CIRCUIT_OPEN, "Processes whose circuit breaker for this deployment is open."
        )
        in_flight = _gauge(names.METRIC_DEPLOYMENT_IN_FLIGHT, "Attempts in flight, by deployment.")
        for id, is_open, running, _ in rows:
            circuit.add_metric([id], is_open)
            in_flight.add_metric([id], running)
        queued = self._queue.queued + sum(row[3] for row in rows)
        yield from (circuit, in_flight, _gauge(names.METRIC_QUEUED, "Queued requests.", queued))


def health_counters(counts: Mapping[str, int]) -> dict[str, Any]:
    """The ``metrics`` object of ``/health``, with the keys of the 1.x program. ``success_rate`` is from 0 to 1."""
    ended = counts["succeeded"] + counts["failed"]
    return {
        "total_requests": counts["total"],
        "successful_requests": counts["succeeded"],
        "failed_requests": counts["failed"],
        "quota_errors": counts["quota_errors"],
        "retry_attempts": counts["retries"],
        "success_rate": counts["succeeded"] / ended if ended else 1.0,
    }

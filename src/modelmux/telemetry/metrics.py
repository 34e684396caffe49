"""Counters of one gateway, as Prometheus metrics and as the numbers of ``/health``.

A registry of its own, so that two gateways in one process, or one mounted in somebody's application, do not mix.
Labels take a bounded set of values: routes and deployments are those of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelmux.errors import GatewayError
from modelmux.telemetry import names
from modelmux.telemetry.counters import Spread, Tally

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Waiting(Protocol):
    """Where requests wait."""

    @property
    def queued(self) -> int:
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
        for collector in (
            self.requests, self.attempts, self.tokens, self.errors, _InFlight(self), self.duration, self.first_content
        ):  # fmt: skip
            self.registry.register(collector)
        ProcessCollector(registry=self.registry)  # CPU, memory, descriptors, start: where the platform tells
        self.in_flight = 0  # requests being worked on
        self.total = self.succeeded = self.failed = self.quota_errors = self.retries = 0

    def watch(self, deployments: Callable[[], Iterable[tuple[str, bool, int, int]]], queue: Waiting) -> None:
        """Show what is so at the moment of a scrape.

        :param deployments: of each: its id, whether its breaker is open, attempts that run, attempts that wait.
        :param queue: where requests wait for room.
        """
        self.registry.register(_Now(deployments, queue))

    def count_error(self, error: GatewayError) -> None:
        """Count an error that a client is answered with. Codes are those of the error tree and of the translator's
        table, never a client's or an upstream's words."""
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
        return health_of(self.counts())

    def expose(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


class _InFlight(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(names.METRIC_IN_FLIGHT, "Requests being worked on.", value=self._metrics.in_flight)


class _Now(Collector):
    def __init__(self, deployments: Callable[[], Iterable[tuple[str, bool, int, int]]], queue: Waiting) -> None:
        self._deployments = deployments
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        seen, label = list(self._deployments()), ["deployment"]
        opened = GaugeMetricFamily(
            names.METRIC_BREAKER_OPEN, "Processes that leave it alone because it failed too often.", labels=label
        )
        running = GaugeMetricFamily(names.METRIC_DEPLOYMENT_IN_FLIGHT, "Attempts that run there.", labels=label)
        for id, is_open, in_flight, _ in seen:
            opened.add_metric([id], is_open)
            running.add_metric([id], in_flight)
        waiting = self._queue.queued + sum(row[3] for row in seen)
        yield from (opened, running)
        yield GaugeMetricFamily(names.METRIC_WAITING, "Requests that wait for room.", value=waiting)


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

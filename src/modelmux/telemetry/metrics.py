"""Counters of one gateway, as Prometheus metrics and as the numbers of ``/health``.

Each gateway has its own registry, so that two gateways in one process do not mix. Every label has a bounded set of
values: routes and deployments are those of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelmux.errors import GatewayError
from modelmux.telemetry import names
from modelmux.telemetry.counters import Counter, Histogram
from modelmux.telemetry.worker_metrics import GatewayTotals, MetricValues, worker_families

#: Upper bounds of the buckets of durations, in seconds.
_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
#: Gauge -> its help text.
_GAUGES: Final = {
    names.METRIC_IN_FLIGHT: "Requests in flight.",
    names.METRIC_DEPLOYMENT_CIRCUIT_OPEN: "Processes whose circuit breaker for this deployment is open.",
    names.METRIC_DEPLOYMENT_IN_FLIGHT: "Attempts in flight, by deployment.",
    names.METRIC_QUEUED: "Queued requests.",
    names.METRIC_LEDGER_WAITING: "Rows of the ledger that are not known to be written.",
}

#: For each deployment: id, whether its circuit breaker is open, attempts in flight, attempts queued.
DeploymentGauges = Callable[[], Iterable[tuple[str, bool, int, int]]]


class LedgerCounts(NamedTuple):
    """Of the ledger of this process, since it started; ``waiting`` now, ``underrun`` in USD."""

    unpriced: int = 0
    waiting: int = 0
    lost: int = 0
    underrun: float = 0.0


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
        self.shed = _counter(names.METRIC_SHED, "Requests rejected because of the load, by reason.")
        self.queue_wait = _histogram(names.METRIC_QUEUE_WAIT, "Seconds that requests were queued, by how that ended.")
        self.store_failures = _counter(names.METRIC_STORE_FAILURES, "Responses that could not be stored.")
        self.store_failures.add_many(0)  # a sample from the start: an alert on its increase sees the first failure
        self.log_drops = _counter(names.METRIC_LOG_LINES_DROPPED, "Log lines that an output did not take in time.")
        self.count_log_drops({names.OUTPUT_CONSOLE: 0, names.OUTPUT_FILES: 0})
        #: The lines that the log of this process has dropped so far, by output.
        self.read_log_drops: Callable[[], Mapping[str, int]] = dict
        self.spans_dropped = _counter(names.METRIC_SPANS_DROPPED, "Spans that no collector took.")
        self.traces_dropped = _counter(names.METRIC_TRACES_DROPPED, "Records of requests that were not written.")
        #: The spans, and the records of requests, that this process has dropped so far.
        self.read_span_drops: Callable[[], int] = int
        self.read_trace_drops: Callable[[], int] = int
        self.ledger_unpriced = _counter(names.METRIC_LEDGER_UNPRICED, "Requests whose price was unknown.")
        self.ledger_lost = _counter(names.METRIC_LEDGER_LOST, "Rows of the ledger that were lost.")
        self.budget_underrun = _counter(names.METRIC_BUDGET_UNDERRUN, "USD that requests cost above what they held.")
        #: What the ledger of this process counts; zeros without one.
        self.read_ledger: Callable[[], LedgerCounts] = LedgerCounts
        self._counters = (
            self.requests, self.attempts, self.tokens, self.errors, self.shed, self.store_failures, self.log_drops,
            self.spans_dropped, self.traces_dropped, self.ledger_unpriced, self.ledger_lost, self.budget_underrun,
        )  # fmt: skip
        self._histograms = (self.duration, self.time_to_first_token, self.queue_wait)
        self._deployments: DeploymentGauges | None = None
        self._queue: HasQueueLength | None = None
        self.registry.register(_Families(self))
        ProcessCollector(registry=self.registry)  # CPU, memory, descriptors, start time, where the platform has them
        self.on_change: Callable[[], None] | None = None  # where several processes share their numbers
        self._in_flight = 0
        self.total = self.succeeded = self.failed = self.quota_errors = self.retries = 0

    def register_gauges(self, deployments: DeploymentGauges, queue: HasQueueLength) -> None:
        """Add the gauges that are read at the time of a scrape.

        :param queue: the queue of the whole gateway; those of deployments are in ``deployments``.
        """
        self._deployments, self._queue = deployments, queue

    @property
    def in_flight(self) -> int:
        """Requests in flight."""
        return self._in_flight

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        self._in_flight = count
        if self.on_change is not None:
            self.on_change()

    def count_error(self, error: GatewayError, status: int | None = None) -> None:
        """Count an error response.

        Codes are those of the error tree and of the error table, never text of a client or of an upstream.

        :param status: in the client's dialect; the error's own if None.
        """
        self.errors.add(str(status or error.status), error.code or error.type)
        if self.on_change is not None:
            self.on_change()

    def count_log_drops(self, drops: Mapping[str, int]) -> None:
        """Set how many log lines each output did not take."""
        self.log_drops.values.update({(output,): count for output, count in drops.items()})

    def count_wait(self, seconds: float, result: str, reason: str | None) -> None:
        """Count a request that was queued or rejected because of the load.

        :param result: ``admitted``, ``rejected`` or ``left``.
        :param reason: why it was rejected.
        """
        if reason is not None:
            self.shed.add(reason)
        if seconds > 0 or reason is None:  # it was queued
            self.queue_wait.observe(result, seconds)

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

    def values(self) -> MetricValues:
        """All numbers as they are now. Not a copy: encode or add them up before anything is counted."""
        self.count_log_drops(self.read_log_drops())
        self.spans_dropped.values[()] = self.read_span_drops()
        self.traces_dropped.values[()] = self.read_trace_drops()
        ledger = self.read_ledger()
        self.ledger_unpriced.values[()], self.ledger_lost.values[()] = ledger.unpriced, ledger.lost
        self.budget_underrun.values[()] = ledger.underrun
        return MetricValues(
            {counter.name: counter.values for counter in self._counters},
            {histogram.name: histogram.values for histogram in self._histograms},
            self._gauges() | {names.METRIC_LEDGER_WAITING: {(): ledger.waiting}},
        )

    def families(self, values: MetricValues) -> Iterator[Metric]:
        """The metrics with the given numbers."""
        for counter in self._counters:
            yield counter.family(values.counters.get(counter.name, {}))
        for histogram in self._histograms:
            yield histogram.family(values.histograms.get(histogram.name, {}))
        for name, numbers in values.gauges.items():
            family = GaugeMetricFamily(name, _GAUGES[name], labels=names.LABELS[name])
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
            gauges[names.METRIC_DEPLOYMENT_CIRCUIT_OPEN] = {(id,): float(is_open) for id, is_open, _, _ in rows}
            gauges[names.METRIC_DEPLOYMENT_IN_FLIGHT] = {(id,): in_flight for id, _, in_flight, _ in rows}
            gauges[names.METRIC_QUEUED] = {(): self._queue.queued + sum(row[3] for row in rows)}
        return gauges


def _counter(name: str, help_text: str) -> Counter:
    return Counter(name, help_text, names.LABELS[name])


def _histogram(name: str, help_text: str) -> Histogram:
    (label,) = names.LABELS[name]
    return Histogram(name, help_text, label, _BOUNDS)


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

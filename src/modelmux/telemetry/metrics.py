"""Counters of one gateway, as Prometheus metrics and as the numbers of ``/health``.

Each gateway has its own registry, so that two gateways in one process do not mix. Every label has a bounded set of
values: routes and deployments are those of the configuration.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from modelmux.config.metrics_schema import MetricsConfig
from modelmux.errors import GatewayError
from modelmux.telemetry import names
from modelmux.telemetry.counters import Counter, Histogram
from modelmux.telemetry.deployment_report import DeploymentReport
from modelmux.telemetry.ledger_counts import LEDGER_COUNTERS, LedgerCounts, ledger_gauges
from modelmux.telemetry.refusal_reason import refusal_reason
from modelmux.telemetry.tag_counters import TagCounters
from modelmux.telemetry.tag_labels import TagLabels, tag_labels
from modelmux.telemetry.team_labels import TeamLabels
from modelmux.telemetry.token_sizes import TokenSizes
from modelmux.telemetry.worker_metrics import GatewayTotals, MetricValues, worker_families
from modelmux.version import __version__

#: Upper bounds of the buckets of durations, in seconds.
_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
#: The same of what takes milliseconds.
_SHORT_BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
#: The same of what waits for a store.
_STORE_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)

#: For each deployment: id, whether its circuit breaker is open, attempts in flight, attempts queued.
DeploymentGauges = Callable[[], Iterable[tuple[str, bool, int, int]]]
#: What workers report of deployments at a moment, in Unix seconds.
DeploymentReports = Callable[[float], list[DeploymentReport]]


class HasQueueLength(Protocol):
    """A queue of requests."""

    @property
    def queued(self) -> int:
        """The number of queued requests."""
        ...


class Metrics:
    """Everything that is counted. Plain integers in addition to the metrics serve ``/health`` without a scrape."""

    def __init__(self, tags: TagLabels | None = None) -> None:
        """:param tags: the tag that is shown; None for none."""
        self.registry = CollectorRegistry()
        self.requests = _counter(names.METRIC_REQUESTS)
        self.attempts = _counter(names.METRIC_ATTEMPTS)
        self.tokens = _counter(names.METRIC_TOKENS)
        self.errors = _counter(names.METRIC_ERRORS)
        self.duration = _histogram(names.METRIC_DURATION)
        self.time_to_first_token = _histogram(names.METRIC_TIME_TO_FIRST_TOKEN)
        self.time_per_output_token = _histogram(names.METRIC_TIME_PER_OUTPUT_TOKEN, _SHORT_BOUNDS)
        self.overhead = _histogram(names.METRIC_OVERHEAD, _SHORT_BOUNDS)
        self.shed = _counter(names.METRIC_SHED)
        self.queue_wait = _histogram(names.METRIC_QUEUE_WAIT)
        self.store_failures = _counter(names.METRIC_STORE_FAILURES)
        self.store_failures.add_many(0)  # a sample from the start: an alert on its increase sees the first failure
        self.log_drops = _counter(names.METRIC_LOG_LINES_DROPPED)
        self.count_log_drops({names.OUTPUT_CONSOLE: 0, names.OUTPUT_FILES: 0})
        #: The lines that the log of this process has dropped so far, by output.
        self.read_log_drops: Callable[[], Mapping[str, int]] = dict
        self.spans_dropped = _counter(names.METRIC_SPANS_DROPPED)
        self.traces_dropped = _counter(names.METRIC_TRACES_DROPPED)
        #: The spans, and the records of requests, that this process has dropped so far.
        self.read_span_drops: Callable[[], int] = int
        self.read_trace_drops: Callable[[], int] = int
        #: Numbers of the ledger, set when they are read.
        self.ledger_counters = {name: _counter(name) for name in LEDGER_COUNTERS}
        #: What the ledger of this process counts; zeros without one.
        self.read_ledger: Callable[[], LedgerCounts] = LedgerCounts
        #: Seconds by which the event loop was late.
        self.read_loop_lag: Callable[[], float] = float
        #: Days since the prices were compared with their source; None if they are the operator's own.
        self.read_price_age: Callable[[], float | None] = lambda: None
        #: Whether rate limits are shared with other nodes now; None if that is not configured.
        self.read_limits_shared: Callable[[], bool | None] = lambda: None
        #: The teams of callers; None without accounts.
        self.teams: TeamLabels | None = None
        self.refusals = _counter(names.METRIC_REFUSALS)
        self.cost = _counter(names.METRIC_COST)
        self.team_tokens = _counter(names.METRIC_TEAM_TOKENS)
        self.price_missing = _counter(names.METRIC_PRICE_MISSING)
        self.by_tag = TagCounters(tags)
        self.token_sizes: TokenSizes | None = None  # only where they are sent
        self.cache_unread = _counter(names.METRIC_CACHE_UNREAD)
        self.lease_short = _counter(names.METRIC_LEASE_SHORT)
        self.exchanges = _histogram(names.METRIC_EXCHANGE, _STORE_BOUNDS)
        self.recalls = _histogram(names.METRIC_RECALL, _STORE_BOUNDS)
        self._counters, self._histograms = self._shown()
        self._deployments: DeploymentGauges | None = None
        #: Deployments that are in use, or left alone; at a time in Unix seconds.
        self.read_deployments: DeploymentReports = lambda _: []
        self._queue: HasQueueLength | None = None
        self.registry.register(_Families(self))
        ProcessCollector(registry=self.registry)  # CPU, memory, descriptors, start time, where the platform has them
        self.on_change: Callable[[], None] | None = None  # where several processes share their numbers
        self._in_flight = 0
        self.total = self.succeeded = self.failed = self.quota_errors = self.retries = 0

    def _shown(self) -> tuple[tuple[Counter, ...], tuple[Histogram, ...]]:
        """All counters and histograms, in the order of ``/metrics``."""
        counters = (
            self.requests, self.attempts, self.tokens, self.errors, self.shed, self.store_failures, self.log_drops,
            self.spans_dropped, self.traces_dropped, *self.ledger_counters.values(), self.price_missing, self.refusals,
            self.cache_unread, self.lease_short, *self.by_tag.all, self.team_tokens, self.cost,
        )  # fmt: skip
        histograms = (
            self.duration, self.time_to_first_token, self.queue_wait, self.time_per_output_token, self.overhead,
            self.exchanges, self.recalls,
        )  # fmt: skip
        return counters, histograms

    @classmethod
    def of(cls, settings: MetricsConfig) -> Metrics:
        """Those of a configuration. :raises ConfigError: it cannot be used."""
        return cls(tag_labels(settings))

    def register_gauges(
        self, deployments: DeploymentGauges, queue: HasQueueLength, reports: DeploymentReports = lambda _: []
    ) -> None:
        """Add the gauges that are read at the time of a scrape.

        :param queue: the queue of the whole gateway; those of deployments are in ``deployments``.
        :param reports: what workers report of deployments.
        """
        self._deployments, self._queue, self.read_deployments = deployments, queue, reports

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
        reason = refusal_reason(error)
        if reason is not None:
            self.refusals.add(reason, names.NO_TEAM if self.teams is None else self.teams.of_key(error.key))
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

    @property
    def bounds(self) -> dict[str, tuple[float, ...]]:
        """Histogram -> upper bounds of its buckets."""
        return {histogram.name: histogram.bounds for histogram in self._histograms}

    def values(self) -> MetricValues:
        """All numbers as they are now. Not a copy: encode or add them up before anything is counted."""
        self.count_log_drops(self.read_log_drops())
        self.spans_dropped.values[()] = self.read_span_drops()
        self.traces_dropped.values[()] = self.read_trace_drops()
        ledger = self.read_ledger()
        for name, read in LEDGER_COUNTERS.items():
            self.ledger_counters[name].values[()] = read(ledger)
        return MetricValues(
            {counter.name: counter.values for counter in self._counters},
            {histogram.name: histogram.values for histogram in self._histograms},
            self._gauges() | ledger_gauges(ledger),
            {histogram.name: histogram.exemplars for histogram in self._histograms if histogram.exemplars},
        )

    def families(self, values: MetricValues) -> Iterator[Metric]:
        """The metrics with the given numbers."""
        for counter in self._counters:
            yield counter.family(values.counters.get(counter.name, {}))
        for histogram in self._histograms:
            exemplars = values.exemplars.get(histogram.name, {})
            yield histogram.family(values.histograms.get(histogram.name, {}), exemplars)
        for name, numbers in values.gauges.items():
            yield _gauge_family(name, numbers)
        yield _gauge_family(names.METRIC_BUILD, {(__version__, platform.python_version()): 1})

    def expose(self, *, open_metrics: bool = False) -> bytes:
        """The numbers of this process. :param open_metrics: in the format of that name, which has exemplars."""
        return _text(self.registry, open_metrics=open_metrics)

    def expose_all(self, totals: GatewayTotals, *, open_metrics: bool = False) -> bytes:
        """The numbers of all workers together."""
        registry = CollectorRegistry()
        for families in (self.families(totals.metrics), worker_families(totals)):
            registry.register(_Collected(families))
        return _text(registry, open_metrics=open_metrics)

    def _gauges(self) -> dict[str, dict[tuple[str, ...], float]]:
        gauges: dict[str, dict[tuple[str, ...], float]] = {
            names.METRIC_IN_FLIGHT: {(): self._in_flight},
            names.METRIC_LOOP_LAG: {(): self.read_loop_lag()},
        }
        price_age = self.read_price_age()
        if price_age is not None:
            gauges[names.METRIC_PRICE_AGE] = {(): price_age}
        is_shared = self.read_limits_shared()
        if is_shared is not None:
            gauges[names.METRIC_LIMITS_SHARED] = {(): float(is_shared)}
        if self._deployments is not None and self._queue is not None:
            rows = list(self._deployments())
            gauges[names.METRIC_DEPLOYMENT_CIRCUIT_OPEN] = {(id,): float(is_open) for id, is_open, _, _ in rows}
            gauges[names.METRIC_DEPLOYMENT_IN_FLIGHT] = {(id,): in_flight for id, _, in_flight, _ in rows}
            gauges[names.METRIC_QUEUED] = {(): self._queue.queued + sum(row[3] for row in rows)}
        return gauges


def _counter(name: str) -> Counter:
    return Counter(name, names.METRICS[name].meaning, names.LABELS[name])


def _histogram(name: str, bounds: tuple[float, ...] = _BOUNDS) -> Histogram:
    (label,) = names.LABELS[name]
    return Histogram(name, names.METRICS[name].meaning, label, bounds)


def _gauge_family(name: str, numbers: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, names.METRICS[name].meaning, labels=names.LABELS[name])
    for label_values, number in numbers.items():
        family.add_metric(label_values, number)
    return family


def _text(registry: CollectorRegistry, *, open_metrics: bool) -> bytes:
    text: bytes = openmetrics.generate_latest(registry) if open_metrics else generate_latest(registry)  # type: ignore[no-untyped-call]
    return text


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

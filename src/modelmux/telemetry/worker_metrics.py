"""Numbers of several worker processes as those of one gateway: what each reports, and how reports are added up.

Counters and histograms are added, and those of a worker that ended are kept, so that no sum ever falls. Gauges are
added over the workers that run, or the largest or smallest of them counts. What belongs to a process (``process_*``,
the configuration's generation) keeps its own line, with the worker as a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from modelmux.telemetry import names
from modelmux.telemetry.counters import Exemplars, Observations
from modelmux.telemetry.deployment_report import DeploymentReport

#: Value of every label where label sets were dropped: their sum is shown under it.
OTHER: Final = "(other)"
#: Bytes kept free for each metric when label sets are dropped: its name, the headers, and the numbers under ``OTHER``.
_METRIC_RESERVE: Final = 512
#: The same for a metric without labels.
_NAME_RESERVE: Final = 64
#: Bytes of the longest number in MessagePack.
_NUMBER_BYTES: Final = 9
_ENCODER: Final = msgspec.msgpack.Encoder()


class MetricValues(msgspec.Struct, array_like=True):
    """Metrics as plain numbers: name of the metric -> label values -> number.

    :param exemplars: of histograms, of processes that run.
    """

    counters: dict[str, dict[tuple[str, ...], float]] = {}
    histograms: dict[str, dict[str, Observations]] = {}
    gauges: dict[str, dict[tuple[str, ...], float]] = {}
    exemplars: dict[str, Exemplars] = {}


class WorkerStatus(msgspec.Struct, kw_only=True, array_like=True):
    """What ``/health`` and ``/readyz`` need of a worker.

    :param incarnation: counts the processes in this worker's slot; see ``FinishedWorkers.folded``.
    :param ready: whether it accepts requests.
    :param problem: why it is not ready, in one word.
    :param generation: of the configuration it serves.
    :param counts: the numbers of ``/health``.
    :param started: Unix seconds.
    :param in_flight: requests that run.
    :param directory_version: of the accounts by which it admits requests; None without accounts.
    :param deployments: those that are in use, or left alone.
    """

    pid: int
    incarnation: int
    ready: bool
    problem: str | None
    generation: int
    counts: dict[str, int]
    started: float = 0.0
    in_flight: int = 0
    directory_version: int | None = None
    deployments: list[DeploymentReport] = []


class WorkerReport(WorkerStatus, kw_only=True, array_like=True):
    """All that a worker reports.

    :param dropped: label sets whose numbers are under ``OTHER``.
    """

    dropped: int = 0
    metrics: MetricValues = msgspec.field(default_factory=MetricValues)


class FinishedStatus(msgspec.Struct, kw_only=True, array_like=True):
    """What ``/health`` and ``/readyz`` need of the workers that ended.

    :param supervisor: the process id of the supervisor.
    :param restarts: how often a worker was replaced.
    :param folded: of each worker's slot, the newest incarnation whose numbers are in here.
    """

    supervisor: int
    folded: list[int]
    restarts: int = 0
    counts: dict[str, int] = {}


class FinishedWorkers(FinishedStatus, kw_only=True, array_like=True):
    """The numbers of all workers that ended."""

    dropped: int = 0
    metrics: MetricValues = msgspec.field(default_factory=MetricValues)


class GatewayTotals(msgspec.Struct, kw_only=True):
    """All workers together.

    :param problem: of any worker that accepts requests: it keeps the gateway from being ready.
    :param ready: how many workers accept requests, of ``total``.
    :param processes: name of a process -> its id.
    :param generations: name of a worker -> the generation of its configuration.
    """

    counts: dict[str, int]
    problem: str | None
    ready: int
    total: int
    restarts: int = 0
    dropped: int = 0
    metrics: MetricValues = msgspec.field(default_factory=MetricValues)
    processes: dict[str, int] = {}
    generations: dict[str, int] = {}


# --- adding up ----------------------------------------------------------------------------------------------------


def add_counts(reports: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Numbers of ``/health``, added up."""
    total: dict[str, int] = {}
    for counts in reports:
        for name, value in counts.items():
            total[name] = total.get(name, 0) + value
    return total


def add_finished(finished: FinishedWorkers, number: int, report: WorkerReport) -> None:
    """Fold the last report of worker ``number`` into those that ended, once: an incarnation that is in there already
    changes nothing."""
    if report.incarnation <= finished.folded[number - 1]:
        return
    finished.folded[number - 1] = report.incarnation
    finished.counts = add_counts([finished.counts, report.counts])
    finished.dropped += report.dropped
    growing = MetricValues(report.metrics.counters, report.metrics.histograms)
    finished.metrics = merge([finished.metrics, growing])


def merge(reports: Iterable[MetricValues]) -> MetricValues:
    """Metrics, added up; of some gauges the largest or the smallest of all, see ``names.METRICS``."""
    total = MetricValues({}, {}, {}, {})
    for values in reports:
        _add_numbers(total.counters, values.counters)
        _add_gauges(total.gauges, values.gauges)
        for name, by_label in values.histograms.items():
            histogram = total.histograms.setdefault(name, {})
            for label, observations in by_label.items():
                histogram[label] = _add_observations(histogram.get(label), observations)
        for name, exemplars in values.exemplars.items():
            by_value = total.exemplars.setdefault(name, {})
            for label, traces in exemplars.items():
                by_value[label] = by_value.get(label, {}) | traces
    return total


def totals(finished: FinishedStatus, workers: Mapping[int, WorkerStatus]) -> GatewayTotals:
    """All workers together; without metrics unless full reports are given.

    :param workers: their newest reports. Those of processes that are in ``finished`` already do not count.
    """
    running = {
        str(number): report
        for number, report in sorted(workers.items())
        if report.incarnation > finished.folded[number - 1]
    }
    full = [report for report in (finished, *running.values()) if isinstance(report, (FinishedWorkers, WorkerReport))]
    ready = [report for report in running.values() if report.ready]
    return GatewayTotals(
        counts=add_counts([finished.counts, *(report.counts for report in running.values())]),
        problem=next((report.problem for report in ready if report.problem), None),
        ready=len(ready),
        total=len(finished.folded),
        restarts=finished.restarts,
        dropped=sum(report.dropped for report in full),
        metrics=merge(report.metrics for report in full),
        processes={**{name: report.pid for name, report in running.items()}, "supervisor": finished.supervisor},
        generations={name: report.generation for name, report in running.items()},
    )


def _add_numbers(
    total: dict[str, dict[tuple[str, ...], float]], values: Mapping[str, Mapping[tuple[str, ...], float]]
) -> None:
    for name, by_labels in values.items():
        metric = total.setdefault(name, {})
        for labels, number in by_labels.items():
            metric[labels] = metric.get(labels, 0) + number


def _add_gauges(
    total: dict[str, dict[tuple[str, ...], float]], values: Mapping[str, Mapping[tuple[str, ...], float]]
) -> None:
    for name, by_labels in values.items():
        kind = names.METRICS[name].merge if name in names.METRICS else "sum"
        if kind == "sum":
            _add_numbers(total, {name: by_labels})
            continue
        choose = max if kind == "max" else min
        metric = total.setdefault(name, {})
        for labels, number in by_labels.items():
            metric[labels] = choose(metric.get(labels, number), number)


def _add_observations(total: Observations | None, observations: Observations) -> Observations:
    counts, (sum_of_values,) = observations
    if total is None:
        return [*counts], [sum_of_values]
    return [a + b for a, b in zip(total[0], counts, strict=True)], [total[1][0] + sum_of_values]


# --- bounded size -------------------------------------------------------------------------------------------------


def encode_report(report: WorkerReport | FinishedWorkers, limit: int) -> bytes:
    """A report as MessagePack, in at most ``limit`` bytes. Exemplars are left out first. What does not fit then is
    dropped as a label set and not as a number: it is added up under ``OTHER`` and counted, so that sums over all label
    sets stay exact."""
    encoded = _ENCODER.encode(report)
    if len(encoded) > limit and report.metrics.exemplars:
        report = msgspec.structs.replace(report, metrics=msgspec.structs.replace(report.metrics, exemplars={}))
        encoded = _ENCODER.encode(report)
    return encoded if len(encoded) <= limit else _ENCODER.encode(_bounded(report, limit))


def _bounded(report: WorkerReport | FinishedWorkers, limit: int) -> WorkerReport | FinishedWorkers:
    metrics, dropped = report.metrics, report.dropped
    bounded: tuple[dict[str, dict[Any, Any]], ...] = ({}, {}, {})
    groups: tuple[Mapping[str, Mapping[Any, Any]], ...] = (metrics.counters, metrics.histograms, metrics.gauges)
    by_name = [(name, values, index) for index, group in enumerate(groups) for name, values in group.items()]
    # Those with a label set for each team come last, so that no other one loses its own to them.
    by_name.sort(key=lambda one: "team" in names.LABELS.get(one[0], ()))
    budget = limit - len(_ENCODER.encode(msgspec.structs.replace(report, metrics=MetricValues())))
    budget -= sum(_METRIC_RESERVE if set(values) - {()} else _NAME_RESERVE for _, values, _ in by_name)
    for name, values, index in by_name:
        bounded[index][name], used, count = _fitting(values, budget)
        budget -= used
        dropped += count
    return msgspec.structs.replace(report, dropped=dropped, metrics=MetricValues(*bounded))


def _fitting(values: Mapping[Any, Any], budget: int) -> tuple[dict[Any, Any], int, int]:
    """The label sets of a metric that fit, oldest first, the sum of the others under ``OTHER``; the bytes that the
    former take, and how many the latter are."""
    fitting: dict[Any, Any] = {}
    used = dropped = 0
    for labels, value in values.items():
        other = OTHER if isinstance(labels, str) else (OTHER,) * len(labels)
        size = 0 if labels == other else len(_ENCODER.encode(labels)) + _value_bytes(value)
        if used + size <= budget:
            fitting[labels] = _sum(fitting.get(labels), value)
            used += size
        else:
            fitting[other] = _sum(fitting.get(other), value)
            dropped += 1
    return fitting, used, dropped


def _value_bytes(value: Any) -> int:
    """The most that a value can take, so that a label set that fits still fits when its numbers have grown."""
    return _NUMBER_BYTES * (len(value[0]) + 2) if isinstance(value, tuple) else _NUMBER_BYTES


def _sum(total: Any, value: Any) -> Any:
    if isinstance(value, tuple):
        return _add_observations(total, value)
    return value if total is None else total + value


# --- showing ------------------------------------------------------------------------------------------------------


def worker_families(shown: GatewayTotals) -> Iterator[Metric]:
    """What a gateway of several workers shows in addition to the metrics of every gateway."""
    about = {name: info.meaning for name, info in names.METRICS.items()}
    workers, restarts = names.METRIC_WORKERS, names.METRIC_WORKER_RESTARTS
    yield GaugeMetricFamily(workers, about[workers], value=shown.ready)
    yield CounterMetricFamily(restarts, about[restarts], value=shown.restarts)
    dropped, generations = names.METRIC_DROPPED_LABEL_SETS, names.METRIC_CONFIG_GENERATION
    yield GaugeMetricFamily(dropped, about[dropped], value=shown.dropped)
    generation = GaugeMetricFamily(generations, about[generations], labels=["worker"])
    for worker, number in shown.generations.items():
        generation.add_metric([worker], number)
    yield generation
    yield from _process_families(shown.processes)


def _process_families(processes: Mapping[str, int]) -> Iterator[Metric]:
    """CPU, memory, descriptors and start of each process, read from the kernel: also of one that hangs."""
    families: dict[str, Metric] = {}
    for worker, pid in processes.items():
        for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                family.add_sample(sample.name, {"worker": worker}, sample.value)
    yield from families.values()

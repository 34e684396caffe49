"""Counters and histograms as plain numbers in dicts, converted to Prometheus metrics when they are scraped.

A request counts about ten things, while a scrape comes every few seconds. So counting is one addition, and the text
format is left to ``prometheus_client``. Not thread-safe: the gateway counts in one thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

#: How many values fell into each bucket (the last one has no upper bound), and the sum of all values as a list of one.
Observations = tuple[list[int], list[float]]
#: Label value -> bucket -> a trace, and the value that it has there.
Exemplars = dict[str, dict[int, tuple[str, float]]]


class Counter(Collector):
    """A counter for each combination of label values.

    :param name: ends in ``_total``.
    """

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self.name = name
        self._about = about
        self._labels = tuple(labels)
        self.values: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str) -> None:
        """Add one for these label values."""
        self.values[labels] = self.values.get(labels, 0) + 1

    def add_many(self, count: float, *labels: str) -> None:
        """Add ``count`` for these label values."""
        self.values[labels] = self.values.get(labels, 0) + count

    def collect(self) -> Iterator[Metric]:
        yield self.family(self.values)

    def family(self, values: Mapping[tuple[str, ...], float]) -> Metric:
        """The metric with these numbers, which may be those of several processes."""
        family = CounterMetricFamily(self.name, self._about, labels=self._labels)
        for labels, count in values.items():
            family.add_metric(labels, count)
        return family


class Histogram(Collector):
    """A histogram for each value of one label.

    :param bounds: the upper bounds of the buckets, ascending.
    """

    def __init__(self, name: str, about: str, label: str, bounds: Sequence[float]) -> None:
        self.name = name
        self._about = about
        self._label = label
        self.bounds = tuple(bounds)
        self.values: dict[str, Observations] = {}
        self.exemplars: Exemplars = {}  # of each bucket the latest

    def observe(self, label: str, value: float) -> None:
        """Add a value."""
        observed = self.values.get(label)
        if observed is None:
            observed = self.values[label] = ([0] * (len(self.bounds) + 1), [0.0])
        observed[0][bisect_left(self.bounds, value)] += 1
        observed[1][0] += value

    def remember(self, label: str, value: float, trace_id: str) -> None:
        """Keep a value that was added as the exemplar of its bucket: the trace to look at."""
        self.exemplars.setdefault(label, {})[bisect_left(self.bounds, value)] = (trace_id, value)

    def collect(self) -> Iterator[Metric]:
        yield self.family(self.values, self.exemplars)

    def family(self, values: Mapping[str, Observations], exemplars: Exemplars) -> Metric:
        """The metric with these numbers, which may be those of several processes."""
        family = HistogramMetricFamily(self.name, self._about, labels=[self._label])
        ends = [*map(repr, map(float, self.bounds)), "+Inf"]
        for label, (counts, (total,)) in values.items():
            cumulative = 0
            buckets = list[tuple[str, float] | tuple[str, float, Exemplar]]()
            traces = exemplars.get(label, {})
            for index, (end, count) in enumerate(zip(ends, counts, strict=True)):
                cumulative += count
                size = float(cumulative)
                if index in traces:
                    trace_id, value = traces[index]
                    buckets.append((end, size, Exemplar({"trace_id": trace_id}, value)))
                else:
                    buckets.append((end, size))
            family.add_metric([label], buckets, total)
        return family

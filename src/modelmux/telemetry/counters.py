"""Counters and histograms as plain numbers in dicts, converted to Prometheus metrics when they are scraped.

A request counts about ten things, while a scrape comes every few seconds. So counting is one addition, and the text
format is left to ``prometheus_client``. Not thread-safe: the gateway counts in one thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Counter(Collector):
    """A counter for each combination of label values.

    :param name: ends in ``_total``.
    """

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self._name = name
        self._about = about
        self._labels = tuple(labels)
        self._counts: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str) -> None:
        """Add one for these label values."""
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def add_many(self, count: float, *labels: str) -> None:
        """Add ``count`` for these label values."""
        self._counts[labels] = self._counts.get(labels, 0) + count

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Histogram(Collector):
    """A histogram for each value of one label.

    :param bounds: the upper bounds of the buckets, ascending.
    """

    def __init__(self, name: str, about: str, label: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._about = about
        self._label = label
        self._bounds = tuple(bounds)
        self._values: dict[str, tuple[list[int], list[float]]] = {}

    def observe(self, label: str, value: float) -> None:
        """Add a value."""
        observed = self._values.get(label)
        if observed is None:
            observed = self._values[label] = ([0] * (len(self._bounds) + 1), [0.0])
        observed[0][bisect_left(self._bounds, value)] += 1
        observed[1][0] += value

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._about, labels=[self._label])
        ends = [*map(repr, map(float, self._bounds)), "+Inf"]
        for label, (counts, (total,)) in self._values.items():
            cumulative = 0
            buckets = []
            for end, count in zip(ends, counts, strict=True):
                cumulative += count
                buckets.append((end, float(cumulative)))
            family.add_metric([label], buckets, total)
        yield family

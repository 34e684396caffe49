"""Counters and histograms as plain numbers in dicts, shown as Prometheus metrics when somebody scrapes.

A request counts some ten things, a scrape comes every few seconds: so counting is an addition to a number, and all that
is worth knowing of the text format is left to ``prometheus_client``. For one thread, as the whole gateway.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Tally(Collector):
    """A counter for each combination of label values.

    :param name: ends in ``_total``.
    """

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self._name = name
        self._about = about
        self._labels = tuple(labels)
        self._counts: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str) -> None:
        """One more of these label values."""
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def add_many(self, count: float, *labels: str) -> None:
        """So many more."""
        self._counts[labels] = self._counts.get(labels, 0) + count

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Spread(Collector):
    """A histogram for each value of one label.

    :param bounds: the upper ends of the buckets, rising.
    """

    def __init__(self, name: str, about: str, label: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._about = about
        self._label = label
        self._bounds = tuple(bounds)
        self._seen: dict[str, tuple[list[int], list[float]]] = {}

    def observe(self, label: str, value: float) -> None:
        """One more value."""
        seen = self._seen.get(label)
        if seen is None:
            seen = self._seen[label] = ([0] * (len(self._bounds) + 1), [0.0])
        seen[0][bisect_left(self._bounds, value)] += 1
        seen[1][0] += value

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._about, labels=[self._label])
        ends = [*map(repr, map(float, self._bounds)), "+Inf"]
        for label, (counts, (total,)) in self._seen.items():
            so_far = 0
            buckets = []
            for end, count in zip(ends, counts, strict=True):
                so_far += count
                buckets.append((end, float(so_far)))
            family.add_metric([label], buckets, total)
        yield family

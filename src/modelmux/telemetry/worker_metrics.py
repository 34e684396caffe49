"""Counters of several processes as those of one gateway: what each reports, and how reports are added up.

Counters and histograms are added, and those of a worker that ended are kept, so that no sum ever falls. Gauges are
added over the workers that live. What belongs to a process (``process_*``) keeps its own line, with the worker as a
label. Pure: no processes, no sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from modelmux.telemetry import names

#: Families of a process rather than of the gateway.
_OF_A_PROCESS: Final = ("process_", "python_", names.METRIC_CONFIG_GENERATION)
#: Types whose values only grow.
_GROWING: Final = ("counter", "histogram")

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]


class Family(msgspec.Struct, array_like=True):
    """A metric with its samples, in the order in which they are shown.

    :param samples: name, labels, value.
    """

    name: str
    about: str
    type: str
    samples: list[tuple[str, Labels, float]]


class Report(msgspec.Struct, kw_only=True, array_like=True):
    """What a worker says of itself.

    :param counts: the numbers of ``/health``.
    :param problem: why it is not ready, in one word.
    :param families: its metrics; None if they were not asked for.
    """

    counts: dict[str, int] = {}
    problem: str | None = None
    families: list[Family] | None = None


class Whole(msgspec.Struct, kw_only=True, array_like=True):
    """What is so of all workers together.

    :param serving: how many accept requests.
    :param of: how many there should be.
    """

    counts: dict[str, int]
    problem: str | None
    serving: int
    of: int
    families: list[Family] | None = None


def families(registry: CollectorRegistry) -> list[Family]:
    """The metrics of this process."""
    return [
        Family(m.name, m.documentation, m.type, [(s.name, tuple(s.labels.items()), float(s.value)) for s in m.samples])
        for m in registry.collect()
    ]


def added_counts(reports: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Numbers of ``/health``, added up."""
    total: dict[str, int] = {}
    for counts in reports:
        for name, value in counts.items():
            total[name] = total.get(name, 0) + value
    return total


def kept(past: list[Family], last: list[Family]) -> list[Family]:
    """What stays of workers that ended, with the last report of one more."""
    return _added([past, [f for f in last if f.type in _GROWING and not f.name.startswith(_OF_A_PROCESS)]])


def merged(past: list[Family], live: Mapping[str, list[Family]]) -> list[Family]:
    """The metrics of the whole.

    :param live: the name of a process -> what it reported last.
    """
    return _added([past, *(_named(worker, reported) for worker, reported in live.items())])


def exposition(shown: list[Family]) -> bytes:
    """The Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(_Shown(shown))
    return generate_latest(registry)


class _Shown(Collector):
    def __init__(self, shown: list[Family]) -> None:
        self._shown = shown

    def collect(self) -> Iterator[Metric]:
        for family in self._shown:
            metric = Metric(family.name, family.about, family.type)
            for name, labels, value in family.samples:
                metric.add_sample(name, dict(labels), value)
            yield metric


def _named(worker: str, reported: list[Family]) -> list[Family]:
    """What belongs to the process gets its name as a label."""
    return [
        Family(f.name, f.about, f.type, [(n, (*labels, ("worker", worker)), v) for n, labels, v in f.samples])
        if f.name.startswith(_OF_A_PROCESS)
        else f
        for f in reported
    ]


def _added(reports: Iterable[list[Family]]) -> list[Family]:
    found: dict[str, Family] = {}
    sums: dict[str, Samples] = {}
    for report in reports:
        for family in report:
            found.setdefault(family.name, family)
            samples = sums.setdefault(family.name, {})
            for name, labels, value in family.samples:
                _add(samples, (name, labels), value)
    return [
        Family(f.name, f.about, f.type, [(n, labels, v) for (n, labels), v in sums[f.name].items()])
        for f in found.values()
    ]


def _add(samples: Samples, key: tuple[str, Labels], value: float) -> None:
    """Of the times at which the processes began to count, the whole's is the first."""
    if key not in samples:
        samples[key] = value
    elif key[0].endswith("_created"):
        samples[key] = min(samples[key], value)
    else:
        samples[key] += value

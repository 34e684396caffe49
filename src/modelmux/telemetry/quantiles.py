"""Quantiles of histograms, as ``histogram_quantile`` of Prometheus estimates them: evenly spread within a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from modelmux.telemetry import names
from modelmux.telemetry.counters import Observations


class Quantile(Struct, frozen=True, kw_only=True):
    """A time. :param more_than: it is above the last bound, which ``seconds`` is."""

    seconds: float
    more_than: bool


class Times(Struct, frozen=True, kw_only=True):
    """How long something took. :param count: how often it was measured."""

    count: int
    p50: Quantile
    p95: Quantile


class Latency(Struct, frozen=True, kw_only=True):
    """Since the processes were started; None where nothing was measured.

    :param request: from a request to its end, also of those that failed. :param first_content: to its first content.
    """

    request: Times | None = None
    first_content: Times | None = None


def latency_of(histograms: Mapping[str, Mapping[str, Observations]], bounds: Mapping[str, Sequence[float]]) -> Latency:
    """:param histograms: name -> label value -> observations. :param bounds: name -> upper bounds of buckets."""

    def times(name: str) -> Times | None:
        return times_of(histograms.get(name, {}).values(), bounds[name])

    return Latency(request=times(names.METRIC_DURATION), first_content=times(names.METRIC_TIME_TO_FIRST_TOKEN))


def times_of(observed: Iterable[Observations], bounds: Sequence[float]) -> Times | None:
    """Of the observations of all labels together; None without any.

    :param bounds: upper bounds of the buckets in seconds, ascending. Each has a count, and one more what is above them.
    """
    counts = [sum(column) for column in zip(*(one[0] for one in observed), strict=True)]
    p50, p95 = quantile(counts, bounds, 0.5), quantile(counts, bounds, 0.95)
    return None if p50 is None or p95 is None else Times(count=sum(counts), p50=p50, p95=p95)


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> Quantile | None:
    """The value below which a share of all values is; None without any value.

    :param counts: of each bucket by itself, the last one without an upper bound. :param share: above 0, below 1.
    """
    rank, below, start = share * sum(counts), 0, 0.0
    if not rank:
        return None
    for end, count in zip(bounds, counts[:-1], strict=True):
        if count and below + count >= rank:
            return Quantile(seconds=start + (end - start) * (rank - below) / count, more_than=False)
        below, start = below + count, end
    return Quantile(seconds=start, more_than=True)

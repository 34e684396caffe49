"""Statistics of measurements. Pure: it reads no clock and starts no process."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the values lie; NaN for an empty sequence."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The median; NaN for an empty sequence."""
    return statistics.median(values) if values else math.nan


def spread(values: Sequence[float]) -> float:
    """Half the range as a share of the median: the ± of a few runs."""
    return (max(values) - min(values)) / 2 / median(values) if len(values) > 1 else 0.0


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """How y grows with x: the slope of a line through the logarithms. 1 is linear, 0 is constant."""
    logs = [(math.log(x), math.log(y)) for x, y in zip(xs, ys, strict=True)]
    mean_x, mean_y = (statistics.fmean(part) for part in zip(*logs, strict=True))
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    return covariance / sum((x - mean_x) ** 2 for x, _ in logs)


def arrivals(rate: float, seconds: float) -> list[float]:
    """When requests are due at a constant rate. Latency is measured from these times, even if a request is sent late
    (this avoids coordinated omission)."""
    return [number / rate for number in range(int(rate * seconds))]

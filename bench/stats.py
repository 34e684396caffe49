"""Arithmetic of measurements. No clocks, no processes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the values lie; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def middle(values: Sequence[float]) -> float:
    """The median; NaN of none."""
    return statistics.median(values) if values else math.nan


def spread(values: Sequence[float]) -> float:
    """Half the distance between the least and the most, as a share of the median: the ± of a few runs."""
    return (max(values) - min(values)) / 2 / middle(values) if len(values) > 1 else 0.0


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """How y grows with x: the slope through the logarithms. 1 is linear, 0 is flat."""
    logs = [(math.log(x), math.log(y)) for x, y in zip(xs, ys, strict=True)]
    mean_x, mean_y = (statistics.fmean(part) for part in zip(*logs, strict=True))
    above = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    return above / sum((x - mean_x) ** 2 for x, _ in logs)


def arrivals(rate: float, seconds: float) -> list[float]:
    """When requests are due at a constant rate: latency counts from then, however late one was sent (no coordinated
    omission)."""
    return [number / rate for number in range(int(rate * seconds))]

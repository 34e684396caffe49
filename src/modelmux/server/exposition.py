"""The formats of ``/metrics``: that of Prometheus, and OpenMetrics with its exemplars for scrapers that ask for it."""

from __future__ import annotations

from typing import Final

_EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"
_OPEN_METRICS: Final = "application/openmetrics-text"
_OPEN_EXPOSITION: Final = f"{_OPEN_METRICS}; version=1.0.0; charset=utf-8"


def wants_open_metrics(accept: str) -> bool:
    """Whether a scraper asks for OpenMetrics, by its header ``Accept``."""
    return _OPEN_METRICS in accept.lower()


def content_type(*, open_metrics: bool) -> str:
    return _OPEN_EXPOSITION if open_metrics else _EXPOSITION

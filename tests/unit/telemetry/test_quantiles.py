"""Risk: a quantile of the wrong bucket, or a number where the histogram does not know one."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.quantiles import Latency, Quantile, Times, latency_of, quantile, times_of
from modelmux.telemetry.worker_metrics import merge

BOUNDS = (0.5, 1.0, 10.0)


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ((4, 0, 0, 0), 0.5, 0.25),  # from 0 on
        ((0, 10, 0, 0), 0.5, 0.75),
        ((5, 5, 0, 0), 0.5, 0.5),  # the bucket is full at the rank
        ((5, 0, 5, 0), 0.5, 0.5),
        ((5, 0, 5, 0), 0.95, 9.1),  # an empty bucket in between
        ((2, 2, 4, 2), 0.5, 3.25),
        ((0, 0, 1, 0), 0.95, 9.55),
    ],
)
def test_values_are_evenly_spread_within_a_bucket(counts: tuple[int, ...], share: float, seconds: float) -> None:
    found = quantile(counts, BOUNDS, share)
    assert found is not None
    assert (found.seconds, found.more_than) == (pytest.approx(seconds), False)


def test_above_the_last_bound_only_that_is_known() -> None:
    assert quantile((5, 0, 0, 5), BOUNDS, 0.95) == Quantile(seconds=10.0, more_than=True)
    assert quantile((0, 0, 0, 1), BOUNDS, 0.5) == Quantile(seconds=10.0, more_than=True)


def test_nothing_was_measured() -> None:
    assert quantile((0, 0, 0, 0), BOUNDS, 0.5) is None
    assert times_of([], BOUNDS) is None
    assert times_of([([0, 0, 0, 0], [0.0])], BOUNDS) is None


def test_labels_are_added_up() -> None:
    observed = [([4, 0, 0, 0], [1.0]), ([0, 4, 0, 0], [3.0]), ([0, 0, 0, 2], [99.0])]
    assert times_of(observed, BOUNDS) == Times(
        count=10, p50=Quantile(seconds=0.625, more_than=False), p95=Quantile(seconds=10.0, more_than=True)
    )


def test_latency_is_that_of_all_workers_and_routes() -> None:
    workers = [Metrics(), Metrics()]
    for worker, metrics in enumerate(workers):
        for route in ("a", "b"):
            metrics.duration.observe(route, 20.0)
            metrics.duration.observe(route, 700.0 if worker else 20.0)
    workers[0].time_to_first_token.observe("a", 0.3)
    found = latency_of(merge(one.values() for one in workers).histograms, workers[0].bounds)
    assert found.request is not None
    assert (found.request.count, found.request.p95) == (8, Quantile(seconds=600.0, more_than=True))
    assert found.request.p50 == Quantile(seconds=pytest.approx(10 + 20 * 4 / 6), more_than=False)
    assert found.first_content is not None
    assert (found.first_content.count, found.first_content.p50.seconds) == (1, pytest.approx(0.375))
    assert latency_of(merge([]).histograms, workers[0].bounds) == latency_of({}, workers[0].bounds) == Latency()


@given(st.lists(st.floats(0, 20), min_size=1), st.sampled_from([0.5, 0.95]))
def test_it_is_in_the_bucket_of_the_value_itself(values: list[float], share: float) -> None:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect_left(BOUNDS, value)] += 1
    found = quantile(counts, BOUNDS, share)
    assert found is not None
    rank = share * len(values)
    exact = next(value for number, value in enumerate(sorted(values), 1) if number >= rank)
    index = bisect_left(BOUNDS, exact)
    assert found.more_than == (index == len(BOUNDS))
    low, high = (0.0, *BOUNDS)[index], (*BOUNDS, BOUNDS[-1])[index]
    assert low <= found.seconds <= high + 1e-9

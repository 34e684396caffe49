"""Risk: the report of ``make overload`` praises what it should blame."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench.overload import CALM, CAPACITY, Row, Served


def steady(rate: float, begin: float, end: float, key: str = "k") -> list[tuple[float, str, float]]:
    return [(begin + number / rate, key, 0.2) for number in range(round((end - begin) * rate))]


def test_rates_are_per_second_and_key() -> None:
    result = Served(offered=[(0.5, "a"), (1.5, "b")], served=[*steady(10, 0, 2, "a"), *steady(5, 0, 2, "b")])
    assert (result.goodput(0, 2), result.goodput(0, 2, "b"), result.demand(0, 1), result.demand(0, 2, "b")) == (
        15, 5, 1, 0.5,
    )  # fmt: skip


def test_latency_is_a_quantile_of_what_was_served() -> None:
    result = Served(served=[(1.0, "k", 0.1)] * 99 + [(1.0, "k", 2.0)])
    assert (result.latency(0, 2, 0.5), result.latency(0, 2)) == (0.1, 2.0)
    assert result.latency(5, 6) == math.inf


@pytest.mark.parametrize(("from_second", "recovery"), [(0.0, 0.0), (1.5, 1.5), (9.0, math.inf)])
def test_recovery_is_the_time_from_which_on_all_is_served(from_second: float, recovery: float) -> None:
    served = steady(CALM * CAPACITY, 10 + from_second, 16) if from_second < 5 else []
    assert Served(served=served).recovery(10, 15) == pytest.approx(recovery, abs=0.3)


def test_a_promise_that_is_not_kept_is_a_problem() -> None:
    good = Row("now", 2.0, goodput=0.9, waste=0.0, latency=0.7, fairness=1.0, recovery=0.5)
    assert good.problems == []
    bad = Row("now", 2.0, goodput=0.5, waste=0.5, latency=2.9, fairness=0.1, recovery=math.inf)
    assert len(bad.problems) == 4
    assert Row("now", 1.0, 0.8, 0.0, 2.5, 1.0, None).problems == []
    assert "never" in str(bad)
    assert str(Row("now", 0.5, 1.0, 0.0, math.inf, 1.0, None)).split() == ["now", "0.5", "100%", "0%", "-", "100%"]

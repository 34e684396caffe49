"""Risk: a bench says that a difference is noise, or that noise is a difference."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench import pages

from modelmux.admin.operations import OPERATIONS
from modelmux.dashboard.pages import WITH_ACCOUNTS


@pytest.mark.parametrize(
    ("closed", "opened", "difference", "noise", "is_below"),
    [
        ([2.0, 3.0, 4.0], [3.5, 4.5, 9.0], 1.5, 2.0, True),
        ([2.0, 3.0, 4.0], [5.0, 5.5, 6.0], 2.5, 2.0, False),
        ([2.0, 3.0, 4.0], [0.5, 0.6, 0.7], -2.4, 2.0, False),  # an open dashboard that helps is a mistake of the bench
        ([2.0, 2.0, 2.0], [2.0, 2.0, 2.0], 0.0, 0.0, False),
        ([2.0, 2.1, 2.2], [1.0, 5.0, 9.0], 2.9, 0.2, False),  # rounds that the dashboard makes uneven are no noise
    ],
)
def test_the_noise_is_that_of_rounds_without_the_dashboard(
    closed: list[float], opened: list[float], difference: float, noise: float, is_below: bool
) -> None:
    rounds = pages.Rounds(closed, opened)
    assert rounds.difference == pytest.approx(difference)
    assert rounds.noise == pytest.approx(noise)
    assert ("NOT below" not in rounds.verdict("p99")) is is_below


def test_every_page_and_list_is_measured() -> None:
    """But for what a rule keeps out: records that the ledger of the bench does not have."""
    measured = {one.partition("?")[0] for one in pages.PAGES}
    for page in WITH_ACCOUNTS.pages:
        path = page.path.removeprefix("/dashboard")
        assert path in measured or "{" in path or path == "/session", path
    measured = {one.partition("?")[0] for one in pages.OPERATIONS}
    for operation in OPERATIONS:
        if operation.method == "GET" and "{" not in operation.path:
            assert operation.path in measured, operation.path

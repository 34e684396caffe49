"""Risk: the table of what a hop costs shows a difference that is one of its own scenarios."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench.hops import LOCATIONS, SCENARIOS, run


async def test_a_hop_costs_nothing_of_the_prompt_cache_where_thinking_is_shared() -> None:
    one, apart, shared = [await run(scenario, LOCATIONS["two locations"], 1, 5, 1) for scenario in SCENARIOS]
    assert (shared.tokens, shared.cached, shared.thoughts) == (one.tokens, one.cached, one.thoughts)
    assert apart.cached < one.cached
    assert apart.thoughts < one.thoughts
    assert (one.looks, apart.looks) == (0, 0)
    assert 0 < shared.looks < shared.requests

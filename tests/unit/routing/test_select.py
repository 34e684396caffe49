"""Risk: an attempt goes where the last one failed, while another place was free."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from modelmux.routing.resolve import Deployment, Route
from modelmux.routing.select import select

CARD = builtin().card("claude-opus-4-6")
PLACES = {name: Deployment(name, f"https://{name}", "p", name, CARD) for name in "abc"}


@pytest.mark.parametrize(
    ("deployments", "tried", "chosen"),
    [
        ("abc", "", "a"), ("abc", "a", "b"), ("abc", "b", "a"), ("abc", "ba", "c"), ("abc", "abc", "a"),
        ("abc", "cab", "c"), ("abc", "abca", "b"), ("abc", "abcab", "c"), ("a", "", "a"), ("a", "aaa", "a"),
        ("ab", "aab", "a"), ("ab", "aba", "b"),
    ],
)  # fmt: skip
def test_untried_first_in_order_then_the_one_tried_longest_ago(deployments: str, tried: str, chosen: str) -> None:
    route = Route("r", tuple(PLACES[name] for name in deployments))
    assert select(route, tuple(PLACES[name] for name in tried)) is PLACES[chosen]

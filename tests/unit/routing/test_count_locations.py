"""Risk: the tokens of a request are counted outside the geography of its route."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from modelmux.routing.count_locations import other_count_locations
from modelmux.routing.model import Deployment, Route

CARD = builtin().card("claude-sonnet-4-6")


def others(own: str, *geographies: str) -> list[str]:
    deployment = Deployment(f"m@{own}", "https://h.example/v1/m", "p", own, CARD)
    return other_count_locations(Route("m", (deployment,), geographies=geographies), own)


@pytest.mark.parametrize(
    ("own", "geographies", "expected"),
    [
        ("europe-west4", ("eu",), ["eu"]),
        ("europe-west2", ("europe",), ["eu"]),
        ("us-central1", ("us",), ["us"]),
        ("us", ("us",), []),
        ("asia-northeast1", ("asia",), ["asia-southeast1"]),
        ("asia-northeast1", ("asia-northeast1",), []),
        ("me-central1", ("me",), []),
        ("europe-west1", ("eu", "europe-west1"), []),
    ],
)
def test_a_declared_geography_is_not_left(own: str, geographies: tuple[str, ...], expected: list[str]) -> None:
    assert others(own, *geographies) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("europe-west4", ["eu"]),
        ("eu", []),
        ("us-east4", ["us"]),
        ("asia-northeast1", ["asia-southeast1"]),
        ("australia-southeast1", []),
        ("global", ["us", "eu", "asia-southeast1"]),
        ("", []),
    ],
)
def test_without_one_the_deployments_own_is_not_left(own: str, expected: list[str]) -> None:
    assert others(own) == expected

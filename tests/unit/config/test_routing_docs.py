"""docs/routing.md: every example loads, and says what it is said to say."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from modelmux.catalog import locations
from modelmux.config import build_routes, parse
from modelmux.config.cors_origins import read_origins
from modelmux.routing.geography import contains, locations_in
from modelmux.routing.routes import Routes
from modelmux.routing.selection import select

TEXT = (Path(__file__).parents[3] / "docs" / "routing.md").read_text("utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def routes(example: int, day: date = date(2026, 11, 23)) -> Routes:
    config = parse(EXAMPLES[example])
    return build_routes(config, config.build_catalog(), day)


@pytest.mark.parametrize("example", range(6))
def test_every_example_loads(example: int) -> None:
    assert len(EXAMPLES) == 6
    assert routes(example).visible_names
    assert read_origins(parse(EXAMPLES[example]).server.cors_origins) or example != 5


def test_the_places_are_those_that_are_described() -> None:
    found = routes(0)
    assert [(d.location, d.order) for d in found.find("fast").deployments] == [("eu", 0), ("europe-west1", 1)]
    smart = found.find("smart")
    assert [(d.project, d.location, d.weight, d.order) for d in smart.deployments] == [
        ("my-project", "eu", 3, 0), ("my-other-project", "eu", 1, 0), ("my-project", "global", 1, 1),
    ]  # fmt: skip
    assert [select(smart, (), pick).project for pick in (0.0, 0.74, 0.75)] == ["my-project"] * 2 + ["my-other-project"]


def test_the_models_are_those_that_are_described() -> None:
    served = routes(2)
    assert [d.id for d in served.find("smart").deployments] == [
        "smart@eu", "smart@global", "cheap@global", "mixed/claude-opus-4-8@global"
    ]  # fmt: skip
    assert [d.order for d in served.find("smart").deployments] == [0, 1, 2, 4]
    mixed = served.find("mixed")
    assert [select(mixed, (), pick).card.id for pick in (0.0, 0.89, 0.9)] == [
        "claude-sonnet-5", "claude-sonnet-5", "claude-haiku-5-5"
    ]  # fmt: skip
    assert select(mixed, mixed.deployments[:2]).card.id == "claude-opus-4-8"


def test_the_aliases_are_those_that_are_described() -> None:
    for day, chat in ((date(2026, 12, 31), "claude-opus-4-8"), (date(2027, 1, 1), "claude-opus-5")):
        found = routes(3, day)
        meant = {name: found.find(name).deployments[0].card.id for name in ("gpt-4o", "gw-sonnet", "best", "chat")}
        assert meant == {"gpt-4o": "claude-opus-4-8", "gw-sonnet": "claude-sonnet-5", "best": "claude-opus-4-8",
                         "chat": chat}  # fmt: skip


def test_the_geographies_are_those_that_are_described() -> None:
    rows = re.findall(r"^\| (`[^|]*`|any other word) \| (.*) \|$", TEXT, re.MULTILINE)
    assert [name for name, _ in rows] == ["`us`", "`eu`", "`europe`", "any other word"]
    assert {name.strip("`") for name, _ in rows[:3]} == set(locations().geographies)
    for word in re.findall(r"`([^`]*)`", rows[3][1]):
        assert locations_in(word, locations())
    for geography, excluded in (("eu", {"europe-west2", "europe-west6"}), ("europe", set())):
        europe = {region for region in locations().regions if region.startswith("europe-")}
        assert {region for region in europe if not contains(geography, region, locations())} == excluded

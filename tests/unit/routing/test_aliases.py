"""Aliases: chains end, cycles are detected, and the target depends on the day."""

from __future__ import annotations

from datetime import date

import pytest

from modelmux.catalog import builtin
from modelmux.routing.aliases import Alias, by_name, find_cycles, follow
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes

EVE, DAY = date(2026, 11, 30), date(2026, 12, 1)
CATALOG = builtin()


def table(**targets: str) -> dict[str, Alias]:
    return by_name(Alias(name, target) for name, target in targets.items())


def test_the_target_depends_on_the_day() -> None:
    alias = Alias("a", "old", "new", DAY)
    days = (date.min, date(2026, 11, 30), DAY, date.max)
    assert [alias.target_on(day) for day in days] == ["old", "old", "new", "new"]
    assert Alias("a", "old").target_on(date.max) == "old"
    assert Alias("a", "old", "new").target_on(date.max) == "old", "a successor without a date is never used"
    assert (alias.all_targets, Alias("a", "old").all_targets) == (("old", "new"), ("old",))


def test_a_chain_is_followed_to_its_end() -> None:
    aliases = table(a="B", b="c", c="end", end2="END2")
    assert follow(aliases["a"], aliases, DAY) == "end"
    assert follow(aliases["end2"], aliases, DAY) == "END2", (
        "the alias has the name of its target: the model of the catalog"
    )


@pytest.mark.parametrize(
    ("aliases", "cycles"),
    [
        (table(a="b", b="c"), []), (table(a="a"), []), (table(a="b", b="a"), [["a", "b", "a"]]),
        (table(x="a", a="b", b="a"), [["a", "b", "a"]]), (table(a="b", c="b", b="d"), []),
        (table(a="route", route="a"), []),
        (by_name([Alias("a", "x", "b", DAY), Alias("b", "y", "a", DAY)]), [["a", "b", "a"]]),
    ],
)  # fmt: skip
def test_cycles_are_detected_over_all_days(aliases: dict[str, Alias], cycles: list[list[str]]) -> None:
    assert find_cycles(aliases, lambda name: name == "route") == cycles


def test_the_first_alias_of_a_name_wins() -> None:
    assert by_name([Alias("A", "x"), Alias("a", "y")])["a"].model == "x"


def test_an_alias_without_a_target_is_not_served() -> None:
    card = CATALOG.card("claude-opus-5")
    route = Route("r", (Deployment("d", "u", "p", "eu", card),))
    routes = Routes([route], catalog=CATALOG, aliases=[Alias("ghost", "nobody"), Alias("R2", "r")], day=EVE)
    assert list(routes.visible_names) == ["r", "R2"]
    assert routes.route_of(routes.aliases[0]) is None
    assert routes.find("r2") is route
    assert routes.for_day(DAY) is routes, "no alias has a date, and no model is retired in between"

"""Risk: an attempt goes where the last one failed, while another place was free."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.routing.availability import Availability
from modelmux.routing.model import Deployment, Route
from modelmux.routing.selection import select

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


def weighed(**weights: int) -> Route:
    return Route("r", tuple(replace(PLACES[name], weight=weight) for name, weight in weights.items()))


@pytest.mark.parametrize(
    ("weights", "pick", "chosen"),
    [
        ({"a": 1, "b": 3}, 0.0, "a"), ({"a": 1, "b": 3}, 0.2499, "a"), ({"a": 1, "b": 3}, 0.25, "b"),
        ({"a": 1, "b": 3}, 0.9999, "b"), ({"a": 1, "b": 3}, 1.0, "b"), ({"a": 0, "b": 1}, 0.0, "b"),
        ({"a": 1, "b": 0}, 1.0, "a"), ({"a": 0, "b": 0}, 0.9, "a"), ({"a": 2, "b": 0, "c": 2}, 0.5, "c"),
        ({"a": 1}, 0.7, "a"),
    ],
)  # fmt: skip
def test_weights_share_what_chance_gives(weights: dict[str, int], pick: float, chosen: str) -> None:
    assert select(weighed(**weights), (), pick).id == chosen


def test_shares_follow_the_weights() -> None:
    route = weighed(a=5, b=3, c=2)
    ids = [select(route, (), number / 1000).id for number in range(1000)]
    assert [ids.count(name) for name in "abc"] == [500, 300, 200]


def test_a_later_order_waits_until_all_of_the_earlier_have_failed() -> None:
    a, b, c = (replace(PLACES[name], order=order) for name, order in (("a", 7), ("b", 7), ("c", 2)))
    route = Route("r", (a, b, c))
    for pick in (0.0, 0.5, 1.0):
        assert select(route, (), pick) is c
        assert select(route, (c, a), pick) is b
        assert select(route, (c, b), pick) is a
        assert select(route, (c, b, a), pick) is c, "then round again"
    assert select(route, (c,), 0.4) is a
    assert select(route, (c,), 0.6) is b


def test_those_without_weight_come_before_the_next_order() -> None:
    idle, busy, far = replace(PLACES["a"], weight=0), PLACES["b"], replace(PLACES["c"], order=1)
    route = Route("r", (idle, busy, far))
    assert select(route, (), 0.9) is busy
    assert select(route, (busy,), 0.9) is idle
    assert select(route, (busy, idle), 0.9) is far


def standing(state: str) -> Availability:
    """``-`` free, ``3`` with attempts in flight, ``x7`` out until then, ``z7`` without quota until then."""
    if state[0] in "xz":
        return Availability(unavailable=True, available_at=float(state[1:]), quota_is_zero=state[0] == "z")
    return Availability(in_flight=0 if state == "-" else int(state))


@pytest.mark.parametrize(
    ("states", "tried", "chosen"),
    [
        ("x9 - -", "", "b"), ("x9 - -", "b", "c"), ("x9 - -", "bc", "b"), ("x9 - -", "bcb", "c"), ("x9 - -", "a", "b"),
        ("x9 x5 x7", "", "b"), ("x9 x5 x7", "b", "b"), ("z1 x5 x7", "", "b"), ("z3 z2 z4", "", "b"),
        ("2 1 3", "", "b"), ("2 1 2", "b", "a"), ("- x5 1", "", "a"), ("- x5 1", "a", "c"), ("x5 - x3", "b", "b"),
    ],
)  # fmt: skip
def test_those_that_are_out_come_last_and_the_least_busy_first(states: str, tried: str, chosen: str) -> None:
    route = Route("r", tuple(PLACES.values()))
    standings = [standing(state) for state in states.split()]
    assert select(route, tuple(PLACES[name] for name in tried), 0.0, standings).id == chosen


def test_busy_counts_by_weight_and_without_weight_not_at_all() -> None:
    route = weighed(a=4, b=1, c=0)
    assert select(route, (), 0.0, [standing(state) for state in ("3", "1", "-")]).id == "a"
    assert select(route, (), 0.0, [standing(state) for state in ("5", "1", "-")]).id == "b"


def test_a_later_order_serves_while_all_of_the_earlier_are_out() -> None:
    a, b = PLACES["a"], replace(PLACES["b"], order=1)
    route = Route("r", (a, b))
    assert select(route, (), 0.0, [standing("x5"), standing("9")]) is b
    assert select(route, (), 0.0, [standing("-"), standing("-")], b"key") is a


def test_a_conversation_stays_and_comes_back() -> None:
    route, free = Route("r", tuple(PLACES.values())), [standing("-")] * 3
    for number in range(50):
        key = number.to_bytes(8, "big")
        home = select(route, (), number / 50, free, key)
        assert {select(route, (), pick, [standing("9")] * 3, key) for pick in (0.0, 0.5, 1.0)} == {home}
        states = [standing("x5" if place is home else "-") for place in route.deployments]
        refuge = select(route, (), 0.0, states, key)
        assert refuge is not home
        assert select(route, (home,), 0.0, free, key) is refuge


@pytest.mark.parametrize(
    ("in_flight", "chosen"),
    [
        ({"a": 0, "b": 0}, "home"),
        ({"home": 8, "a": 0, "b": 0}, "home"),  # little is in flight: the cache is worth more
        ({"home": 24, "a": 0, "b": 0}, "home"),  # its fair share is 8
        ({"home": 25, "a": 0, "b": 0}, "elsewhere"),
        ({"home": 25, "a": 20, "b": 20}, "home"),
        ({"home": 100, "a": 100, "b": 100}, "home"),
    ],
)
def test_a_conversation_leaves_its_place_only_when_that_is_crowded(in_flight: dict[str, int], chosen: str) -> None:
    """The largest of three gets its turn by the key; what it has in flight decides whether it stays."""
    route = weighed(a=1, b=1, c=1)
    key = b"a conversation"
    home = select(route, (), availability=[Availability()] * 3, affinity_key=key)
    names = iter("ab")
    standings = [
        Availability(in_flight=in_flight.get("home" if place is home else next(names), 0))
        for place in route.deployments
    ]
    went = select(route, (), availability=standings, affinity_key=key)
    assert (went is home) == (chosen == "home")


def test_a_place_without_weight_takes_no_conversation_from_a_crowded_one() -> None:
    route = weighed(a=1, b=0)
    standings = [Availability(in_flight=50), Availability(in_flight=9)]
    assert select(route, (), availability=standings, affinity_key=b"k").id == "a"

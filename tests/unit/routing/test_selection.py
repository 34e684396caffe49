"""Risk: an attempt goes to the deployment that just failed although another one was available."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.routing.availability import Availability
from modelmux.routing.model import Deployment, Route
from modelmux.routing.selection import select

CARD = builtin().card("claude-opus-4-6")
DEPLOYMENTS = {name: Deployment(name, f"https://{name}", "p", name, CARD) for name in "abc"}


@pytest.mark.parametrize(
    ("deployments", "attempted", "chosen"),
    [
        ("abc", "", "a"), ("abc", "a", "b"), ("abc", "b", "a"), ("abc", "ba", "c"), ("abc", "abc", "a"),
        ("abc", "cab", "c"), ("abc", "abca", "b"), ("abc", "abcab", "c"), ("a", "", "a"), ("a", "aaa", "a"),
        ("ab", "aab", "a"), ("ab", "aba", "b"),
    ],
)  # fmt: skip
def test_unattempted_deployments_first_then_the_one_attempted_longest_ago(
    deployments: str, attempted: str, chosen: str
) -> None:
    route = Route("r", tuple(DEPLOYMENTS[name] for name in deployments))
    assert select(route, tuple(DEPLOYMENTS[name] for name in attempted)) is DEPLOYMENTS[chosen]


def weighted(**weights: int) -> Route:
    return Route("r", tuple(replace(DEPLOYMENTS[name], weight=weight) for name, weight in weights.items()))


@pytest.mark.parametrize(
    ("weights", "random", "chosen"),
    [
        ({"a": 1, "b": 3}, 0.0, "a"), ({"a": 1, "b": 3}, 0.2499, "a"), ({"a": 1, "b": 3}, 0.25, "b"),
        ({"a": 1, "b": 3}, 0.9999, "b"), ({"a": 1, "b": 3}, 1.0, "b"), ({"a": 0, "b": 1}, 0.0, "b"),
        ({"a": 1, "b": 0}, 1.0, "a"), ({"a": 0, "b": 0}, 0.9, "a"), ({"a": 2, "b": 0, "c": 2}, 0.5, "c"),
        ({"a": 1}, 0.7, "a"),
    ],
)  # fmt: skip
def test_weights_divide_the_random_range(weights: dict[str, int], random: float, chosen: str) -> None:
    assert select(weighted(**weights), (), random).id == chosen


def test_shares_follow_the_weights() -> None:
    route = weighted(a=5, b=3, c=2)
    ids = [select(route, (), number / 1000).id for number in range(1000)]
    assert [ids.count(name) for name in "abc"] == [500, 300, 200]


def test_a_later_order_is_used_after_all_of_the_earlier_have_failed() -> None:
    a, b, c = (replace(DEPLOYMENTS[name], order=order) for name, order in (("a", 7), ("b", 7), ("c", 2)))
    route = Route("r", (a, b, c))
    for random in (0.0, 0.5, 1.0):
        assert select(route, (), random) is c
        assert select(route, (c, a), random) is b
        assert select(route, (c, b), random) is a
        assert select(route, (c, b, a), random) is c, "starts over"
    assert select(route, (c,), 0.4) is a
    assert select(route, (c,), 0.6) is b


def test_deployments_of_weight_zero_come_before_the_next_order() -> None:
    idle, busy, later = replace(DEPLOYMENTS["a"], weight=0), DEPLOYMENTS["b"], replace(DEPLOYMENTS["c"], order=1)
    route = Route("r", (idle, busy, later))
    assert select(route, (), 0.9) is busy
    assert select(route, (busy,), 0.9) is idle
    assert select(route, (busy, idle), 0.9) is later


def availability_of(state: str) -> Availability:
    """``-`` idle, ``3`` attempts in flight, ``x7`` unavailable until 7, ``z7`` without quota until 7."""
    if state[0] in "xz":
        return Availability(unavailable=True, available_at=float(state[1:]), quota_is_zero=state[0] == "z")
    return Availability(in_flight=0 if state == "-" else int(state))


@pytest.mark.parametrize(
    ("states", "attempted", "chosen"),
    [
        ("x9 - -", "", "b"), ("x9 - -", "b", "c"), ("x9 - -", "bc", "b"), ("x9 - -", "bcb", "c"), ("x9 - -", "a", "b"),
        ("x9 x5 x7", "", "b"), ("x9 x5 x7", "b", "b"), ("z1 x5 x7", "", "b"), ("z3 z2 z4", "", "b"),
        ("2 1 3", "", "b"), ("2 1 2", "b", "a"), ("- x5 1", "", "a"), ("- x5 1", "a", "c"), ("x5 - x3", "b", "b"),
    ],
)  # fmt: skip
def test_unavailable_deployments_come_last_and_the_least_loaded_first(states: str, attempted: str, chosen: str) -> None:
    route = Route("r", tuple(DEPLOYMENTS.values()))
    availability = [availability_of(state) for state in states.split()]
    assert select(route, tuple(DEPLOYMENTS[name] for name in attempted), 0.0, availability).id == chosen


def test_load_is_relative_to_the_weight() -> None:
    route = weighted(a=4, b=1, c=0)
    assert select(route, (), 0.0, [availability_of(state) for state in ("3", "1", "-")]).id == "a"
    assert select(route, (), 0.0, [availability_of(state) for state in ("5", "1", "-")]).id == "b"


def test_a_later_order_serves_while_all_of_the_earlier_are_unavailable() -> None:
    a, b = DEPLOYMENTS["a"], replace(DEPLOYMENTS["b"], order=1)
    route = Route("r", (a, b))
    assert select(route, (), 0.0, [availability_of("x5"), availability_of("9")]) is b
    assert select(route, (), 0.0, [availability_of("-"), availability_of("-")], b"key") is a


def test_a_conversation_returns_to_its_deployment() -> None:
    route, free = Route("r", tuple(DEPLOYMENTS.values())), [availability_of("-")] * 3
    for number in range(50):
        key = number.to_bytes(8, "big")
        home = select(route, (), number / 50, free, key)
        assert {select(route, (), random, [availability_of("9")] * 3, key) for random in (0.0, 0.5, 1.0)} == {home}
        states = [availability_of("x5" if deployment is home else "-") for deployment in route.deployments]
        other = select(route, (), 0.0, states, key)
        assert other is not home
        assert select(route, (home,), 0.0, free, key) is other


@pytest.mark.parametrize(
    ("in_flight", "chosen"),
    [
        ({"a": 0, "b": 0}, "home"),
        ({"home": 8, "a": 0, "b": 0}, "home"),  # within the slack: the cache is worth more
        ({"home": 24, "a": 0, "b": 0}, "home"),  # its fair share is 8
        ({"home": 25, "a": 0, "b": 0}, "elsewhere"),
        ({"home": 25, "a": 20, "b": 20}, "home"),
        ({"home": 100, "a": 100, "b": 100}, "home"),
    ],
)
def test_a_conversation_leaves_its_deployment_only_above_the_bounded_load(
    in_flight: dict[str, int], chosen: str
) -> None:
    """The key selects one of three deployments; its attempts in flight decide whether it is used."""
    route = weighted(a=1, b=1, c=1)
    key = b"a conversation"
    home = select(route, (), availability=[Availability()] * 3, affinity_key=key)
    names = iter("ab")
    availability = [
        Availability(in_flight=in_flight.get("home" if deployment is home else next(names), 0))
        for deployment in route.deployments
    ]
    chosen_deployment = select(route, (), availability=availability, affinity_key=key)
    assert (chosen_deployment is home) == (chosen == "home")


def test_a_deployment_of_weight_zero_takes_no_conversation_from_an_overloaded_one() -> None:
    route = weighted(a=1, b=0)
    availability = [Availability(in_flight=50), Availability(in_flight=9)]
    assert select(route, (), availability=availability, affinity_key=b"k").id == "a"

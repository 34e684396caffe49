"""Risk: each request pays for a beta that a location refuses, a refusal outlives the upstream's next release, or
clients fill the memory with names."""

from __future__ import annotations

from modelmux.gateway.refusals import _MAX_REFUSALS, REFUSAL_SECONDS, Refusals


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_refusal_holds_for_its_location_and_for_an_hour() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    assert refusals.of("eu") == frozenset()
    refusals.add("eu", ["a"])
    clock.now += REFUSAL_SECONDS / 2
    refusals.add("eu", ["b"])
    refusals.add("us", ["c"])
    assert refusals.of("eu") == {"a", "b"}
    assert refusals.of("eu") is refusals.of("eu"), "computed once"
    assert refusals.of("us") == {"c"}
    assert refusals.of("asia") == frozenset()
    clock.now += REFUSAL_SECONDS / 2 - 1
    assert refusals.of("eu") == {"a", "b"}
    clock.now += 1
    assert refusals.of("eu") == {"b"}
    clock.now += REFUSAL_SECONDS
    assert refusals.of("eu") == refusals.of("us") == frozenset()


def test_a_refusal_that_recurs_holds_for_another_hour() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    refusals.add("eu", ["a"])
    clock.now += REFUSAL_SECONDS - 1
    refusals.add("eu", ["a"])
    clock.now += REFUSAL_SECONDS - 1
    assert refusals.of("eu") == {"a"}


def test_the_oldest_are_forgotten_when_there_are_too_many() -> None:
    refusals = Refusals(Clock())
    refusals.add("eu", map(str, range(_MAX_REFUSALS)))
    refusals.add("eu", ["0", "new"])
    names = refusals.of("eu")
    assert len(names) == _MAX_REFUSALS
    assert "1" not in names
    assert {"0", "2", "new"} <= names

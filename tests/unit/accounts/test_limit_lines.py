"""Risk: who came later is admitted earlier, a line is forgotten with someone in it, or one limit holds up another."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from modelmux.accounts.limit_lines import Ahead, LimitLines, Waiter


def waiter(at: float, **needs: int) -> Waiter:
    return Waiter((at, 0), needs)


def test_those_before_count_in_the_limits_for_which_they_wait() -> None:
    lines, first, second = LimitLines(), waiter(1.0, key=5, team=5), waiter(2.0, key=1, team=1)
    lines.join(first, "key")
    assert (lines.ahead("key", second), lines.ahead("team", second)) == (Ahead(5, 5), Ahead()), (
        "it holds up nobody in its team"
    )
    assert lines.ahead("key", first) == Ahead()
    assert lines.ahead("key", waiter(0.5, key=1)) == Ahead(), "whoever came before it does not wait for it"
    lines.join(second, "key")
    assert lines.ahead("key", waiter(3.0, key=1)) == Ahead(6, 5)
    assert (lines.is_first(first), lines.is_first(second), lines.is_first(waiter(0.0))) == (True, False, False)


def test_who_leaves_a_line_makes_another_one_the_first() -> None:
    lines, first, second = LimitLines(), waiter(1.0, key=1, team=1), waiter(2.0, key=1)
    lines.join(second, "key")
    assert lines.join(first, "key") is None
    assert lines.is_first(first), "it came earlier"
    assert lines.join(first, "key") is None, "it is there already"
    assert lines.firsts(["team", "key"]) == [first]
    assert lines.join(first, "team") is second
    assert lines.firsts(["team", "key"]) == [first, second]
    assert lines.leave(second) is None
    assert lines.leave(second) is None
    assert (len(lines), lines.firsts(["key"])) == (1, [])


def of(key: str, at: float, size: int = 0) -> Waiter:
    return Waiter((at, 0), {"limit": 1}, key, size)


def lines_of(*waiters: Waiter) -> LimitLines:
    lines = LimitLines()
    for one in waiters:
        lines.join(one, "limit")
    return lines


def test_a_key_gives_up_places_for_one_that_has_fewer() -> None:
    first, second, third = of("a", 1.0), of("a", 2.0), of("b", 3.0)
    lines = lines_of(first, second, third)
    assert lines.displaced_by(of("c", 4.0), 4, 0) == (), "there is a place"
    assert lines.displaced_by(of("c", 4.0), 3, 0) == [second], "the newest one"
    assert lines.displaced_by(of("c", 4.0), 2, 0) is None, "then no key has more places than this one would have"
    assert lines.displaced_by(of("b", 4.0), 3, 0) is None, "it would have as many"
    assert lines.displaced_by(of("a", 4.0), 3, 0) is None
    assert LimitLines().displaced_by(of("a", 4.0), 0, 0) is None
    lines.leave(second)
    assert lines.displaced_by(of("c", 4.0), 2, 0) is None
    assert len(lines) == 2, "nobody has left by being asked for"


def test_a_key_gives_up_bytes_for_one_that_has_fewer() -> None:
    small, large, other = of("a", 2.0, 10), of("a", 1.0, 60), of("b", 3.0, 20)
    lines = lines_of(small, large, other)
    assert lines.displaced_by(of("c", 4.0, 10), 9, 100) == ()
    assert lines.displaced_by(of("c", 4.0, 11), 9, 100) == [large], "the largest one, though it came first"
    assert lines.displaced_by(of("b", 4.0, 49), 9, 100) == [large]
    assert lines.displaced_by(of("b", 4.0, 50), 9, 100) is None, "its key would have as many"
    assert lines.displaced_by(of("a", 4.0, 11), 9, 100) is None
    assert lines.displaced_by(of("c", 4.0, 101), 9, 100) is None, "more than all may have"
    assert lines_of().displaced_by(of("c", 4.0, 100), 9, 100) == ()
    lines.leave(large)
    assert lines.displaced_by(of("c", 4.0, 70), 9, 100) == (), "bytes of those that left count no more"


class Lines(RuleBasedStateMachine):
    """Against lists that are sorted anew each time."""

    waiters = Bundle("waiters")

    def __init__(self) -> None:
        super().__init__()
        self.lines = LimitLines()
        self.model: list[Waiter] = []
        self.number = 0

    @rule(target=waiters, at=st.integers(0, 5), need=st.integers(1, 9))
    def come(self, at: int, need: int) -> Waiter:
        self.number += 1
        return Waiter((float(at), self.number), {"a": need, "b": need})

    @rule(one=waiters, name=st.sampled_from("ab"))
    def join(self, one: Waiter, name: str) -> None:
        self.lines.join(one, name)
        if one not in self.model:
            self.model.append(one)

    @rule(one=consumes(waiters))
    def leave(self, one: Waiter) -> None:
        before = one.line
        first = self.lines.leave(one)
        self.model = [other for other in self.model if other is not one]
        rest = [other for other in self.model if other.line == before and before is not None]
        assert first is (min(rest, key=lambda other: other.arrival) if rest else None)

    @invariant()
    def agree(self) -> None:
        assert len(self.lines) == len(self.model)
        for one in self.model:
            assert one.line is not None
            before = [o for o in self.model if o.line == one.line and o.arrival < one.arrival]
            first = min(before, key=lambda o: o.arrival).needs[one.line] if before else None
            assert self.lines.ahead(one.line, one) == Ahead(sum(o.needs[one.line] for o in before), first)
            assert self.lines.is_first(one) == (not before)


TestLines = Lines.TestCase

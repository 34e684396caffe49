"""Which request is the turn before: clients send others in the same session, and some turns fail."""

from __future__ import annotations

from modelmux.store.traces.previous_turn import model_of, previous_turn
from modelmux.store.traces.record import Trace
from support.traces import trace

HAIKU = "claude-haiku-4-5"


def test_it_is_the_latest_that_begins_with_the_same_message() -> None:
    earlier = [trace(4, ["title"], model=HAIKU), trace(3, ["a", "b", "c"]), trace(2, ["a"])]
    assert previous_turn(trace(5, ["a", "b", "c", "d", "e"]), earlier) is earlier[1]
    assert previous_turn(trace(5, ["a"]), []) is None


def test_a_turn_that_no_model_has_read_does_not_count() -> None:
    earlier = [trace(4, ["a", "b", "c"], tokens=None), trace(3, ["a"], operation="count_tokens"), trace(2, ["a"])]
    assert previous_turn(trace(5, ["a", "b", "c"]), earlier) is earlier[2]


def test_where_the_first_message_was_changed_it_is_the_latest_with_the_same_model() -> None:
    earlier = [trace(4, ["title"], model=HAIKU), trace(3, ["a", "b", "c"])]
    assert previous_turn(trace(5, ["A", "b", "c", "d", "e"]), earlier) is earlier[1]
    assert previous_turn(trace(5, ["A", "b", "c"], model="other"), earlier) is None


def test_a_conversation_that_begins_has_none_though_its_session_has_others() -> None:
    assert previous_turn(trace(5, ["z"]), [trace(4, ["a", "b", "c"])]) is None


def test_what_has_no_prompt_has_none() -> None:
    assert previous_turn(Trace(trace(5).request), [trace(4)]) is None
    assert model_of(Trace(trace(5, attempts=()).request)) is None

"""Risk: processes are taken for lost because the store stood still, or because clocks differ."""

from __future__ import annotations

from modelmux.accounts.silence import LOST_AFTER, WATCHED, Silences


def test_a_process_that_is_overdue_is_lost_when_it_was_watched() -> None:
    silences = Silences()
    assert silences.look({"a": (5, True)}, 1_000.0) == []
    assert silences.look({"a": (5, True)}, 1_000.0 + WATCHED - 1) == []
    assert silences.look({"a": (5, True)}, 1_000.0 + WATCHED) == ["a"]
    assert silences.look({}, 2_000.0) == []


def test_one_that_is_not_overdue_or_renews_its_leases_is_not_lost() -> None:
    """A clock of the store that is set ahead makes all of them overdue, but not silent."""
    silences = Silences()
    for number in range(20):
        now = 30.0 * number
        assert silences.look({"a": (5, False), "b": (number, True)}, now) == []


def test_a_store_that_stood_still_gives_time_to_renew() -> None:
    silences = Silences()
    assert silences.look({"a": (5, False)}, 0.0) == []
    assert silences.look({"a": (5, True)}, 3_600.0) == [], "no look in between had an answer"
    assert silences.look({"a": (5, True)}, 3_630.0) == ["a"]


def test_where_the_store_cannot_tell_it_takes_ten_minutes_of_silence() -> None:
    silences = Silences()
    for now in (0.0, LOST_AFTER):
        assert silences.look({"a": (5, None)}, now) == []
    assert silences.look({"a": (5, None)}, LOST_AFTER + 1) == ["a"]
    assert silences.look({"a": (6, None)}, 2 * LOST_AFTER) == []

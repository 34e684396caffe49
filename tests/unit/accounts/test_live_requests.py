"""Risk: a question chooses requests of others, or an id is taken for that of another worker."""

from __future__ import annotations

import pytest

from modelmux.accounts.directory import Directory
from modelmux.accounts.live_requests import (
    EndLive,
    ListLive,
    LiveEnd,
    LiveList,
    LiveQuestion,
    LiveRequest,
    decode_answer,
    decode_question,
    encode,
    is_of_caller,
    matches,
    worker_of,
)
from modelmux.accounts.live_views import live_view, newest_first
from support.admin import live_request

ONE = live_request("live_1_a_1")
OTHER = live_request("live_2_b_1", key="static_1", person=None, team="", model=None, route=None, requested_model=None)


@pytest.mark.parametrize(
    ("question", "chosen"),
    [
        (ListLive(), [ONE, OTHER]),
        (ListLive(where=(("key", ("key_own", "key_x")),)), [ONE]),
        (ListLive(where=(("key", ("static_1",)), ("key", ("key_own",)))), []),
        (ListLive(where=(("person", ("usr_own",)),)), [ONE]),
        (ListLive(where=(("team", ("team_top",)),)), [ONE]),
        (ListLive(where=(("team", ("team",)),)), []),
        (ListLive(where=(("model", ("claude-sonnet-4-6",)),)), [ONE]),
        (ListLive(where=(("model", ("fast",)),)), [ONE]),
        (ListLive(where=(("model", ("slow",)),)), []),
        (ListLive(where=(("key", ()),)), []),
        (ListLive(id="live_2_b_1"), [OTHER]),
        (ListLive(state="queued"), []),
        (ListLive(min_age=1.5), [ONE, OTHER]),
        (ListLive(min_age=1.6), []),
    ],
)  # fmt: skip
def test_a_question_chooses(question: ListLive, chosen: list[LiveRequest]) -> None:
    assert [one for one in (ONE, OTHER) if matches(question, one)] == chosen


def test_a_caller_without_a_person_is_nobody() -> None:
    assert not is_of_caller((("person", ("usr_own",)),), "key_own", None, "")


@pytest.mark.parametrize("question", [ListLive(where=(("key", ("a",)),), state="queued", limit=5), EndLive(id="live")])
def test_questions_and_answers_arrive_as_they_were_sent(question: LiveQuestion) -> None:
    assert decode_question(encode(question)) == question
    for answer in (LiveList(requests=[ONE, OTHER], more=3), LiveEnd(ended=True)):
        assert decode_answer(encode(answer)) == answer


@pytest.mark.parametrize(
    ("id", "worker"),
    [
        ("live_1_a_1", 1), ("live_12_5eed_9", 12), ("live_0_a_1", None), ("live_x_a_1", None), ("live_1_a", None),
        ("live_²_a_1", None), ("live_12345_a_1", None), ("req_1_a_1", None), ("live_1_a_1_2", None), ("", None),
    ],
)  # fmt: skip
def test_an_id_names_its_worker(id: str, worker: int | None) -> None:
    assert worker_of(id) == worker


def test_the_newest_are_first_whichever_worker_runs_them() -> None:
    ages = {"live_1_a_1": 3.0, "live_2_b_1": 0.5, "live_1_a_2": 1.0}
    requests = [live_request(id, age=age) for id, age in ages.items()]
    assert [one.age for one in newest_first(requests)] == [0.5, 1.0, 3.0]


def test_of_a_key_without_a_record_the_id_is_shown() -> None:
    view = live_view(Directory(), OTHER, 2_000_000)
    assert (view.key, view.key_name, view.team, view.team_name, view.person_email) == (
        "static_1",
        None,
        None,
        None,
        None,
    )
    assert (view.request, view.held, view.first_content_seconds) == (None, None, None)
    assert view.started_at == "1970-01-01T00:00:00.500000Z"

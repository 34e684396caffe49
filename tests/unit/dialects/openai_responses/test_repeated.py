"""A client that continues a response and sends items of it again: each item is there once, and nothing is lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelmux.dialects.openai_responses.entries import read_items
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.repeated import without_repeated
from modelmux.dialects.stored_responses import History
from support.responses_requests import decoded

QUESTION = {"role": "user", "content": "weather?"}
QUESTION_IN_PARTS = {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": []}
WORDS = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Let me"}]}
WORDS_AGAIN = {"role": "assistant", "content": "Let me"}


def call(id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"}


def result(id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": "18"}


A, B, OF_A, OF_B = call("a"), call("b"), result("a"), result("b")
ID, OTHER = {"id": "fc_1"}, {"id": "fc_2"}
BEFORE = [QUESTION, THOUGHT, WORDS, A]
IMAGE = {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]}


@pytest.mark.parametrize(
    ("before", "sent", "expected"),
    [
        pytest.param(BEFORE, [OF_A], [OF_A], id="only what is new"),
        pytest.param(BEFORE, [QUESTION, WORDS_AGAIN, A, OF_A], [OF_A], id="the turn"),
        pytest.param(BEFORE, [QUESTION_IN_PARTS, A, OF_A], [OF_A], id="the turn, in parts"),
        pytest.param(BEFORE, [A, OF_A], [OF_A], id="the call"),
        pytest.param(BEFORE, [THOUGHT, A, OF_A], [OF_A], id="the call with its thinking"),
        pytest.param([*BEFORE, B], [QUESTION, A, B, OF_A, OF_B], [OF_A, OF_B], id="parallel calls"),
        pytest.param([*BEFORE, OF_A, B], [QUESTION, A, OF_A, B, OF_B], [OF_B], id="a later call of the turn"),
        pytest.param([*BEFORE, OF_A, WORDS], [QUESTION, A, OF_A, IMAGE], [IMAGE], id="a turn that has ended"),
        pytest.param([IMAGE, A], [IMAGE, A, OF_A], [OF_A], id="an image"),
        pytest.param(BEFORE, [QUESTION], [QUESTION], id="a question is asked again"),
        pytest.param([QUESTION, WORDS], [A, OF_A], [A, OF_A], id="no call before"),
        pytest.param(BEFORE, [B, OF_B], [B, OF_B], id="another call"),
        pytest.param(BEFORE, [IMAGE, A, OF_A], [IMAGE, A, OF_A], id="something else before the call"),
        pytest.param([A], [QUESTION, A, OF_A], [QUESTION, A, OF_A], id="more than there was"),
        pytest.param([A, OF_A], [A], [A], id="less than there was"),
        pytest.param([A | ID], [A | ID, OF_A], [OF_A], id="the call with its id"),
        pytest.param([A | ID], [A | OTHER, OF_A], [A | OTHER, OF_A], id="a call of the same name with another id"),
    ],
)
def test_each_item_is_there_once(before: list[Any], sent: list[Any], expected: list[Any]) -> None:
    encode = msgspec.json.encode
    entries = read_items([encode(item) for item in sent], "input")
    kept = without_repeated(read_items([encode(item) for item in before], "previous_response_id"), entries)
    assert [msgspec.json.decode(entry.raw or b"") for entry in kept] == expected


def test_reasoning_that_is_not_stored_any_more_is_passed_over() -> None:
    gone = msgspec.structs.replace(read_items([msgspec.json.encode(THOUGHT)], "input")[0], raw=None)
    sent = read_items([msgspec.json.encode(item) for item in (A, OF_A)], "input")
    before = read_items([msgspec.json.encode(A)], "previous_response_id")
    assert without_repeated(before, [gone, *sent]) == sent[1:]


def test_a_turn_that_is_sent_again_is_the_same_upstream_and_stored_once() -> None:
    history = History(tuple(msgspec.json.encode(item) for item in BEFORE))
    continued = {"previous_response_id": "resp_1"}
    new = decoded({**continued, "input": [OF_A]}, history=history)
    again = decoded({**continued, "input": [QUESTION, WORDS_AGAIN, A, OF_A]}, history=history)
    assert again.request is not None
    assert again.request == new.request
    assert isinstance(again.plan, ResponsesPlan)
    assert [msgspec.json.decode(item.data) for item in again.plan.input_items] == [OF_A]

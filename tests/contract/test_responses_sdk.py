"""The openai SDK as a judge of responses: it takes what OpenAI sends, and finds what is wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from support.recordings import responses_exchanges
from support.responses_contract import REFUSED, RIGHT, USAGE, response
from support.responses_mutations import raw
from support.responses_sdk import Invalid, accumulate, check_event, check_item, check_response, check_stream

#: Recorded streams that the SDK's helper does not take.
NOT_TAKEN = {
    "rsp-openai-shell-container-1-9fae29": "texts were shortened by hand",
    "rsp-providers-bedrock-mantle-responses-chat-streams-through-the-resp-8e10c9": "another server: reasoning text",
    "rsp-test-background-mode-streaming-starting-after-vcr-44363a": "a replay from its second event on",
}


@pytest.mark.parametrize("exchange", [param for param in responses_exchanges("sse") if param.id not in NOT_TAKEN])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_the_helper_takes_recorded_streams(exchange: dict[str, Any]) -> None:
    taken = accumulate(exchange["response"]["sse"].encode())
    assert (taken is not None) == ("terminal:response.completed" in exchange["features"])


@pytest.mark.parametrize("name", RIGHT)
def test_it_takes_streams_of_the_contract(name: str) -> None:
    check_stream(raw(RIGHT[name]))
    completed = accumulate(raw(RIGHT[name]))
    assert (completed is not None) == (RIGHT[name][-1]["type"] == "response.completed")


def test_it_takes_a_response() -> None:
    check_response(response("completed", output=[REFUSED], usage=USAGE, metadata={"a": "b"}))
    check_item(REFUSED)


@pytest.mark.parametrize(
    "fields",
    [
        {"invented": 1},
        {"temperature": "1"},
        {"status": "done"},
        {"usage": USAGE | {"cost": 1}},
        {"usage": {name: value for name, value in USAGE.items() if name != "input_tokens_details"}},
        {"output": [REFUSED | {"invented": 1}]},
        {"output": [REFUSED | {"content": [REFUSED["content"][0] | {"invented": None}]}]},
        {"output": [REFUSED | {"type": "invented"}]},
        {"error": {"code": "overloaded", "message": "?"}},
        {"tools": [{"type": "function"}]},
    ],
)
def test_it_finds_what_is_wrong_in_a_response(fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        check_response(response(usage=USAGE) | fields)


def test_it_finds_what_is_wrong_in_an_event() -> None:
    event = RIGHT["refusal"][4]
    check_event(event)
    for wrong in (event | {"invented": 1}, event | {"delta": None}, event | {"type": "invented"}, {}):
        with pytest.raises(Invalid):
            check_event(wrong)


def test_it_finds_an_item_that_changes_its_identity() -> None:
    events = copy.deepcopy(RIGHT["refusal"])
    events[-2]["item"]["id"] = "msg_2"
    with pytest.raises(RuntimeError, match="identity"):
        accumulate(raw(events))

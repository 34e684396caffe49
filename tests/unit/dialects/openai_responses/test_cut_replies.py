"""Risk: a client that asks again after a broken stream, with what it had got, is refused or loses its thinking.

Codex sends back the items that were complete: thinking alone, or thinking and a message that no call follows.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from modelmux.catalog import builtin
from modelmux.claude.options import Options
from modelmux.claude.prefill import CONTINUE
from modelmux.errors import InvalidRequest
from support.responses_requests import Json, assistant, call, decoded, notices, output, prepared, reasoning, turns, user

CUT = assistant("I will") | {"id": "msg_1"}
ASK = {"role": "user", "content": [{"type": "text", "text": CONTINUE}]}


def kinds(messages: list[Json]) -> list[tuple[str, list[str]]]:
    return [(message["role"], [block["type"] for block in message["content"]]) for message in messages]


def sent(items: list[Json], model: str, **options: Any) -> list[Json]:
    request = prepared(decoded({"input": items}), builtin().card(model), Options(**options))
    messages: list[Json] = json.loads(msgspec.json.encode(request.body.messages))
    for message in messages:
        for block in message["content"]:
            block.pop("cache_control", None)
    return messages


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "claude-opus-5-5", "claude-haiku-4-5"])
def test_a_reply_that_was_cut_off_is_continued_by_every_model(model: str) -> None:
    items = [user("go"), CUT]
    assert sent(items, model)[-1] == ASK
    assert ("added", "input") in [
        (notice.action, notice.field) for notice in prepared(decoded({"input": items}), builtin().card(model)).notices
    ]


def test_the_beginning_of_an_answer_that_a_client_wrote_is_prefill() -> None:
    items = [user("go"), assistant("I will")]
    assert sent(items, "claude-haiku-4-5")[-1]["role"] == "assistant"
    with pytest.raises(InvalidRequest, match="does not support prefill"):
        sent(items, "claude-opus-5-5")


def test_thinking_of_a_reply_of_which_nothing_else_came_is_left_out_each_time() -> None:
    cut = [user("go"), reasoning(0, "resp_1")]
    again = [*cut, reasoning(0, "resp_2"), reasoning(1, "resp_2"), call(), output()]
    assert kinds(turns(cut)) == [("user", ["text"])]
    assert kinds(turns(again)) == [
        ("user", ["text"]), ("assistant", ["thinking", "thinking", "tool_use"]), ("user", ["tool_result"])
    ]  # fmt: skip
    assert turns(again)[1]["content"][0]["thinking"].startswith("hm resp_2")
    assert notices({"input": again}) == [("dropped", "input.1")]


def test_a_message_of_a_reply_that_was_cut_off_stays_what_it_was() -> None:
    """The second reply was made with the request to continue in its prompt, and its thinking is bound to that."""
    cut = [user("go"), reasoning(0, "resp_1", model="claude-opus-5-5"), CUT]
    first = sent(cut, "claude-opus-5-5", prefill="reject")
    again = [*cut, reasoning(0, "resp_2", model="claude-opus-5-5"), call(), output()]
    later = sent(again, "claude-opus-5-5", prefill="reject")
    assert kinds(later) == [
        ("user", ["text"]), ("assistant", ["thinking", "text"]), ("user", ["text"]),
        ("assistant", ["thinking", "tool_use"]), ("user", ["tool_result"]),
    ]  # fmt: skip
    assert later[: len(first)] == first
    assert ("added", "input.3") in notices({"input": again})


def test_a_call_of_a_reply_that_was_cut_off_was_not_answered() -> None:
    items = [user("go"), reasoning(0, "resp_1"), call("c1"), reasoning(0, "resp_2"), call("c2"), output("c2")]
    assert kinds(turns(items)) == [
        ("user", ["text"]), ("assistant", ["thinking", "tool_use"]), ("user", ["tool_result", "text"]),
        ("assistant", ["thinking", "tool_use"]), ("user", ["tool_result"]),
    ]  # fmt: skip


def test_one_response_may_think_again_and_again() -> None:
    items = [user("go"), reasoning(0), CUT, reasoning(1), call(), output(), reasoning(0, "resp_2"), CUT, user("more")]
    assert kinds(turns(items)) == [
        ("user", ["text"]), ("assistant", ["thinking", "text", "thinking", "tool_use"]), ("user", ["tool_result"]),
        ("assistant", ["thinking", "text"]), ("user", ["text"]),
    ]  # fmt: skip
    assert notices({"input": items}) == []

"""Risk: a conversation the upstream refuses: calls without results, results out of place, ids it does not take."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from modelmux.claude.context import Context

from modelmux.claude.conversation import Turns
from modelmux.wire.anthropic import EPHEMERAL, CacheControl, TextBlock, ThinkingBlock
from support.translation import SONNET


def context() -> Context:
    return Context(SONNET)


def noted(ctx: Context) -> list[tuple[str, str]]:
    return [(notice.action, notice.field) for notice in ctx.notices.items]


def plain(blocks: list[Any]) -> list[dict[str, Any]]:
    """Blocks as the JSON they become."""
    found: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(blocks))
    return found


def text(words: str) -> TextBlock:
    return TextBlock(words)


def told(turns: Turns) -> list[tuple[str, list[str]]]:
    """The turns, each block in short."""
    said: list[tuple[str, list[str]]] = []
    for message in turns.finish():
        found: list[str] = []
        for block in plain(message.content):
            kind = block["type"]
            if kind == "text":
                found.append(block["text"])
            elif kind == "tool_use":
                found.append(f"call {block['id']}")
            else:
                wrong = " !" if block.get("is_error") else ""
                found.append(f"result {block['tool_use_id']}: {block.get('content')}{wrong}")
        said.append((message.role, found))
    return said


def test_turns_of_one_side_become_one() -> None:
    turns = Turns(context())
    turns.user(text("a"))
    turns.user(text("b"), text("c"))
    turns.assistant(text("d"))
    turns.assistant(text("e"))
    assert told(turns) == [("user", ["a", "b", "c"]), ("assistant", ["d", "e"])]


def test_results_in_any_order_stand_first_in_one_turn() -> None:
    ctx = context()
    turns = Turns(ctx)
    turns.user(text("go"))
    turns.call("c1", "look", {}, "w")
    turns.call("c2", "look", {}, "w")
    turns.user(text("meanwhile"))
    turns.result("c2", "two", "w")
    turns.result("c1", None, "w")
    turns.user(text("after"))
    assert told(turns) == [
        ("user", ["go"]),
        ("assistant", ["call c1", "call c2"]),
        ("user", ["result c2: two", "result c1: None", "meanwhile", "after"]),
    ]
    assert noted(ctx) == []


NO_RESULT = "No result: the tool call was not answered. !"


def test_a_call_nobody_answered_gets_an_error_result_at_the_end() -> None:
    ctx = context()
    turns = Turns(ctx)
    turns.call("c1", "look", {}, "w")
    turns.call("c2", "look", {}, "w")
    turns.result("c2", "two", "w")
    assert told(turns)[1:] == [("user", ["result c2: two", f"result c1: {NO_RESULT}"])]
    assert noted(ctx) == [("added", "messages")]


def test_a_call_nobody_answered_is_settled_before_the_next_answer_and_a_late_result_is_text() -> None:
    ctx = context()
    turns = Turns(ctx)
    turns.user(text("go"))
    turns.call("c1", "look", {}, "w")
    turns.user(text("never mind"))
    turns.replied()
    turns.assistant(text("fine"))
    turns.result("c1", "late", "messages.4.tool_call_id")
    assert told(turns) == [
        ("user", ["go"]),
        ("assistant", ["call c1"]),
        ("user", [f"result c1: {NO_RESULT}", "never mind"]),
        ("assistant", ["fine"]),
        ("user", ["Result of a tool call that is not part of this conversation:", "late"]),
    ]
    assert noted(ctx) == [("added", "messages"), ("changed", "messages.4.tool_call_id")]


@pytest.mark.parametrize(
    ("value", "shown"), [(None, []), ("words", ["words"]), ([TextBlock("one"), TextBlock("two")], ["one", "two"])]
)
def test_an_orphan_result_keeps_all_it_holds(value: Any, shown: list[str]) -> None:
    turns = Turns(context())
    turns.result("ghost", value, "w")
    assert told(turns)[0][1][1:] == shown


def test_a_result_given_twice_is_used_once() -> None:
    turns = Turns(context())
    turns.call("c1", "look", {}, "w")
    turns.result("c1", "first", "w")
    turns.result("c1", "again", "w")
    assert told(turns)[1][1][0] == "result c1: first"
    assert told(turns)[1][1][-1] == "again"


@pytest.mark.parametrize(
    ("originals", "ids", "notices"),
    [
        (["c1", "toolu_vrtx_01-x"], ["c1", "toolu_vrtx_01-x"], 0),
        (["same", "same", "same"], ["same", "same_2", "same_3"], 2),
        (["", ""], ["call_0", "call_1"], 2),
        (["call_1", ""], ["call_1", "call_1_2"], 1),
        (["functions.Bash:0", "functions/Bash:0"], ["functions_Bash_0_a97d1507", "functions_Bash_0_6b351787"], 2),
        (["x" * 128, "x" * 128], ["x" * 128, "x" * 120 + "_2"], 1),
        (["function:look", "function:look"], ["call_0", "call_1"], 0),  # legacy calls have no ids to begin with
    ],
)
def test_ids_are_valid_unique_and_a_function_of_what_came_before(
    originals: list[str], ids: list[str], notices: int
) -> None:
    ctx = context()
    turns = Turns(ctx)
    for index, original in enumerate(originals):
        turns.call(original, "look", {}, f"w.{index}")
    for original in originals:
        turns.result(original, "done", "w")
    said = told(turns)
    assert said[0] == ("assistant", [f"call {id}" for id in ids])
    assert said[1] == ("user", [f"result {id}: done" for id in ids])
    assert len(ctx.notices.items) == notices
    assert all(len(id) <= 128 for id in ids)


def test_a_system_turn_stands_only_after_the_user_and_with_no_call_open() -> None:
    turns = Turns(context())
    assert turns.system(text("too early")) is False
    turns.user(text("go"))
    assert turns.system(text("s1")) is True
    assert turns.system(text("s2")) is True
    turns.assistant(text("ok"))
    assert turns.system(text("after the assistant")) is False
    turns.call("c1", "look", {}, "w")
    turns.user(text("waiting"))
    assert turns.system(text("a call is open")) is False
    turns.result("c1", "x", "w")
    assert turns.system(text("s3")) is True
    assert told(turns) == [
        ("user", ["go"]),
        ("system", ["s1", "s2"]),
        ("assistant", ["ok", "call c1"]),
        ("user", ["result c1: x", "waiting"]),
        ("system", ["s3"]),
    ]


def test_a_conversation_begins_with_the_user() -> None:
    ctx = context()
    turns = Turns(ctx)
    turns.replied()
    turns.assistant(text("Hello"))
    assert told(turns) == [("user", ["Begin."]), ("assistant", ["Hello"])]
    assert noted(ctx) == [("added", "messages")]


def test_there_is_always_a_turn() -> None:
    assert told(Turns(context())) == [("user", ["Begin."])]


def test_an_answer_after_the_system_or_the_assistant_settles_nothing() -> None:
    turns = Turns(context())
    turns.user(text("go"))
    turns.system(text("s"))
    turns.replied()
    turns.call("c1", "look", {}, "w")
    turns.replied()  # the assistant's words go on: its call may still be answered
    turns.call("c2", "look", {}, "w")
    turns.result("c1", "1", "w")
    turns.result("c2", "2", "w")
    assert told(turns)[-1] == ("user", ["result c1: 1", "result c2: 2"])


def marked(turns: Turns) -> list[list[bool]]:
    return [["cache_control" in block for block in plain(message.content)] for message in turns.finish()]


HOUR = CacheControl("ephemeral", "1h")


def test_a_breakpoint_goes_to_the_last_block_that_can_hold_one() -> None:
    turns = Turns(context())
    turns.user(text("a"), text("b"))
    turns.mark(EPHEMERAL)
    turns.mark(None)
    turns.assistant(ThinkingBlock("hm", "c2ln"))
    turns.mark(HOUR)  # thinking holds none: the turn before does
    turns.call("c1", "look", {}, "w")
    turns.mark(EPHEMERAL)
    turns.result("c1", "done", "w")
    turns.mark(EPHEMERAL)
    assert marked(turns) == [[False, True], [False, True], [True]]
    turns = Turns(context())
    turns.user(text("a"))
    turns.mark(HOUR)
    assert plain(turns.finish()[0].content) == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]


def test_a_breakpoint_after_results_and_text_goes_to_the_text() -> None:
    turns = Turns(context())
    turns.call("c1", "look", {}, "w")
    turns.result("c1", "done", "w")
    turns.user(text("and"))
    turns.mark(EPHEMERAL)
    assert marked(turns) == [[False], [False, True]]


def test_many_calls_of_one_id_take_no_more_time_each() -> None:
    ctx = context()
    turns = Turns(ctx)
    for _ in range(3000):
        turns.call("same", "look", {}, "w")
        turns.result("same", "done", "w")
    messages = turns.finish()
    ids = [block["id"] for message in messages for block in plain(message.content) if block["type"] == "tool_use"]
    assert len(set(ids)) == len(ids) == 3000

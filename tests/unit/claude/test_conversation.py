"""Risk: a conversation the upstream refuses: calls without results, results out of place, ids it does not take."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from modelmux.claude import conversation
from modelmux.claude.conversation import START, ConversationBuilder, ConversationState, PendingSystem
from modelmux.claude.notices import Notices
from modelmux.claude.open_calls import OpenCall
from modelmux.claude.request import LateSystem
from modelmux.wire.anthropic import EPHEMERAL, CacheControl, TextBlock, ThinkingBlock, ToolUseBlock
from support.work import assert_linear


def builder() -> ConversationBuilder:
    return ConversationBuilder(Notices())


def noted(notices: Notices) -> list[tuple[str, str]]:
    return [(notice.action, notice.field) for notice in notices.items]


def plain(blocks: list[Any]) -> list[dict[str, Any]]:
    """Blocks as the JSON they become."""
    decoded: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(blocks))
    return decoded


def text(words: str) -> TextBlock:
    return TextBlock(words)


def summary(builder: ConversationBuilder) -> list[tuple[str, list[str]]]:
    """The turns, each block in short."""
    turns: list[tuple[str, list[str]]] = []
    for message in builder.finish():
        blocks: list[str] = []
        for block in plain(message.content):
            kind = block["type"]
            if kind == "text":
                blocks.append(block["text"])
            elif kind == "tool_use":
                blocks.append(f"call {block['id']}")
            else:
                error = " !" if block.get("is_error") else ""
                blocks.append(f"result {block['tool_use_id']}: {block.get('content')}{error}")
        turns.append((message.role, blocks))
    return turns


def test_turns_of_one_side_become_one() -> None:
    turns = builder()
    turns.add_user(text("a"))
    turns.add_user(text("b"), text("c"))
    turns.add_assistant(text("d"))
    turns.add_assistant(text("e"))
    assert summary(turns) == [("user", ["a", "b", "c"]), ("assistant", ["d", "e"])]


def test_results_in_any_order_stand_first_in_one_turn() -> None:
    notices = Notices()
    turns = ConversationBuilder(notices)
    turns.add_user(text("go"))
    turns.add_tool_use("c1", "look", {}, "w")
    turns.add_tool_use("c2", "look", {}, "w")
    turns.add_user(text("meanwhile"))
    turns.add_tool_result("c2", "two", None, "w")
    turns.add_tool_result("c1", None, None, "w")
    turns.add_user(text("after"))
    assert summary(turns) == [
        ("user", ["go"]),
        ("assistant", ["call c1", "call c2"]),
        ("user", ["result c2: two", "result c1: None", "meanwhile", "after"]),
    ]
    assert noted(notices) == []


NO_RESULT = "No result: the tool call was not answered. !"


def test_a_call_nobody_answered_gets_an_error_result_at_the_end() -> None:
    notices = Notices()
    turns = ConversationBuilder(notices)
    turns.add_tool_use("c1", "look", {}, "w")
    turns.add_tool_use("c2", "look", {}, "w")
    turns.add_tool_result("c2", "two", None, "w")
    assert summary(turns)[1:] == [("user", ["result c2: two", f"result c1: {NO_RESULT}"])]
    assert noted(notices) == [("added", "messages")]


def test_a_call_nobody_answered_is_settled_before_the_next_answer_and_a_late_result_is_text() -> None:
    notices = Notices()
    turns = ConversationBuilder(notices)
    turns.add_user(text("go"))
    turns.add_tool_use("c1", "look", {}, "w")
    turns.add_user(text("never mind"))
    turns.close_user_turn()
    turns.add_assistant(text("fine"))
    turns.add_tool_result("c1", "late", None, "messages.4.tool_call_id")
    assert summary(turns) == [
        ("user", ["go"]),
        ("assistant", ["call c1"]),
        ("user", [f"result c1: {NO_RESULT}", "never mind"]),
        ("assistant", ["fine"]),
        ("user", ["Result of a tool call that is not part of this conversation:", "late"]),
    ]
    assert noted(notices) == [("added", "messages"), ("changed", "messages.4.tool_call_id")]


@pytest.mark.parametrize(
    ("value", "shown"), [(None, []), ("words", ["words"]), ([TextBlock("one"), TextBlock("two")], ["one", "two"])]
)
def test_an_orphan_result_keeps_all_it_holds(value: Any, shown: list[str]) -> None:
    turns = builder()
    turns.add_tool_result("ghost", value, None, "w")
    assert summary(turns)[0][1][1:] == shown


def test_a_result_given_twice_is_used_once() -> None:
    turns = builder()
    turns.add_tool_use("c1", "look", {}, "w")
    turns.add_tool_result("c1", "first", None, "w")
    turns.add_tool_result("c1", "again", None, "w")
    assert summary(turns)[1][1][0] == "result c1: first"
    assert summary(turns)[1][1][-1] == "again"


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
    collected = Notices()
    turns = ConversationBuilder(collected)
    for index, original in enumerate(originals):
        turns.add_tool_use(original, "look", {}, f"w.{index}")
    for original in originals:
        turns.add_tool_result(original, "done", None, "w")
    turns_sent = summary(turns)
    assert turns_sent[0] == ("assistant", [f"call {id}" for id in ids])
    assert turns_sent[1] == ("user", [f"result {id}: done" for id in ids])
    assert len(collected.items) == notices
    assert all(len(id) <= 128 for id in ids)


def test_a_system_turn_is_legal_only_after_the_user_with_no_call_open_and_before_a_reply() -> None:
    notices = Notices()
    turns = ConversationBuilder(notices)
    turns.add_system([text("at the start")], "0.role")
    turns.add_user(text("go"))
    turns.add_system([text("s1")], "2.role")
    turns.add_system([text("s2")], "3.role")
    turns.close_user_turn()
    turns.add_assistant(text("ok"))
    turns.add_system([text("after the assistant")], "5.role")
    turns.close_user_turn()
    turns.add_tool_use("c1", "look", {}, "w")
    turns.add_system([text("a call is open")], "7.role")
    turns.add_tool_result("c1", "x", None, "w")
    turns.add_system([text("before the user")], "9.role")
    turns.add_user(text("and"))
    turns.add_system([text("s3")], "11.role")
    assert summary(turns) == [
        ("user", ["<system_message>\nat the start\n</system_message>", "go"]),
        ("system", ["s1", "s2"]),
        ("assistant", ["ok"]),
        ("user", ["<system_message>\nafter the assistant\n</system_message>"]),
        ("assistant", ["call c1"]),
        ("user", [
            "result c1: x", "<system_message>\na call is open\n</system_message>",
            "<system_message>\nbefore the user\n</system_message>", "and",
        ]),
        ("system", ["s3"]),
    ]  # fmt: skip
    assert noted(notices) == [("changed", f"{index}.role") for index in (0, 5, 7, 9)]
    assert turns.late_system == [LateSystem(1, ("2.role", "3.role")), LateSystem(6, ("11.role",))]


def test_system_messages_in_a_row_are_put_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is copied for each of them makes no more calls, but takes quadratic time."""
    copies: list[LateSystem] = []

    def copy(turn: LateSystem, **fields: Any) -> LateSystem:
        copies.append(turn)
        return replace(turn, **fields)

    monkeypatch.setattr(conversation, "replace", copy)
    turns = builder()
    turns.add_user(text("u"))
    for number in range(100):
        turns.add_system([text("s")], f"{number}.role")
    turns.finish()
    assert turns.late_system == [LateSystem(1, tuple(f"{number}.role" for number in range(100)))]
    assert len(copies) == 1


def test_a_reply_without_content_needs_a_block_only_after_a_system_turn() -> None:
    turns = builder()
    turns.add_user(text("a"))
    turns.close_user_turn()
    turns.end_reply()
    turns.add_user(text("b"))
    turns.add_system([text("s")], "w")
    turns.close_user_turn()
    turns.end_reply()
    turns.add_user(text("c"))
    assert summary(turns) == [
        ("user", ["a", "b"]), ("system", ["s"]), ("assistant", ["(no content)"]), ("user", ["c"]),
    ]  # fmt: skip
    assert turns.late_system == [LateSystem(1, ("w",), placeholder=True)]


def test_a_conversation_begins_with_the_user() -> None:
    notices = Notices()
    turns = ConversationBuilder(notices)
    turns.close_user_turn()
    turns.add_assistant(text("Hello"))
    assert summary(turns) == [("user", ["Begin."]), ("assistant", ["Hello"])]
    assert noted(notices) == [("added", "messages")]


def test_there_is_always_a_turn() -> None:
    assert summary(builder()) == [("user", ["Begin."])]


def test_a_reply_after_the_system_or_the_assistant_closes_no_calls() -> None:
    turns = builder()
    turns.add_user(text("go"))
    turns.add_system([text("s")], "w")
    turns.close_user_turn()
    turns.add_tool_use("c1", "look", {}, "w")
    turns.close_user_turn()  # the assistant continues: its call may still be answered
    turns.add_tool_use("c2", "look", {}, "w")
    turns.add_tool_result("c1", "1", None, "w")
    turns.add_tool_result("c2", "2", None, "w")
    assert summary(turns)[-1] == ("user", ["result c1: 1", "result c2: 2"])


def marked(turns: ConversationBuilder) -> list[list[bool]]:
    return [["cache_control" in block for block in plain(message.content)] for message in turns.finish()]


HOUR = CacheControl("ephemeral", "1h")


def test_a_breakpoint_goes_to_the_last_block_that_can_hold_one() -> None:
    turns = builder()
    turns.add_user(text("a"), text("b"))
    turns.set_cache_breakpoint(EPHEMERAL)
    turns.set_cache_breakpoint(None)
    turns.add_assistant(ThinkingBlock("hm", "c2ln"))
    turns.add_tool_use("c1", "look", {}, "w")
    turns.set_cache_breakpoint(EPHEMERAL)
    turns.add_tool_result("c1", "done", None, "w")
    turns.set_cache_breakpoint(EPHEMERAL)
    turns.add_system([text("s")], "w")
    turns.set_cache_breakpoint(EPHEMERAL)
    assert marked(turns) == [[False, True], [False, True], [True], [True]]
    turns = builder()
    turns.add_user(text("a"))
    turns.set_cache_breakpoint(HOUR)
    assert plain(turns.finish()[0].content) == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]


def test_a_result_holds_its_own_breakpoint_with_and_without_a_call() -> None:
    turns = builder()
    turns.add_tool_use("c1", "look", {}, "w")
    turns.add_tool_result("c1", "done", EPHEMERAL, "w")
    turns.add_tool_result("c1", "again", EPHEMERAL, "w")
    assert marked(turns) == [[False], [True, False, True]]


def test_a_breakpoint_after_results_and_text_goes_to_the_text() -> None:
    turns = builder()
    turns.add_tool_use("c1", "look", {}, "w")
    turns.add_tool_result("c1", "done", None, "w")
    turns.add_user(text("and"))
    turns.set_cache_breakpoint(EPHEMERAL)
    assert marked(turns) == [[False], [False, True]]


def test_many_calls_of_one_id_take_no_more_work_each() -> None:
    def converse(count: int) -> None:
        turns = builder()
        for _ in range(count):
            turns.add_tool_use("same", "look", {}, "w")
            turns.add_tool_result("same", "done", None, "w")
            turns.add_system([text("s")], "w")
            turns.close_user_turn()
        ids = [block.id for turn in turns.finish() for block in turn.content if isinstance(block, ToolUseBlock)]
        assert len(set(ids)) == len(ids) == count

    assert_linear(converse, 500)


def test_a_state_is_immutable_and_holds_no_closed_turn() -> None:
    turns = builder()
    assert turns.state == START
    turns.add_user(text("go"))
    turns.close_user_turn()
    turns.add_tool_use("c1", "look", {}, "w")
    turns.add_system([text("s")], "w")
    state = turns.state
    assert state == ConversationState(
        closed=1,
        role="assistant",
        blocks=(ToolUseBlock("c1", "look", {}),),
        pending=(PendingSystem((text("s"),), "w"),),
        waiting=(OpenCall("c1", "c1", "look"),),
        ids=frozenset({"c1"}),
    )
    turns.set_cache_breakpoint(EPHEMERAL)
    turns.add_tool_use("c1", "look", {}, "w")
    assert state.pending == (PendingSystem((text("s"),), "w"),)
    assert state.ids == {"c1"}


def test_two_conversations_that_continue_from_one_state_share_nothing() -> None:
    start = builder()
    start.add_user(text("go"))
    start.add_tool_use("c1", "look", {}, "w")
    state = start.state
    one, two = ConversationBuilder(Notices(), state), ConversationBuilder(Notices(), state)
    one.set_cache_breakpoint(EPHEMERAL)
    one.add_tool_use("c2", "look", {}, "w")
    two.add_tool_result("c1", "done", None, "w")
    assert summary(one) == [
        ("assistant", ["call c1", "call c2"]), ("user", [f"result c1: {NO_RESULT}", f"result c2: {NO_RESULT}"]),
    ]  # fmt: skip
    assert marked(two) == [[False], [False]]
    assert state.blocks == (ToolUseBlock("c1", "look", {}),)
